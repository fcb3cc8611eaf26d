from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from local.app_insights.behaviour import BehaviourBook
from local.app_insights.telemetry import TelemetryStore
from local.app_insights.web_app import app_insights_app
from local.part import http_site
from tests.unit.app_insights.samples import TRACE, item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SPAN = item("RequestData", name="POST /api/v1/files", id="a", success=True, properties={"file_id": "f-1"})
EVENT = item("EventData", 5, name="dropbell.request", parent="a")


@pytest.fixture
async def insights() -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        http_site(app_insights_app(TelemetryStore(), BehaviourBook())) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def send(insights: aiohttp.ClientSession, *items: Any, path: str = "/v2.1/track") -> int:
    async with insights.post(path, data=json.dumps(items)) as answer:
        return answer.status


async def get(insights: aiohttp.ClientSession, path: str) -> Any:
    async with insights.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_what_was_sent_is_answered_as_it_was_sent(insights: aiohttp.ClientSession) -> None:
    assert await send(insights, EVENT) == 200
    assert await send(insights, SPAN, path="/v2/track") == 200
    assert await get(insights, f"/api/traces/{TRACE}") == {"items": [SPAN, EVENT]}
    assert await get(insights, "/api/search?file_id=f-1") == {"trace_ids": [TRACE]}
    assert await get(insights, "/api/items") == {"items": [EVENT, SPAN]}
    assert await get(insights, "/health") == {"status": "ok", "items": 2}


