"""One HTTP connection pool for every Azure SDK client of the process, and the translation of its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


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


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn what an SDK raises into UnavailableError; what the caller handles itself must be caught inside."""
    try:
        yield
    except AzureError as error:
        status = getattr(error, "status_code", None)
        raise UnavailableError(
            "A storage service did not answer as it should; try again in a moment.",
            reason=f"{service}: {type(error).__name__}{f' {status}' if status else ''}",
        ) from error
