from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryClock
from shared.errors import UnavailableError
from shared.web.health import KEPT_SECONDS, Health, release
from tests.unit.shared.asgi import body_of, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Service:
    """Something to be checked, which can be down."""

    def __init__(self) -> None:
        self.down = False
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise UnavailableError("planted", reason="planted")


class Place:
    def __init__(self) -> None:
        self.clock = MemoryClock()
        self.services = {"blobs": Service(), "queue": Service()}
        checks: dict[str, Callable[[], Awaitable[None]]] = {
            name: service.check for name, service in self.services.items()
        }
        self.health = Health(checks, self.clock)

    @property
    def asked(self) -> int:
        return sum(service.asked for service in self.services.values())


@pytest.mark.parametrize("query", ["", "deep=", "deep=0", "deep=false"])
async def test_a_shallow_answer_asks_nobody(query: str) -> None:
    place = Place()
    response = await place.health.answer(request(query=query))
    assert (response.status_code, body_of(response)) == (200, {"status": "ok"})
    assert place.asked == 0


@pytest.mark.parametrize("query", ["deep=1", "deep=true"])
async def test_a_deep_answer_tells_of_each_service(query: str) -> None:
    response = await Place().health.answer(request(query=query, headers={"x-correlation-id": "mine"}))
    assert (response.status_code, body_of(response)) == (
        200,
        {"status": "ok", "checks": {"blobs": "ok", "queue": "ok"}},
    )
    assert response.headers["x-correlation-id"] == "mine"
    assert response.headers["cache-control"] == "no-store"


async def test_a_service_that_does_not_answer_is_named() -> None:
    place = Place()
    place.services["queue"].down = True
    response = await place.health.answer(request(query="deep=1"))
    problem = body_of(response)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["detail"] == "These do not answer: queue."
    assert problem["checks"] == {"blobs": "ok", "queue": "no answer"}
    assert {"type", "title", "status", "correlation_id"} <= set(problem)
    assert b"planted" not in bytes(response.body)


async def test_a_deep_answer_serves_for_a_while() -> None:
    place = Place()
    first = await place.health.answer(request(query="deep=1"))
    place.services["queue"].down = True
    place.clock.advance(KEPT_SECONDS)
    kept = await place.health.answer(request(query="deep=1"))
    assert (first.status_code, kept.status_code, place.asked) == (200, 200, 2)
    place.clock.advance(0.1)
    assert (await place.health.answer(request(query="deep=1"))).status_code == 503
    assert place.asked == 4


async def test_many_at_once_ask_once() -> None:
    place = Place()
    answers = await asyncio.gather(*(place.health.answer(request(query="deep=1")) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert place.asked == 2


async def test_a_deep_answer_names_the_release_at_work() -> None:
    health = Health({}, MemoryClock(), "c0ffee")

    assert body_of(await health.answer(request(query="deep=1"))) == {
        "status": "ok",
        "checks": {},
        "release": "c0ffee",
    }
    assert body_of(await health.answer(request())) == {"status": "ok"}


@pytest.mark.parametrize(("text", "told"), [("c0ffee\n", "c0ffee"), ("$Format:%H$\n", None), ("\n", None)])
def test_only_a_package_of_a_commit_has_a_release(tmp_path: Path, text: str, told: str | None) -> None:
    (tmp_path / "release.txt").write_text(text)
    assert release(tmp_path / "release.txt") == told


def test_a_working_copy_has_none() -> None:
    assert release() is None
