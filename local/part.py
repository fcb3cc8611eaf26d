"""How one part of the local stack runs: listen on loopback, log lines to standard output, stop when asked."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

LOOPBACK = "127.0.0.1"
STOP_WITH_PARENT = "DROPBELL_LOCAL_STOP_WITH_PARENT"
"""Set to 1 by the parent that holds the other end of standard input: its end ends the part."""


def log_to_stdout(level: int = logging.INFO) -> None:
    """Write this process's log records to standard output, one line each."""
    logging.basicConfig(
        stream=sys.stdout, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


@asynccontextmanager
async def http_site(
    app: web.Application, port: int = 0, *, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve ``app`` on loopback while the context is open; yields the port (0 asks for a free one)."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port, ssl_context=ssl_context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def stop_requested() -> None:
    """Return when the process is asked to stop: SIGTERM, SIGINT, or the end of the parent that started it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if os.environ.get(STOP_WITH_PARENT) == "1":

        def watch_parent() -> None:
            while os.read(0, 4096):
                pass
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=watch_parent, daemon=True, name="watch-parent").start()
    await stop.wait()
