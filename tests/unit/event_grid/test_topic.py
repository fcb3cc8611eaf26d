"""The topic against subscribers that are real web servers in this process; only the blob lookup is a fake."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from local.event_grid.access_log import Api, BlobCreation
from local.event_grid.events import BlobFacts, Event, Topic, has_facts
from local.event_grid.journal import Journal
from local.event_grid.log_tail import START
from local.event_grid.subscriber import Subscriber, subscriber_session
from local.event_grid.subscriptions import read_subscriptions
from local.event_grid.topic import Misbehaviour, SystemTopic
from local.part import http_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

FACTS = BlobFacts("0x1", "text/plain", 3, "BlockBlob")


class Account:
    """The fake lookup: every blob exists, but those called ``gone``."""

    topic = Topic("account", "http://127.0.0.1:1/account/")

    async def facts(self, _container: str, name: str) -> BlobFacts | None:
        return None if name == "gone" else FACTS


@dataclass
class Receiver:
    """A webhook that answers as told, by blob name; 200 when nothing is told."""

    answers: dict[str, list[int]] = field(default_factory=dict)
    validates: bool = True
    received: list[tuple[str, str, Event]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        (event,) = await request.json()
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            code = event["data"]["validationCode"] if self.validates else "wrong"
            return web.json_response({"validationResponse": code})
        name = event["subject"].rpartition("/")[2]
        self.received.append((name, request.headers["aeg-delivery-count"], event))
        answers = self.answers.get(name)
        return web.Response(status=answers.pop(0) if answers else 200)

    def counts(self) -> Counter[str]:
        return Counter(name for name, _, _ in self.received)


@pytest.fixture
def journal() -> Iterator[Journal]:
    with Journal() as journal:
        yield journal


class Stop(Exception):  # noqa: N818 - not an error: the way to leave a task group
    """Ends the topic's tasks with the test."""


@asynccontextmanager
async def running(
    receiver: Receiver, journal: Journal, *, dead_letter_file: Path | None = None
) -> AsyncIterator[SystemTopic]:
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    try:
        async with http_site(app) as port, subscriber_session() as session, asyncio.TaskGroup() as tasks:
            configured = {
                "name": "sub",
                "endpoint": f"http://127.0.0.1:{port}/hook?code=secret",
                "retry": {"max_attempts": 4},
                "dead_letter_file": dead_letter_file and str(dead_letter_file),
            }
            (subscription,) = read_subscriptions(json.dumps([configured]))
            subscriber = Subscriber(subscription, subscription.policy((0.01,)), Account.topic, session)
            topic = SystemTopic(tasks, Account(), journal, [subscriber])
            tasks.create_task(subscriber.validate())
            topic.resume()
            yield topic
            raise Stop
    except* Stop:
        pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the conditions look at several parts at once
            await asyncio.sleep(0.005)


def created(*names: str) -> list[BlobCreation]:
    return [BlobCreation("uploads", name, Api.PUT_BLOB) for name in names]


def states(topic: SystemTopic) -> list[str]:
    return [delivery.state for record in topic.recent for delivery in record.deliveries.values()]


async def test_an_event_arrives_with_what_is_known_of_its_blob(journal: Journal) -> None:
    receiver = Receiver()
    async with running(receiver, journal) as topic:
        topic.publish(created("a", "gone"), START)
        await until(lambda: states(topic) == ["delivered", "delivered"])
        assert journal.pending(["sub"]) == []
    by_name = {name: event["data"] for name, _, event in receiver.received}
    assert isinstance(by_name["a"], dict)
    assert isinstance(by_name["gone"], dict)
    assert (by_name["a"]["eTag"], by_name["a"]["contentLength"]) == ("0x1", 3)
    assert by_name["gone"].keys() == {"api", "requestId", "url", "sequencer", "storageDiagnostics"}


async def test_one_failing_event_holds_no_other_up(journal: Journal) -> None:
    receiver = Receiver({"bad": [500, 503, 404]})
    async with running(receiver, journal) as topic:
        topic.publish(created("bad", *map(str, range(100))), START)
        await until(lambda: set(states(topic)) == {"delivered"})
    assert [count for name, count, _ in receiver.received if name == "bad"] == ["0", "1", "2", "3"]
    assert receiver.counts()["bad"] == 4
    assert all(receiver.counts()[str(number)] == 1 for number in range(100))


