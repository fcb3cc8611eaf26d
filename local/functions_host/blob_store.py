"""Reads blobs, and what the trigger metadata says about them, with Microsoft's SDK."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobServiceClient


@dataclass(frozen=True)
class BlobInfo:
    """One blob as it stands now."""

    uri: str
    properties: dict[str, Any]
    """The names of the .NET SDK, which the Functions host serialises."""
    metadata: dict[str, str]


class BlobStore:
    """A storage account's blobs. The SDK is imported, and the client built, on first use."""

    def __init__(self, connection_string: str) -> None:
        self._connection_string = connection_string
        self._client: BlobServiceClient | None = None
        self._building = asyncio.Lock()

    async def info(self, container: str, name: str) -> BlobInfo | None:
        """Properties and metadata; none when there is no such blob.

        Raises:
            azure.core.exceptions.AzureError: the account cannot be reached, or refuses.
        """
        from azure.core.exceptions import ResourceNotFoundError

        blob = (await self._service()).get_blob_client(container, name)
        try:
            properties = await blob.get_blob_properties()
        except ResourceNotFoundError:
            return None
        return BlobInfo(blob.url, _dotnet_properties(properties), dict(properties.metadata or {}))

    async def content(self, container: str, name: str) -> bytes | None:
        """All of the blob's bytes; none when there is no such blob.

        Raises:
            azure.core.exceptions.AzureError: the account cannot be reached, or refuses.
        """
        from azure.core.exceptions import ResourceNotFoundError

        blob = (await self._service()).get_blob_client(container, name)
        try:
            return await (await blob.download_blob()).readall()
        except ResourceNotFoundError:
            return None

    async def names(self, container: str) -> AsyncIterator[tuple[str, str]]:
        """Name and ETag of each blob; none when there is no such container.

        Raises:
            azure.core.exceptions.AzureError: the account cannot be reached, or refuses.
        """
        from azure.core.exceptions import ResourceNotFoundError

        blobs = (await self._service()).get_container_client(container).list_blobs()
        try:
            async for blob in blobs:
                yield blob.name, f'"{blob.etag.strip(chr(34))}"'
        except ResourceNotFoundError:
            return

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _service(self) -> BlobServiceClient:
        async with self._building:
            if self._client is None:
                # Half a second of imports: in a thread, so that requests are answered meanwhile.
                self._client = await asyncio.to_thread(_build_client, self._connection_string)
            return self._client


def _build_client(connection_string: str) -> BlobServiceClient:
    from azure.storage.blob.aio import BlobServiceClient

    # No retries inside: the SDK waits a quarter of a minute before its first one, the queue waits a second.
    return BlobServiceClient.from_connection_string(
        connection_string, retry_total=0, connection_timeout=5, read_timeout=60
    )


def _dotnet_properties(properties: BlobProperties) -> dict[str, Any]:
    settings = properties.content_settings
    content_hash = settings.content_md5
    return {
        "LastModified": properties.last_modified.isoformat(),
        "CreatedOn": properties.creation_time.isoformat(),
        "BlobType": str(getattr(properties.blob_type, "value", properties.blob_type)),
        "ContentLength": properties.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ContentLanguage": settings.content_language,
        "ContentDisposition": settings.content_disposition,
        "CacheControl": settings.cache_control,
        "ContentHash": base64.b64encode(bytes(content_hash)).decode() if content_hash else None,
        "ETag": properties.etag,
        "AccessTier": properties.blob_tier,
    }
