"""An HTTP server that is free to misbehave: it is handed each connection bare."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.part import LOOPBACK

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass(frozen=True)
class Request:
    """One request as it came in; header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


type Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class BareServer:
    """Answers each request as ``answering`` says; counts connections and keeps requests."""

    answering: Answering
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def url(self, host: str = LOOPBACK, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await _read_request(reader))
                self.asked.set()
                await self.answering(writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.disconnected.set()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def bare_server(answering: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[BareServer]:
    bare = BareServer(answering)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(bare.serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(accept, LOOPBACK, 0, ssl=tls, backlog=256)
    bare.port = server.sockets[0].getsockname()[1]
    try:
        yield bare
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(line, headers, body)


def says(raw: bytes) -> Answering:
    """The same bytes for each request."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return answer


def answers(status: int, body: bytes = b"", **headers: str) -> Answering:
    """A proper answer; an underscore in a field's name stands for a hyphen."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Whatever\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return says(head.encode() + body)


def drips(head: bytes, drop: bytes, every_seconds: float = 0.05) -> Answering:
    """``head``, and then ``drop`` after ``drop`` without end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return answer


def cuts_off(said_before: bytes = b"") -> Answering:
    """Says something, or nothing, and closes the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(said_before)
        await writer.drain()
        writer.close()

    return answer
