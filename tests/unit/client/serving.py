"""Runs an aiohttp application on loopback from a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

START_SECONDS = 10.0
ROUNDS_SECONDS = 0.01


@contextmanager
def served(app: web.Application, ssl_context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve ``app`` while the context is open; yields its port."""
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    async def serve() -> None:
        # No lingering: a handler that does not read the body has the connection reset, as strict servers do.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, lingering_time=0)
        await runner.setup()
        assert runner.server is not None
        server = await loop.create_server(runner.server, "127.0.0.1", 0, ssl=ssl_context)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        await asyncio.sleep(ROUNDS_SECONDS)  # a server closed while it accepts a connection forgets that one
        server.close()
        await runner.cleanup()
        server.abort_clients()  # a TLS connection would otherwise wait for the client's good-bye
        await asyncio.sleep(ROUNDS_SECONDS)  # what was aborted is closed in the loop's next rounds

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(START_SECONDS)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
