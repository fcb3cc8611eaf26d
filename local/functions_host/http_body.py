"""The body of an incoming request: read in chunks, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyTooLargeError(Exception):
    """The body is longer than the host takes."""


class RequestBody:
    """Reads the body once; a client that goes away in the middle makes the reading raise."""

    def __init__(self, request: web.BaseRequest, limit_bytes: int) -> None:
        self._request = request
        self._limit_bytes = limit_bytes
        self.is_read = False
        self.is_too_large = False

    @property
    def length(self) -> int | None:
        """The announced length in bytes; none for a chunked body."""
        return self._request.content_length

    @property
    def is_expected(self) -> bool:
        """Whether a body follows the headers."""
        return self._request.can_read_body

    @property
    def is_announced(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body (RFC 9110 §10.1.1)."""
        expectation = self._request.headers.get(hdrs.EXPECT, "")
        return self.is_expected and expectation.lower() == "100-continue"

    @property
    def is_over_limit(self) -> bool:
        """Whether the announced length alone is too much."""
        return (self.length or 0) > self._limit_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's chunks as they arrive.

        Raises:
            BodyTooLargeError: it went over the limit.
            aiohttp.ClientError, OSError: the client went away, or broke the framing.
        """
        if self.is_announced and self._request.transport is not None:
            self._request.transport.write(CONTINUE)
        received = 0
        async for chunk in self._request.content.iter_any():
            received += len(chunk)
            if received > self._limit_bytes:
                self.is_too_large = True
                raise BodyTooLargeError
            yield chunk
        self.is_read = True

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: it went over the limit.
            aiohttp.ClientError, OSError: the client went away, or broke the framing.
        """
        return b"".join([chunk async for chunk in self.chunks()])
