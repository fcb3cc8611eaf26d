"""The smoke test tells what does not work, and leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from dropbell.errors import NotWorkingError, ProblemError
from dropbell.smoke import RELEASE_SEEN_TIMES, Patience, smoke
from tests.unit.client.fake_api import FILE_ID, file_json, problem

if TYPE_CHECKING:
    from dropbell.connection import Connection
    from tests.unit.client.fake_api import Answer, FakeApi

TARGET = "https://example.com/hook"
LIMIT_SECONDS = 20


class Clock:
    """Time passes while one waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def patience() -> Patience:
    clock = Clock()
    return Patience(LIMIT_SECONDS, clock=clock, pause=clock.pause)


def answering(body: Any) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    return answer


def refusing(status: int, detail: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return problem(status, "Refused", detail)

    return answer


def delivery(status: str, **more: Any) -> dict[str, Any]:
    attempt = {"number": 1, "outcome": "failed", "detail": "the target answered 500"}
    known = {"id": "d-1", "file_id": FILE_ID, "subscription_id": "sub-1", "attempts": [attempt]}
    return {"items": [known | {"status": status} | more], "next_cursor": None}


def gone(api: FakeApi) -> list[str]:
    return [each.path.removeprefix("/api/v1") for each in api.received if each.method == "DELETE"]


def test_what_works_is_told_step_by_step(connection: Connection, api: FakeApi) -> None:
    api.at["GET", 1] = answering(file_json(status="announced"))
    api.at["GET", 2] = answering(delivery("retrying"))
    api.at["GET", 3] = answering(delivery("delivered"))

    steps = list(smoke(connection, patience(), target=TARGET))

    assert [step.name for step in steps] == ["healthy", "subscribed", "stored", "announced", "delivered"]
    assert steps[0].detail == "release c0ffee1234"
    assert gone(api) == [f"/files/{FILE_ID}", "/subscriptions/sub-1"]


def test_without_a_target_nobody_is_told(connection: Connection, api: FakeApi) -> None:
    api.at["GET", 1] = answering(file_json(status="settled"))

    assert [step.name for step in smoke(connection, patience())] == ["healthy", "stored", "announced"]
    assert not [each for each in api.received if "subscriptions" in each.path]


def test_an_event_that_does_not_come_is_told_and_the_file_goes(connection: Connection, api: FakeApi) -> None:
    with pytest.raises(NotWorkingError, match="its event did not set the announcement going within 20 s"):
        list(smoke(connection, patience()))
    assert gone(api) == [f"/files/{FILE_ID}"]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (delivery("dead", reason="the target is gone (410)"), "is dead: the target is gone"),
        (delivery("retrying"), "was retrying, the target answered 500 and did not get through within 20 s"),
        ({"items": [], "next_cursor": None}, "was not there and did not get through"),
    ],
)
def test_a_delivery_that_fails_is_told(connection: Connection, api: FakeApi, last: Any, told: str) -> None:
    api.at["GET", 1] = answering(file_json(status="announced"))
    for number in range(2, 2 + LIMIT_SECONDS + 1):
        api.at["GET", number] = answering(last)

    with pytest.raises(NotWorkingError, match=told):
        list(smoke(connection, patience(), target=TARGET))
    assert gone(api) == [f"/files/{FILE_ID}", "/subscriptions/sub-1"]


def test_a_target_that_does_not_prove_itself_is_told(connection: Connection, api: FakeApi) -> None:
    api.at["POST", 0] = answering(
        {"id": "sub-1", "channel": "webhook", "target": TARGET, "events": [], "status": "pending"}
    )
    with pytest.raises(NotWorkingError, match="did not prove itself: the subscription is pending"):
        list(smoke(connection, patience(), target=TARGET))
    assert gone(api) == ["/subscriptions/sub-1"]


def test_a_service_that_starts_late_is_waited_for(connection: Connection, api: FakeApi) -> None:
    api.at["GET", 0] = refusing(503, "These do not answer: queue.")
    assert next(iter(smoke(connection, patience()))).seconds == 1


def test_a_service_that_stays_ill_is_told(connection: Connection, api: FakeApi) -> None:
    for number in range(LIMIT_SECONDS + 1):
        api.at["GET", number] = refusing(503, "These do not answer: queue.")
    with pytest.raises(NotWorkingError, match=r"not healthy \(.*These do not answer: queue"):
        list(smoke(connection, patience()))


def test_the_release_must_be_seen_several_times_in_a_row(connection: Connection, api: FakeApi) -> None:
    api.at["GET", 2] = answering({"status": "ok", "release": "0123old"})  # an instance of before
    healthy = next(iter(smoke(connection, patience(), release="c0ffee")))

    assert healthy.seconds == 2 + RELEASE_SEEN_TIMES
    assert api.seen["GET"] == 3 + RELEASE_SEEN_TIMES


def test_another_release_is_told(connection: Connection) -> None:
    with pytest.raises(NotWorkingError, match="Release beef was not at work \\(but c0ffee1234\\)"):
        list(smoke(connection, patience(), release="beef"))


def test_no_token_goes_to_the_health_route(connection: Connection, api: FakeApi) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"status": "ok"})

    api.at["GET", 0] = answer
    assert connection.health().optional_text("release") is None
    assert seen == [None]


def test_a_refusal_is_passed_on(connection: Connection, api: FakeApi) -> None:
    api.at["POST", 0] = refusing(403, "You need Files.ReadWrite.")
    with pytest.raises(ProblemError, match=r"Files\.ReadWrite"):
        list(smoke(connection, patience()))


@pytest.mark.parametrize(("status", "told"), [("stored", NotWorkingError), ("settled", ProblemError)])
def test_a_failure_to_clean_up_hides_no_other_failure(
    connection: Connection, api: FakeApi, status: str, told: type[Exception]
) -> None:
    api.at["GET", 1] = answering(file_json(status=status))
    api.at["DELETE", 0] = refusing(403, "Not yours.")
    with pytest.raises(told):
        list(smoke(connection, patience()))
