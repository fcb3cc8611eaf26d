"""Stands between an adapter and the storage emulator and does what networks do."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from local.part import LOOPBACK, http_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding"}
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Mischief(Enum):
    """What happens to one request."""

    PASS = auto()
    LOSE_ANSWER = auto()
    """It is carried out; the connection breaks instead of the answer."""
    CUT_ANSWER = auto()
    """It is carried out; the connection breaks within the answer's body."""
    BUSY = auto()
    """It is turned away with 503, as a storage service under load does."""
    SILENCE = auto()
    """Nothing ever comes."""


class Middleman:
    """Plays its script, one entry for each request; when that is over, everything passes."""

    def __init__(self, upstream_port: int) -> None:
        self.script: deque[Mischief] = deque()
        self.requests = 0
        self.port = 0
        self._over = asyncio.Event()
        self._upstream_port = upstream_port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session, http_site(app) as self.port:
            yield
            self._over.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        mischief = self.script.popleft() if self.script else Mischief.PASS
        body = await request.read()
        if mischief is Mischief.BUSY:
            return web.Response(status=503, headers={"x-ms-error-code": "ServerBusy"})
        if mischief is Mischief.SILENCE:
            await self._over.wait()
        async with self._session.request(
            request.method,
            URL(f"http://{LOOPBACK}:{self._upstream_port}{request.raw_path}", encoded=True),
            headers={n: v for n, v in request.headers.items() if n.lower() not in _HOP_BY_HOP},
            skip_auto_headers=_NOT_ADDED,
            data=body or None,
        ) as answer:
            content = await answer.read()
        headers = {n: v for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP}
        if mischief is Mischief.PASS:
            return web.Response(status=answer.status, headers=headers, body=content)
        if mischief is Mischief.CUT_ANSWER:
            cut = web.StreamResponse(status=answer.status, headers=headers)
            cut.content_length = len(content) + 1
            await cut.prepare(request)
            await cut.write(content)
        assert request.transport is not None
        request.transport.close()
        return web.Response()
