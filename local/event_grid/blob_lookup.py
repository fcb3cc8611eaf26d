"""Ask the storage account what its log does not tell about a blob."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient

from local.event_grid.events import BlobFacts, Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOKUP_TIMEOUT_SECONDS = 5.0

log = logging.getLogger(__name__)


class BlobLookup:
    """Reads blob properties."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self.topic = Topic(account_name=service.account_name or "", blob_endpoint=service.url)

    async def facts(self, container: str, name: str) -> BlobFacts | None:
        """Return what is known about a blob now; None when it cannot be told, mostly because it is gone."""
        try:
            found = await self._service.get_blob_client(container, name).get_blob_properties()
        except ResourceNotFoundError:
            return None
        except (AzureError, ValueError) as error:
            log.warning("blob not looked up: %s", type(error).__name__)
            return None
        return BlobFacts(
            # Event Grid gives entity tags without their quotes.
            etag=found.etag.strip('"'),
            content_type=found.content_settings.content_type,
            content_length_bytes=found.size,
            blob_type=str(found.blob_type.value),
        )


@asynccontextmanager
async def blob_lookup(connection_string: str) -> AsyncIterator[BlobLookup]:
    """Open a lookup of the account in ``connection_string``.

    Raises:
        ValueError: The connection string cannot be used.
    """
    timeout = aiohttp.ClientTimeout(total=LOOKUP_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(
        trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout, auto_decompress=False
    ) as session:
        transport = AioHttpTransport(session=session, session_owner=False, use_env_settings=False)
        async with BlobServiceClient.from_connection_string(
            connection_string,
            transport=transport,
            retry_total=1,
            connection_timeout=LOOKUP_TIMEOUT_SECONDS,
            read_timeout=LOOKUP_TIMEOUT_SECONDS,
        ) as service:
            yield BlobLookup(service)
