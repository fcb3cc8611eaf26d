"""One HTTP connection pool for every Azure storage client of the process, and how long it is waited for.

The SDKs' own retries are off. They send a write again when its answer was lost; if the first one was carried
out, the second meets its own traces and reports a conflict with somebody else, who does not exist. Here
nothing is sent twice unless that is known to be harmless.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport

from shared.errors import UnavailableError
from shared.telemetry.spans import System, dependency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from shared.telemetry.spans import Span

CONNECT_TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 30
"""Longer than any try may take: ``Patience`` ends it first."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one operation may take."""

    try_seconds: float
    total_seconds: float
    """All tries, with the pauses between them."""
    pauses_seconds: Sequence[float]
    """Before the second try, the third, ..."""


ANSWER = Patience(try_seconds=4, total_seconds=8, pauses_seconds=(0.2, 0.8))
"""For what is small. Somebody waits for it, and these services answer within milliseconds."""
CONTENT = Patience(try_seconds=20, total_seconds=30, pauses_seconds=(0.2, 0.8))
"""For what carries up to a block of content."""

_DID_NOTHING = frozenset({429, 503})
"""Too busy: the request was turned away."""
_PASSING = _DID_NOTHING | {408, 500, 502, 504}
"""Answers that another try may better."""

_OUTCOME_UNKNOWN = (ServiceRequestError, ServiceResponseError, DecodeError, TimeoutError)
"""Cut off, timed out, or half an answer. The SDK calls a broken connection a request error, too."""


_SERVICES = {System.BLOB: "Blob Storage", System.TABLE: "Table Storage"}


class AzureTransport:
    """Makes transports that share one session.

    The SDKs' default transport looks up netrc and proxy settings on every call; this one does not, which
    takes about a third off the cost of a table operation.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def transport(self) -> AioHttpTransport:
        """A transport for one client; must be called on the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=0),
                middlewares=(_sent_once,),
            )
        return AioHttpTransport(
            session=self._session,
            session_owner=False,
            use_env_settings=False,
            connection_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
        )

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _AnswerLostError(aiohttp.ClientConnectionError):
    """The connection broke after the request went out; whether it was carried out is not known."""


async def _sent_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending PUT and DELETE again by itself when a connection breaks."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _AnswerLostError(str(error)) from error


async def answered[Answer](
    system: System,
    name: str,
    operation: Callable[[], Awaitable[Answer]],
    *,
    target: str = "",
    patience: Patience = ANSWER,
    repeatable: bool = True,
) -> Answer:
    """Carry out an SDK operation; raises UnavailableError when ``system`` does not answer as it should.

    It is a span of the present trace, called ``name``: one for all tries. A row that is there already, or was
    changed by somebody else, is told and is no failure.

    What may pass is tried again: always when the service did nothing (no connection, or turned away as too
    busy), and when the outcome is not known only if the operation is ``repeatable``.
    """
    with dependency(name, system, target=target) as span:
        try:
            return await _tried(operation, patience, span, repeatable=repeatable)
        except (AzureError, TimeoutError) as error:
            span.failed = True
            status = getattr(error, "status_code", None)
            raise UnavailableError(
                "A storage service did not answer as it should; try again in a moment.",
                reason=f"{_SERVICES[system]}: {type(error).__name__}{f' {status}' if status else ''}",
            ) from error


async def _tried[Answer](
    operation: Callable[[], Awaitable[Answer]], patience: Patience, span: Span, *, repeatable: bool
) -> Answer:
    async with asyncio.timeout(patience.total_seconds):
        for tries, pause_seconds in enumerate(patience.pauses_seconds, 1):
            try:
                return await _one_try(operation, patience)
            except (AzureError, TimeoutError) as error:
                if not _may_better(error, repeatable=repeatable):
                    raise
                span.tell(tries=tries + 1)
            await asyncio.sleep(pause_seconds)
        return await _one_try(operation, patience)


async def _one_try[Answer](operation: Callable[[], Awaitable[Answer]], patience: Patience) -> Answer:
    async with asyncio.timeout(patience.try_seconds):
        return await operation()


def _may_better(error: AzureError | TimeoutError, *, repeatable: bool) -> bool:
    if isinstance(error, HttpResponseError) and not isinstance(error, DecodeError):
        return error.status_code in (_PASSING if repeatable else _DID_NOTHING)
    if isinstance(error, ServiceRequestTimeoutError):
        return True  # while connecting
    if isinstance(error, ServiceRequestError) and isinstance(
        error.inner_exception, aiohttp.ClientConnectorError
    ):
        return True
    return repeatable and isinstance(error, _OUTCOME_UNKNOWN)


def error_code(error: HttpResponseError) -> str:
    """The service's name for what went wrong, such as ``BlobAlreadyExists``; empty when it gave none."""
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    code = getattr(error, "error_code", None) or headers.get("x-ms-error-code", "")
    return str(getattr(code, "value", code))
