"""A small service that follows the outer contract, over real sockets; a test scripts how it answers next."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.unit.client.fake_catalogue import FakeCatalogue
from tests.unit.client.fake_direct_uploads import FakeDirectUploads
from tests.unit.client.fake_records import CORRELATION_ID, FILE_ID, file_json, problem
from tests.unit.client.fake_uploads import FakeUploads
from tests.unit.client.serving import served

__all__ = ["CORRELATION_ID", "FILE_ID", "TOKEN", "FakeApi", "fake_api", "file_json", "problem"]

TOKEN = "good-token"
SUBSCRIPTION = {
    "id": "sub-1",
    "channel": "webhook",
    "target": "https://example.com/hook",
    "events": ["file.stored"],
    "filter": None,
    "status": "active",
}

HEALTH = {"status": "ok", "checks": {"queue": "ok"}, "release": "c0ffee1234"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]


@dataclass
class FakeApi:
    """Keeps what arrived; ``next_answers`` are used up before the contract's own answers."""

    url: str = ""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    accepts: Callable[[str], bool] | None = None
    """Decides upon a token in place of ``tokens``."""
    received: list[Received] = field(default_factory=list)
    next_answers: deque[Answer] = field(default_factory=deque)
    at: dict[tuple[str, int], Answer] = field(default_factory=dict)
    """Answers of single requests: ``at["PATCH", 2]`` is that of the third PATCH."""
    seen: Counter[str] = field(default_factory=Counter)
    catalogue: FakeCatalogue = field(default_factory=FakeCatalogue)
    uploads: FakeUploads = field(default_factory=FakeUploads)
    direct: FakeDirectUploads = field(default_factory=FakeDirectUploads)

    def __post_init__(self) -> None:
        self.uploads.publish = self.direct.publish = self.catalogue.add

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/storage/"):
            return await self.direct.put_into_storage(request)
        number = self.seen[request.method]
        self.seen[request.method] += 1
        if (scripted := self.at.get((request.method, number))) is not None:
            return await scripted(request)
        if self.next_answers:
            return await self.next_answers.popleft()(request)
        if request.path == "/api/health":
            return web.json_response(HEALTH)
        accepts = self.accepts or self.tokens.__contains__
        if not accepts(bearer_token(request)):
            return problem(401, "Not signed in", "The token is not valid.")
        body = await request.content.read()
        self.received.append(
            Received(
                request.method, request.path, request.query_string, dict(request.headers), body, peer(request)
            )
        )
        return self.answer(request, request.path.removeprefix("/api/v1"), body)

    def answer(self, request: web.Request, path: str, body: bytes) -> web.StreamResponse:
        """The contract's own."""
        match request.method, path:
            case "POST", "/files":
                return web.json_response(stored_file(request, body), status=201)
            case "GET", path if path == f"/files/{FILE_ID}":
                return web.json_response(file_json())
            case "GET", path if path == f"/files/{FILE_ID}/deliveries":
                return web.json_response(delivery_page(request.query.get("cursor")))
            case "POST", "/subscriptions":
                made = SUBSCRIPTION | {"secret": "whsec_c2VjcmV0"} | json.loads(body)
                return web.json_response(made, status=201)
            case "GET", "/subscriptions/sub-1":
                return web.json_response(SUBSCRIPTION)
            case "DELETE", path if path in {"/subscriptions/sub-1", f"/files/{FILE_ID}"}:
                return web.Response(status=204)
        for part in (self.catalogue, self.uploads, self.direct):
            if (answer := part.answer(request, path, body)) is not None:
                return answer
        return problem(404, "Not found", "There is no such file.")


def bearer_token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def peer(request: web.Request) -> tuple[str, int]:
    """Which connection of the client it is."""
    assert request.transport is not None
    address: tuple[str, int] = request.transport.get_extra_info("peername")
    return address


def stored_file(request: web.Request, body: bytes) -> dict[str, Any]:
    return file_json(
        name=unquote(request.headers["Content-Disposition"].partition("''")[2]),
        content_type=request.headers["Content-Type"],
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        trace_id=request.headers["traceparent"].split("-")[1],
    )


def delivery_page(cursor: str | None) -> dict[str, Any]:
    """Two pages of one delivery each."""
    number = 2 if cursor == "second" else 1
    attempt = {"number": 1, "started_at": "2026-01-02T03:04:06Z", "duration_ms": 12, "outcome": "delivered"}
    delivery = {
        "id": f"d{number}",
        "file_id": FILE_ID,
        "subscription_id": "sub-1",
        "status": "delivered",
        "attempts": [attempt | {"status_code": 204, "host": "unknown to this client"}],
        "next_attempt_at": None,
        "reason": None,
    }
    return {"items": [delivery], "next_cursor": "second" if number == 1 else None}


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Serve a ``FakeApi`` on loopback from a thread of its own."""
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    with served(app) as port:
        api.url = api.direct.storage_url = f"http://127.0.0.1:{port}"
        yield api