async def test_an_unknown_trace_has_no_items(insights: aiohttp.ClientSession) -> None:
    assert await get(insights, "/api/traces/unknown") == {"items": []}
    assert await get(insights, "/api/search?correlation_id=unknown") == {"trace_ids": []}
    async with insights.get("/api/traces/unknown/story") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(json.dumps([SPAN]).encode())),
        ("deflate", zlib.compress(json.dumps(SPAN).encode())),
        ("gzip", gzip.compress(json.dumps(SPAN).encode() + b"\n")),
        ("identity", json.dumps([SPAN]).encode()),
    ],
)
async def test_bodies_may_be_packed(insights: aiohttp.ClientSession, encoding: str, body: bytes) -> None:
    async with insights.post("/v2/track", data=body, headers={"Content-Encoding": encoding}) as answer:
        assert await answer.json() == {"itemsReceived": 1, "itemsAccepted": 1, "errors": []}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", {}, 400),
        (b"[{}]", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (b"x", {"Content-Encoding": "unheard-of"}, 400),
        (gzip.compress(b"[" + b" " * 65 * 1024 * 1024 + b"]"), {"Content-Encoding": "gzip"}, 413),
    ],
)
async def test_what_is_no_telemetry_is_refused(
    insights: aiohttp.ClientSession, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with insights.post("/v2.1/track", data=body, headers=headers) as answer:
        assert answer.status == status
    assert await get(insights, "/health") == {"status": "ok", "items": 0}


async def test_a_batch_that_is_good_in_part_is_taken_in_part(insights: aiohttp.ClientSession) -> None:
    async with insights.post("/v2.1/track", data=json.dumps([SPAN, {}])) as answer:
        told = await answer.json()
    assert (answer.status, told["itemsReceived"], told["itemsAccepted"]) == (206, 2, 1)
    assert told["errors"][0]["index"] == 1


async def test_it_refuses_as_often_as_it_is_told_to(insights: aiohttp.ClientSession) -> None:
    async with insights.post(
        "/behaviour", json={"status": 429, "retry_after_seconds": 3, "count": 1}
    ) as answer:
        assert answer.status == 200
    async with insights.post("/v2.1/track", data=json.dumps([SPAN])) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
        assert (await answer.json())["itemsAccepted"] == 0
    assert await get(insights, "/health") == {"status": "ok", "items": 0}
    assert await send(insights, SPAN) == 200
    assert (await get(insights, "/behaviour"))["requests"] == 2


async def test_it_hangs_until_it_is_told_not_to(insights: aiohttp.ClientSession) -> None:
    await insights.post("/behaviour", json={"hang": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(insights, SPAN), 0.2)
    await insights.post("/behaviour", json={"reset": True})
    assert await send(insights, SPAN) == 200


async def test_a_late_answer_comes(insights: aiohttp.ClientSession) -> None:
    await insights.post("/behaviour", json={"delay_seconds": 0.2, "count": 1})
    began = asyncio.get_running_loop().time()
    assert await send(insights, SPAN) == 200
    assert asyncio.get_running_loop().time() - began >= 0.19
    assert await get(insights, "/health") == {"status": "ok", "items": 1}


async def test_the_list_is_searched_and_filtered(insights: aiohttp.ClientSession) -> None:
    failed = item("RequestData", 60_000, name="sweep", id="b", success=False, trace_id="t2")
    await send(insights, SPAN, failed)
    listed = await get(insights, "/api/traces")
    assert [each["trace_id"] for each in listed["items"]] == ["t2", TRACE]
    assert listed["counts"] == {"all": 2, "files": 1, "errors": 1}
    for query, expected in (
        ("errors=1", ["t2"]),
        ("files=1", [TRACE]),
        ("q=f-1", [TRACE]),
        ("q=SWEEP", ["t2"]),
        (f"q={TRACE[:9]}", [TRACE]),
        ("q=nothing", []),
        ("limit=1", ["t2"]),
    ):
        found = await get(insights, f"/api/traces?{query}")
        assert [each["trace_id"] for each in found["items"]] == expected, query


async def test_a_story_is_sent_again_only_when_it_goes_on(insights: aiohttp.ClientSession) -> None:
    await send(insights, SPAN)
    async with insights.get(f"/api/traces/{TRACE}/story") as answer:
        etag = answer.headers["ETag"]
        assert len((await answer.json())["rows"]) == 1
    for status in (304, 200):
        async with insights.get(f"/api/traces/{TRACE}/story", headers={"If-None-Match": etag}) as answer:
            assert answer.status == status
        await send(insights, EVENT)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/search", b"", 400),
        ("GET", "/api/search?name=x", b"", 400),
        ("GET", "/api/traces?limit=0", b"", 400),
        ("GET", "/api/traces?limit=501", b"", 400),
        ("GET", "/api/traces?limit=" + "9" * 5000, b"", 400),
        ("GET", "/api/traces?errors=yes", b"", 400),
        ("POST", "/behaviour", b'{"status": 200}', 400),
        ("POST", "/behaviour", b'{"delay_seconds": 601}', 400),
        ("POST", "/behaviour", b'{"hung": true}', 400),
        ("GET", "/v2.1/track", b"", 405),
        ("GET", "/assets/..%2fweb_app.py", b"", 404),
        ("GET", "/assets/list.html", b"", 404),
        ("GET", "/elsewhere", b"", 404),
    ],
)
async def test_a_wrong_request_gets_problem_details(
    insights: aiohttp.ClientSession, method: str, path: str, body: bytes, status: int
) -> None:
    async with insights.request(method, path, data=body) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"]) == (status, status)
    assert problem["detail"].endswith(".")


async def test_an_sdk_that_asks_for_more_gets_an_answer(insights: aiohttp.ClientSession) -> None:
    for call in ("ping", "post"):
        async with insights.post(f"/QuickPulseService.svc/{call}?ikey=k") as answer:
            assert (answer.status, answer.headers["x-ms-qps-subscribed"]) == (200, "false")
    async with insights.get("/api/profiles/k/appId") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/", f"/traces/{TRACE}", "/assets/trace.js", "/assets/base.css"])
async def test_pages_and_their_files_carry_a_strict_policy(
    insights: aiohttp.ClientSession, path: str
) -> None:
    async with insights.get(path) as answer:
        text = await answer.text()
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "innerHTML" not in text
    assert "style=" not in text


async def test_hostile_text_breaks_no_answer(insights: aiohttp.ClientSession) -> None:
    raw = json.dumps([SPAN]).replace("POST /api/v1/files", "\\ud800</script>")
    async with insights.post("/v2.1/track", data=raw) as answer:
        assert answer.status == 200
    for path in (f"/api/traces/{TRACE}", f"/api/traces/{TRACE}/story", "/api/traces", "/api/items"):
        await get(insights, path)
