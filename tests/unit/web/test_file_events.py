from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import ProblemError, UnavailableError
from shared.files import file as files
from shared.files.file import FileStatus
from shared.identity.permissions import Permission
from shared.identity.principal import Principal, PrincipalKind
from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import DeliveryStatus
from shared.ports import Delete, Insert, Replace
from shared.telemetry.trace_context import TraceContext
from shared.web.accept import wish_for
from shared.web.call import Call
from shared.web.event_stream import EventStream, message
from shared.web.file_events import FileEventRoutes, StreamPolicy
from shared.web.problem import problem_response
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of, request
from tests.unit.web.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from shared.ports import Page

type Step = Callable[[], Awaitable[None]]

READER = Principal(PrincipalKind.USER, "tenant", "object", "client", frozenset({Permission.FILES_READ}))
WAITS_LONG = StreamPolicy(longest_seconds=30)


class Stage:
    """The route over memory adapters. Each pause is one step of the play; time goes by only in pauses."""

    def __init__(self, *, policy: StreamPolicy | None = None, tables: Any = None) -> None:
        self.shelf = Shelf(tables=tables)
        self.memory = self.shelf.memory if tables is None else tables
        self.steps: deque[Step] = deque()
        self.pauses: list[float] = []
        self.routes = FileEventRoutes(
            self.shelf.catalogue,
            self.memory,
            policy=policy,
            pause=self._pause,
            seconds=lambda: sum(self.pauses),
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.steps:
            await self.steps.popleft()()

    def then(self, *things: Any) -> None:
        """In the next pause, write these."""

        async def step() -> None:
            for thing in things:
                await self.put(thing)

        self.steps.append(step)

    async def put(self, thing: Any) -> None:
        """Write it over what is there."""
        entity = (files if isinstance(thing, files.File) else deliveries).to_entity(thing)
        present = await self.memory.get(entity.partition_key, entity.row_key)
        change = Insert(entity) if present is None else Replace(replace(entity, etag=present.etag))
        await self.memory.apply([change])

    async def ask(self, *, caller: Principal = READER, owner: str = sample.OWNER, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = request(headers=named, file_id=sample.FILE_ID)
        try:
            call = Call(asked, caller, owner, "correlation-2", TraceContext.start())
            return await self.routes.watch_file(call)
        except ProblemError as error:
            return problem_response(error, correlation_id="correlation-2")

    async def stream(self, **headers: Any) -> str:
        return await read(await self.ask(**headers))

    async def told(self, **headers: Any) -> list[Told]:
        return parsed(await self.stream(**headers))


async def forever() -> Any:
    await asyncio.Event().wait()


async def read(response: Response) -> str:
    """All that a reader who stays gets."""
    sent = bytearray()

    async def send(part: Any) -> None:
        sent.extend(part.get("body", b""))

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, forever, send)
    return sent.decode()


@dataclass(frozen=True)
class Told:
    event: str
    id: str
    data: Any


def parsed(stream: str) -> list[Told]:
    """The messages, by the rules of the HTML standard as far as we use them."""
    found = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append(Told(fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def file(status: FileStatus = FileStatus.SETTLED) -> files.File:
    return sample.file(status=status)


def delivery(number: int = 1, status: DeliveryStatus = DeliveryStatus.DELIVERED) -> deliveries.Delivery:
    return sample.delivery(number, status=status)


async def staged(*things: Any, **how: Any) -> Stage:
    stage = Stage(**how)
    for thing in things:
        await stage.put(thing)
    return stage


async def test_a_settled_file_is_told_once_and_ends() -> None:
    stage = await staged(file(), delivery(1), delivery(2))
    response = await stage.ask(accept="text/event-stream")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    told = parsed(await read(response))
    assert [each.event for each in told] == ["file", "delivery", "delivery", "end"]
    assert told[0].data["status"] == "settled"
    assert [each.data["subscription_id"] for each in told[1:3]] == [f"{1:032x}", f"{2:032x}"]
    assert told[3].data == {"reason": "settled"}
    assert len({each.id for each in told}) == 4
    assert not stage.pauses


async def test_changes_are_told_until_all_is_settled() -> None:
    stage = await staged(file(FileStatus.STORED))
    stage.then(file(FileStatus.ANNOUNCED), delivery(1, DeliveryStatus.QUEUED))
    stage.then()
    stage.then(delivery(1, DeliveryStatus.DELIVERING))
    stage.then(delivery(1))
    stage.then(file())
    told = [(each.event, each.data.get("status")) for each in await stage.told()]
    assert told == [
        ("file", "stored"),
        ("file", "announced"),
        ("delivery", "queued"),
        ("delivery", "delivering"),
        ("delivery", "delivered"),
        ("file", "settled"),
        ("end", None),
    ]
    assert stage.pauses == [0.5, 0.5, 0.75, 0.5, 0.5]


async def test_a_delivery_of_a_later_event_is_waited_for() -> None:
    stage = await staged(file(), delivery(1), delivery(2, DeliveryStatus.RETRYING))
    stage.then(delivery(2, DeliveryStatus.DEAD))
    told = await stage.told()
    assert [(each.event, each.data.get("status")) for each in told][2:] == [
        ("delivery", "retrying"),
        ("delivery", "dead"),
        ("end", None),
    ]


async def test_a_quiet_stream_slows_down_keeps_alive_and_asks_to_come_back() -> None:
    stage = await staged(file(FileStatus.ANNOUNCED))
    stream = await stage.stream()
    assert stream.endswith("\n\nretry: 1000\n\n")
    assert sum(stage.pauses) == pytest.approx(100)
    assert stage.pauses[:4] == [0.5, 0.75, 1.125, 1.6875]
    assert set(stage.pauses[6:-1]) == {3.0}
    assert 100 / 15 - 1 <= stream.count(": keep-alive\n\n") <= 100 / 15 + 3


async def test_who_comes_back_is_told_only_what_is_new() -> None:
    stage = await staged(file(FileStatus.ANNOUNCED), delivery(1), policy=WAITS_LONG)
    last = (await stage.told())[-1]
    again = await stage.stream(last_event_id=last.id)
    assert again.startswith(": keep-alive\n\n")
    assert not parsed(again)
    await stage.put(delivery(2, DeliveryStatus.RETRYING))
    (new,) = await stage.told(last_event_id=last.id)
    assert new.data["subscription_id"] == f"{2:032x}"
    assert not await stage.told(last_event_id=new.id)


async def test_who_left_in_the_middle_misses_nothing() -> None:
    count = 90  # more than there are groups
    stage = await staged(file(), *(delivery(number) for number in range(count)))
    told = await stage.told()
    ids = [each.data["id"] for each in told[1:-1]]
    assert len(ids) == count
    for heard in (0, 1, 40, count - 1, count):
        rest = await stage.told(last_event_id=told[heard].id)
        assert set(ids[heard:]) <= {each.data["id"] for each in rest if each.event == "delivery"}
        assert rest[-1].event == "end"
        assert [each.event for each in rest].count("file") == 0
    assert max(len(each.id) for each in told) <= 434


async def test_who_knows_the_end_is_sent_away_until_there_is_news() -> None:
    stage = await staged(file(), delivery(1))
    *_, last, end = await stage.told()
    assert [each.event for each in await stage.told(last_event_id=last.id)] == ["end"]
    assert (await stage.ask(last_event_id=end.id)).status_code == 204
    await stage.put(delivery(1, DeliveryStatus.QUEUED))
    stage.then(delivery(1, DeliveryStatus.DEAD))
    told = await stage.told(last_event_id=end.id)
    assert [each.data.get("status") for each in told] == ["queued", "dead", None]


@pytest.mark.parametrize("id_", ["", "nonsense", ".end", "AA", "é", "A" * 5000, "AAAA.end", "====", "\x00"])
async def test_an_id_that_is_not_ours_says_nothing(id_: str) -> None:
    stage = await staged(file(), delivery(1))
    assert [each.event for each in await stage.told(last_event_id=id_)] == ["file", "delivery", "end"]


async def test_a_file_that_is_deleted_meanwhile_ends_the_stream() -> None:
    stage = await staged(file(FileStatus.ANNOUNCED))
    stage.then(file(FileStatus.DELETED))
    assert (await stage.told())[-1].data == {"reason": "gone"}


async def test_what_is_wrong_is_answered_before_the_stream_starts() -> None:
    stage = await staged()
    assert (await stage.ask()).status_code == 404
    await stage.put(file())
    assert (await stage.ask(owner="f" * 32)).status_code == 404
    nobody = Principal(PrincipalKind.USER, "tenant", "object", "client", frozenset())
    assert (await stage.ask(caller=nobody)).status_code == 403


class Failing:
    """Tables that fail while told to."""

    def __init__(self) -> None:
        self.memory = Shelf().memory
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)

    async def query(self, *arguments: Any, **how: Any) -> Page:
        if self.fails:
            raise UnavailableError("Storage does not answer.")
        return await self.memory.query(*arguments, **how)


async def test_a_store_that_fails_for_a_while_does_not_end_the_stream() -> None:
    tables = Failing()
    stage = await staged(file(FileStatus.ANNOUNCED), tables=tables)

    async def fail() -> None:
        tables.fails = True

    async def recover() -> None:
        tables.fails = False
        await stage.put(file())

    stage.steps += [fail, recover]
    assert [each.event for each in await stage.told()] == ["file", "file", "end"]
    tables.fails = True
    assert (await stage.ask()).status_code == 503


async def test_a_reader_who_leaves_ends_the_loop_at_once() -> None:
    stage = await staged(file(FileStatus.ANNOUNCED))
    left = asyncio.Event()
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        left.set()
        try:
            await forever()
        finally:
            ended.set()

    stage.steps.append(wait_for_ever)

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_part: Any) -> None:
        pass

    response = await stage.ask()
    assert isinstance(response, EventStream)
    async with asyncio.timeout(5):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert ended.is_set()
    assert not response.is_open
    assert len(stage.pauses) == 1


@pytest.mark.parametrize(
    ("policy", "status"),
    [(StreamPolicy(max_streams=2), 503), (StreamPolicy(max_streams_of_owner=2), 429)],
)
async def test_there_is_room_for_so_many_streams(policy: StreamPolicy, status: int) -> None:
    stage = await staged(file(), policy=policy)
    first, second = await stage.ask(), await stage.ask()
    refused = await stage.ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (status, "10")
    assert body_of(refused)["type"] == "/api/problems/too-many-streams"
    assert (await stage.ask(accept="application/json")).status_code == 200
    await read(first)
    third = await stage.ask()
    assert third.status_code == 200
    del second  # answered and never sent: its reader was gone before
    assert (await stage.ask()).status_code == 200


async def test_who_polls_gets_all_at_once_and_when_to_come_back() -> None:
    stage = await staged(file(FileStatus.ANNOUNCED), delivery(1, DeliveryStatus.QUEUED))
    response = await stage.ask(accept="application/json")
    assert (response.headers["retry-after"], response.headers["cache-control"]) == ("2", "no-store")
    told = body_of(response)
    assert (told["file"]["id"], told["settled"]) == (sample.FILE_ID, False)
    assert [each["status"] for each in told["deliveries"]] == ["queued"]
    await stage.put(delivery(1))
    await stage.put(file())
    response = await stage.ask(accept="application/json")
    assert body_of(response)["settled"] is True
    assert "retry-after" not in response.headers


async def test_rows_that_vanish_do_not_have_others_told_again() -> None:
    crowd = [delivery(number) for number in range(90)]  # so that some share a group
    stage = await staged(file(FileStatus.ANNOUNCED), *crowd, policy=WAITS_LONG)

    async def forget() -> None:
        for each in crowd[:10]:
            row = await stage.memory.get(sample.OWNER, deliveries.row_key(sample.FILE_ID, each.id))
            assert row is not None
            await stage.memory.apply([Delete(row)])

    stage.steps.append(forget)
    stage.then(delivery(99))
    last = (await stage.told())[-1]
    assert last.data["subscription_id"] == f"{99:032x}"
    assert not await stage.told(last_event_id=last.id)


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/html", False),
        ("text/event-stream", False),
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.5, text/event-stream", False),
        ("text/event-stream;q=0.5, application/json", True),
        ("APPLICATION/JSON ; charset=utf-8 ; Q=0.9, text/*;q=0.8", True),
        ("application/*", True),
        ("application/json;q=0, */*", False),
        (";;;,,q=1", False),
    ],
)
def test_who_would_rather_have_json_gets_it(accept: str | None, *, is_json: bool) -> None:
    assert (wish_for("application/json", accept) > wish_for("text/event-stream", accept)) is is_json


def test_data_of_several_lines_stays_one_message() -> None:
    assert message("end", "a\r\nb\rc\nd\u2028e", id_="1") == (
        "event: end\nid: 1\ndata: a\ndata: b\ndata: c\ndata: d\u2028e\n\n".encode()
    )
