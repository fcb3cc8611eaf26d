from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from local.inbox.archive import Archive
from local.inbox.behaviour import BehaviourBook
from local.inbox.store import MessageStore
from local.inbox.web_app import MAX_BODY_BYTES, inbox_app
from local.part import http_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def inbox() -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        http_site(inbox_app(MessageStore(), BehaviourBook())) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def items(inbox: aiohttp.ClientSession, query: str = "") -> list[dict[str, Any]]:
    async with inbox.get(f"/messages{query}") as answer:
        assert answer.status == 200
        found: list[dict[str, Any]] = (await answer.json())["items"]
        return found


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "PATCH"])
async def test_any_method_and_path_below_hooks_receives(inbox: aiohttp.ClientSession, method: str) -> None:
    async with inbox.request(
        method, "/hooks/a/b%20c?x=1", data=b'{"a": 1}', headers={"X-Test": "1"}
    ) as answer:
        assert answer.status == 200
    (item,) = await items(inbox, "?channel=webhook&path=/hooks/a/b%20c")
    assert (item["method"], item["path"], item["query"]) == (method, "/hooks/a/b c", "x=1")
    assert (item["body"], item["json"], item["headers"]["x-test"]) == ('{"a": 1}', {"a": 1}, "1")
    assert item["signature_verified"] is None


async def test_an_error_on_request_is_answered_and_listed(inbox: aiohttp.ClientSession) -> None:
    order = {"status": 503, "count": 1, "headers": {"Retry-After": "7"}}
    async with inbox.post("/behaviour", json=order) as answer:
        assert answer.status == 200
    async with inbox.post("/hooks/a") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    async with inbox.post("/hooks/a") as answer:
        assert answer.status == 200
    assert [item["answered_status"] for item in await items(inbox)] == [503, 200]


async def test_a_late_answer_is_listed_at_once(inbox: aiohttp.ClientSession) -> None:
    async with inbox.post("/behaviour", json={"delay_seconds": 30, "count": 1}):
        pass
    posting = asyncio.create_task(inbox.post("/hooks/a"))
    async with inbox.get("/messages/wait?timeout_seconds=10") as answer:
        assert len((await answer.json())["items"]) == 1
    posting.cancel()


async def test_a_body_may_have_one_mebibyte(inbox: aiohttp.ClientSession) -> None:
    async with inbox.post("/hooks/a", data=b"x" * MAX_BODY_BYTES) as answer:
        assert answer.status == 200
    async with inbox.post("/hooks/a", data=b"x" * (MAX_BODY_BYTES + 1)) as answer:
        assert (answer.status, answer.content_type) == (413, "application/problem+json")
    assert [item["size_bytes"] for item in await items(inbox)] == [MAX_BODY_BYTES]


async def test_a_long_poll_says_when_it_timed_out(inbox: aiohttp.ClientSession) -> None:
    async with inbox.get("/messages/wait?count=1&timeout_seconds=0.01") as answer:
        assert await answer.json() == {"items": [], "timed_out": True}


async def test_messages_are_forgotten_on_request(inbox: aiohttp.ClientSession) -> None:
    await inbox.post("/hooks/a")
    async with inbox.delete("/messages") as answer:
        assert answer.status == 204
    assert await items(inbox) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/behaviour", b"not json", 400),
        ("POST", "/secrets", b'{"path": "/x", "secret": "whsec_YQ=="}', 400),
        ("GET", "/messages?limit=-1", b"", 400),
        ("GET", "/messages/wait?timeout_seconds=soon", b"", 400),
        ("GET", "/messages/wait?count=2&limit=1", b"", 400),
        ("GET", "/elsewhere", b"", 404),
        ("PUT", "/messages", b"", 405),
    ],
)
async def test_a_wrong_request_gets_problem_details(
    inbox: aiohttp.ClientSession, method: str, path: str, body: bytes, status: int
) -> None:
    async with inbox.request(method, path, data=body) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"]) == (status, status)
    assert problem["detail"].endswith(".")


async def test_the_page_carries_a_strict_policy(inbox: aiohttp.ClientSession) -> None:
    await inbox.post("/hooks/%3Cscript%3E", data=b"<script>alert(1)</script>")
    async with inbox.get("/") as answer:
        page = await answer.text()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"GET /hooks/%FF%00%ED%A0%80 HTTP/1.1", b""),
        (b"POST /hooks/a HTTP/1.1\r\nwebhook-id: \xff\r\nwebhook-timestamp: 1\r\nX: \xed\xa0\x80", b""),
        (b"POST /hooks/a HTTP/1.1", b'{"a": "\\ud800"}'),
        (b"POST /hooks/a HTTP/1.1", b"\xff\x00" * 1000),
        (b"POST /hooks/a HTTP/1.1", b'"' + b"<" * 10_000),
    ],
)
async def test_hostile_bytes_break_neither_listing_nor_page(tmp_path: Path, head: bytes, body: bytes) -> None:
    archive = tmp_path / "inbox.jsonl"
    store = MessageStore(Archive(archive))
    store.add_secret("*", "whsec_a2V5")
    async with http_site(inbox_app(store, BehaviourBook())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as inbox:
            assert len(await items(inbox)) == 1
            async with inbox.get("/") as answer:
                assert answer.status == 200
                assert (await answer.text()).rstrip().endswith("</html>")
    assert list(MessageStore(Archive(archive))) == list(store)
