"""The listening side of the host's HTTP: what is no request is answered without being repeated."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_FIELD_BYTES = 65_536
"""Of the request line and of each header field."""

logger = logging.getLogger(__name__)


class HttpServer(web.Server):
    """aiohttp's server, with answers of our own to what it cannot read."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
    ) -> None:
        # A client that leaves ends the request to the worker as well.
        super().__init__(handler, handler_cancellation=True)
        self._protocol_options = {
            **options,
            "access_log": None,
            "max_line_size": MAX_FIELD_BYTES,
            "max_field_size": MAX_FIELD_BYTES,
        }

    def __call__(self) -> web.RequestHandler:
        """The protocol of one connection."""
        return _Protocol(self, loop=asyncio.get_running_loop(), **self._protocol_options)


class _Protocol(web.RequestHandler):
    """aiohttp's own answer and log record quote the input, which can hold a token."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if isinstance(exc, LineTooLong):
            answer = web.Response(status=431, text="The request line or a header field is too long.")
        else:
            answer = web.Response(status=400, text="The request is not HTTP as it should be.")
        logger.debug("A request could not be read: %s", type(exc).__name__)
        answer.force_close()
        return answer
