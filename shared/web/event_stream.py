"""Server-sent events: the format, and a response that ends as soon as its reader has left.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Receive, Scope, Send

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment: readers pass over it, and whatever stands in between sees that the connection is in use."""
_HEADERS: Final = {
    "cache-control": "no-store",
    "vary": "Accept",
    "x-accel-buffering": "no",  # nginx and those who do as it does: pass on at once
}
_END_OF_LINE: Final = re.compile(r"\r\n|\r|\n")


def message(event: str, data: str, *, id_: str) -> bytes:
    """One message. ``event`` and ``id_`` are single lines; ``data`` can have any number of them."""
    lines = [f"event: {event}", f"id: {id_}", *(f"data: {line}" for line in _END_OF_LINE.split(data))]
    return ("\n".join(lines) + "\n\n").encode()


def retry(milliseconds: int) -> bytes:
    """How long a reader shall wait before it connects again."""
    return f"retry: {milliseconds}\n\n".encode()


class EventStream(StreamingResponse):
    """Sends messages as they come.

    Args:
        messages: The messages; closed at the end, whoever ends it.
        reader: On whose behalf.
    """

    body_iterator: AsyncGenerator[bytes]

    def __init__(self, messages: AsyncGenerator[bytes], *, reader: str) -> None:
        super().__init__(messages, headers=_HEADERS, media_type=EVENT_STREAM)
        self.reader = reader
        self.is_open = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the messages end or the reader leaves."""
        # To servers of ASGI 2.4 and later Starlette leaves it to say that the reader has left, when something
        # is sent. A quiet stream sends nothing for long; by the earlier version Starlette listens itself.
        listening = {**scope, "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"}}
        try:
            async with aclosing(self.body_iterator):
                await super().__call__(listening, receive, send)
        finally:
            self.is_open = False
