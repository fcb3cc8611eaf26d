"""Sends the log records of the app to the host, each with the invocation that wrote it."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import ContextVar

SYSTEM_CATEGORIES = ("azure.functions", "azure_functions_worker", "azure_functions_runtime")
"""Loggers of the platform, not of the app. The host hides them, so they are not even sent."""


class ForwardingHandler(logging.Handler):
    """Queues records and sends them from the event loop's thread; safe to use from any thread.

    Waking the loop costs more than the record itself, so a burst from another thread wakes it once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[dict[str, Any]], None],
        invocation_id: ContextVar[str | None],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._send = send
        self._invocation_id = invocation_id
        self._waiting: deque[dict[str, Any]] = deque()
        self._is_woken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record, or queue it when another thread than the loop's wrote it."""
        if record.name.startswith(SYSTEM_CATEGORIES) and not _shows_system_logs():
            return
        message = {
            "type": "log",
            "level": record.levelno,
            "category": record.name,
            "message": self.format(record),
            "invocation_id": self._invocation_id.get(),
        }
        if threading.get_ident() == self._loop_thread:
            self._send(message)
            return
        self._waiting.append(message)
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._send_waiting)
            except RuntimeError:  # the loop has ended, and so has the channel: nobody is left to read this
                self._waiting.clear()

    def _send_waiting(self) -> None:
        self._is_woken = False
        while self._waiting:
            self._send(self._waiting.popleft())


def install(handler: ForwardingHandler) -> None:
    """Make the handler the only one of the root logger, at the level that Azure's worker uses."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if _is_true("PYTHON_ENABLE_DEBUG_LOGGING") else logging.INFO)
    if not _shows_system_logs():
        # Records that nobody will see are cheapest when they are never made: the library writes three per
        # request.
        logging.getLogger("azure.functions").setLevel(logging.CRITICAL + 1)


def _shows_system_logs() -> bool:
    return _is_true("LOCAL_FUNCTIONS_SHOW_SYSTEM_LOGS")


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")