async def test_each_attempt_sends_the_same_event(journal: Journal) -> None:
    receiver = Receiver({"a": [500]})
    async with running(receiver, journal) as topic:
        topic.publish(created("a"), START)
        await until(lambda: states(topic) == ["delivered"])
    (_, _, first), (_, _, second) = receiver.received
    assert first == second


async def test_events_wait_until_the_subscription_is_validated(journal: Journal) -> None:
    receiver = Receiver(validates=False)
    async with running(receiver, journal) as topic:
        topic.publish(created("a"), START)
        await until(lambda: "without its code" in str(topic.not_ready_because()))
        assert (receiver.received, states(topic)) == ([], ["pending"])
        receiver.validates = True
        await until(lambda: states(topic) == ["delivered"])
        assert topic.not_ready_because() == []


@pytest.mark.parametrize(
    ("answers", "attempts", "reason", "outcome"),
    [
        ([400], 1, "UndeliverableDueToHttpBadRequest", "BadRequest"),
        ([500] * 4, 4, "MaxDeliveryAttemptsExceeded", "InternalServerError"),
    ],
)
async def test_what_cannot_be_delivered_is_dead_lettered(
    journal: Journal, tmp_path: Path, answers: list[int], attempts: int, reason: str, outcome: str
) -> None:
    receiver, path = Receiver({"a": answers}), tmp_path / "dead" / "letters.jsonl"
    async with running(receiver, journal, dead_letter_file=path) as topic:
        topic.publish(created("a"), START)
        await until(lambda: states(topic) == ["dead_lettered"])
        assert journal.pending(["sub"]) == []
    letter = json.loads(path.read_text(encoding="utf-8"))
    assert letter["subject"].endswith("/a")
    assert (letter["deliveryAttempts"], letter["deadLetterReason"]) == (attempts, reason)
    assert letter["lastDeliveryOutcome"] == outcome


async def test_a_later_process_delivers_what_was_pending(tmp_path: Path) -> None:
    unready, receiver = Receiver(validates=False), Receiver()
    with Journal(tmp_path / "journal") as journal:
        async with running(unready, journal) as topic:
            topic.publish(created("a", "b"), START)
    with Journal(tmp_path / "journal") as journal:
        async with running(receiver, journal) as topic:
            await until(lambda: states(topic) == ["delivered", "delivered"])
    assert receiver.counts() == {"a": 1, "b": 1}


async def test_an_event_is_sent_twice_late_or_not_at_all_on_request(journal: Journal) -> None:
    receiver = Receiver()
    async with running(receiver, journal) as topic:
        topic.misbehaviour = Misbehaviour(drop_next=1)
        topic.publish(created("lost", "kept"), START)
        await until(lambda: states(topic) == ["dropped", "delivered"])
        await topic.replay("uploads", "lost")
        await until(lambda: receiver.counts() == {"kept": 1, "lost": 1})
        assert all(has_facts(event) for _, _, event in receiver.received)
        topic.misbehaviour = Misbehaviour(duplicate=True)
        topic.publish(created("twice"), START)
        await until(lambda: receiver.counts() == {"kept": 1, "lost": 1, "twice": 2})
        topic.misbehaviour = Misbehaviour(delay_seconds=0.05)
        topic.publish(created("late"), START)
        await asyncio.sleep(0.02)
        assert "late" not in receiver.counts()
        await until(lambda: "late" in receiver.counts())
    twice = [event["id"] for name, _, event in receiver.received if name == "twice"]
    assert twice[0] == twice[1]


async def test_a_replay_repeats_the_event_and_makes_one_where_none_was_seen(journal: Journal) -> None:
    receiver = Receiver()
    async with running(receiver, journal) as topic:
        topic.publish(created("a"), START)
        await until(lambda: receiver.counts()["a"] == 1)
        await topic.replay("uploads", "a")
        assert await topic.replay("uploads", "gone") is None
        assert await topic.replay("uploads", "unseen") is not None
        await until(lambda: receiver.counts() == {"a": 2, "unseen": 1})
    assert len({event["id"] for _, _, event in receiver.received}) == 2
