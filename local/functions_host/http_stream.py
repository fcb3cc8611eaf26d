"""HTTP functions that stream: the request is passed on to the worker's own HTTP server, chunk by chunk."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.functions_host.http_body import BodyTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import SimpleNamespace

    from aiohttp.abc import AbstractStreamWriter
    from multidict import MultiMapping

    from local.functions_host.http_body import RequestBody
    from local.functions_host.invocation import Outcome
    from local.functions_host.worker_process import WorkerProcess

INVOCATION_ID_HEADER = "x-ms-invocation-id"
HAND_OVER_SECONDS = 2.0
"""How long the answer may stay away once its invocation has failed: then no function took the request."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

logger = logging.getLogger(__name__)


class WorkerHttpGoneError(Exception):
    """The worker's HTTP server takes no connections any more; nothing of the request has been sent."""


class _Exchange:
    """One request to a worker: the invocation begins in the moment in which the headers go out.

    Begun earlier, it would wait for ever when the client leaves before anything was sent.
    """

    def __init__(self, start: Callable[[], asyncio.Task[Outcome]]) -> None:
        self._start = start
        self.is_sent = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the invocation has failed; its HTTP answer, if any, must follow at once."""

    def note_sent(self) -> None:
        """The headers go out, for the first time or again on another connection."""
        if not self.is_sent:
            self.is_sent = True
            self._start().add_done_callback(self._note_end)

    def _note_end(self, invocation: asyncio.Task[Outcome]) -> None:
        if not self.failed.done() and (invocation.cancelled() or not invocation.result().succeeded):
            self.failed.set_result(None)


class _StreamedBody(aiohttp.Payload):
    """The client's body on its way to the worker. The headers do not wait for its first chunk."""

    def __init__(self, body: RequestBody) -> None:
        super().__init__(body, headers={})
        self._body = body

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002 - the server's parser has counted already
        """Send the headers, then each chunk as it comes. A body can be sent once only."""
        self._consumed = True
        writer.send_headers()
        async for chunk in self._body.chunks():
            await writer.write(chunk)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """As above."""
        await self.write_with_length(writer, None)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - the base class names them
        """Not for bodies that are never held."""
        raise TypeError("a streamed body has no text")


class StreamProxy:
    """Passes requests on to workers over kept-alive connections, holding no more than a chunk of any body."""

    def __init__(self) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_note_sent)
        self._session = aiohttp.ClientSession(
            # uvicorn closes connections that were idle for 5 s.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=5),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trace_configs=[tracing],
            max_line_size=65536,
            max_field_size=65536,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def forward(
        self,
        request: web.BaseRequest,
        worker: WorkerProcess,
        invocation_id: str,
        start_invocation: Callable[[], asyncio.Task[Outcome]],
        body: RequestBody,
    ) -> web.StreamResponse:
        """Pass the request on and stream the answer back.

        When the client goes away this is cancelled, and the connection to the worker is closed: the
        function sees a disconnect, never a body that ends early but cleanly.

        Raises:
            WorkerHttpGoneError: the worker cannot be reached, nothing was sent.
            BodyTooLargeError: the body went over the limit before the function answered.
        """
        exchange = _Exchange(start_invocation)
        upstream = await self._answer_of(
            self._send(request, worker, invocation_id, body, exchange), exchange, body
        )
        if upstream is None:
            return web.Response(status=500)
        try:
            return await self._stream_back(request, upstream)
        finally:
            if upstream.content.at_eof() and (body.is_read or not body.is_expected):
                upstream.release()
            else:
                upstream.close()  # the function answered without reading all, or the client left

    async def _answer_of(
        self, send: Coroutine[Any, Any, aiohttp.ClientResponse], exchange: _Exchange, body: RequestBody
    ) -> aiohttp.ClientResponse | None:
        """The worker's answer up to its headers; none when the invocation failed without giving one."""
        sending = asyncio.create_task(send)
        try:
            await asyncio.wait((sending, exchange.failed), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((sending,), timeout=HAND_OVER_SECONDS)
            return sending.result() if sending.done() else None
        except asyncio.CancelledError:
            sending.add_done_callback(_close_answer)
            raise
        except aiohttp.ClientError as error:
            # The client library may have sent the request and only then, trying again, found the port closed.
            if isinstance(error, aiohttp.ClientConnectorError) and not exchange.is_sent:
                raise WorkerHttpGoneError(str(error)) from error
            if body.is_too_large:
                raise BodyTooLargeError from error
            logger.debug("The worker broke off the request: %r", error)
            return None
        finally:
            sending.cancel()

    async def _send(
        self,
        request: web.BaseRequest,
        worker: WorkerProcess,
        invocation_id: str,
        body: RequestBody,
        exchange: _Exchange,
    ) -> aiohttp.ClientResponse:
        headers = end_to_end(request.headers)
        headers.popall("Expect", None)
        headers[INVOCATION_ID_HEADER] = invocation_id
        return await self._session.request(
            request.method,
            URL(f"{worker.http_uri}{origin_form(request.raw_path)}", encoded=True),
            headers=headers,
            data=_StreamedBody(body) if body.is_expected else None,
            expect100=body.is_announced,
            allow_redirects=False,
            trace_request_ctx=exchange,
        )

    async def _stream_back(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            status=upstream.status, reason=upstream.reason, headers=end_to_end(upstream.headers)
        )
        await response.prepare(request)
        try:
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
        except aiohttp.ClientError:
            # The headers are out, so the only honest signal left is a broken connection.
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response


async def _note_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.note_sent()


def _close_answer(sending: asyncio.Task[aiohttp.ClientResponse]) -> None:
    if not sending.cancelled() and sending.exception() is None:
        sending.result().close()


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers that a proxy passes on: those not of one connection only (RFC 9110 §7.6.1)."""
    named = {
        token.strip().lower() for value in headers.getall("Connection", ()) for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def origin_form(target: str) -> str:
    """The path and query of a request target, also of one in absolute form (RFC 9112 §3.2)."""
    if target.startswith("/"):
        return target
    return URL(target, encoded=True).raw_path_qs if "://" in target else "/"
