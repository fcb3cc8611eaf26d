"""``BlobStore`` on Azure Blob Storage (or Azurite)."""

from __future__ import annotations

import asyncio
import base64
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import ContainerClient, ExponentialRetry

from shared.adapters.azure_transport import translated
from shared.errors import EntityExistsError
from shared.ports import BlobProperties

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.storage.blob.aio import BlobClient

BLOCK_BYTES = 4 * 1024 * 1024
"""Size of a staged block. 50,000 blocks make a blob of at most 195 GiB."""
BLOCKS_IN_FLIGHT = 3
"""Blocks being sent at the same time; memory per upload is about one block more than this."""


class AzureBlobs:
    """Blobs in one container."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    @classmethod
    def connect(
        cls,
        container: str,
        transport: AioHttpTransport,
        *,
        connection_string: str | None = None,
        account_url: str | None = None,
        credential: AsyncTokenCredential | None = None,
    ) -> AzureBlobs:
        """By connection string, or by account URL and managed identity."""
        options: dict[str, Any] = {
            "transport": transport,
            "retry_policy": ExponentialRetry(
                initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1
            ),
            "max_single_put_size": BLOCK_BYTES,
        }
        if connection_string is not None:
            return cls(ContainerClient.from_connection_string(connection_string, container, **options))
        if account_url is None:
            raise ValueError("a connection string or an account URL is needed")
        return cls(ContainerClient(account_url, container, credential=credential, **options))

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        """See ``BlobStore``: one Put Blob up to a block's size, staged blocks and a commit above it."""
        async with aclosing(in_blocks(content, BLOCK_BYTES)) as blocks:
            first = await anext(blocks, b"")
            second = await anext(blocks, None)
            if second is None:
                return await self._put(name, first, content_type, metadata())
            return await self._put_in_blocks(name, _chained(first, second, blocks), content_type, metadata)

    async def _put(
        self, name: str, content: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        with translated("Blob Storage"):
            try:
                answer = await self._container.get_blob_client(name).upload_blob(
                    content,
                    length=len(content),
                    overwrite=False,
                    metadata=dict(metadata),
                    content_settings=ContentSettings(content_type=content_type),
                )
            except ResourceExistsError:
                return await self._own_earlier_try(name, metadata)
        return BlobProperties(name, str(answer["etag"]), len(content), content_type, metadata)

    async def _put_in_blocks(
        self,
        name: str,
        blocks: AsyncIterator[bytes],
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        blob = self._container.get_blob_client(name)
        with translated("Blob Storage"):
            block_ids, size_bytes = await _stage(blob, blocks)
            told = metadata()
            try:
                answer = await blob.commit_block_list(
                    [BlobBlock(block_id) for block_id in block_ids],
                    content_settings=ContentSettings(content_type=content_type),
                    metadata=dict(told),
                    match_condition=MatchConditions.IfMissing,
                )
            except ResourceExistsError:
                return await self._own_earlier_try(name, told)
        return BlobProperties(name, str(answer["etag"]), size_bytes, content_type, told)

    async def _own_earlier_try(self, name: str, metadata: Mapping[str, str]) -> BlobProperties:
        """A write whose answer was lost is sent again by the SDK, and then meets the blob it made itself."""
        found = await self.properties(name)
        if found is None or found.metadata != metadata:
            raise EntityExistsError(name)
        return found

    async def properties(self, name: str) -> BlobProperties | None:
        """See ``BlobStore``."""
        with translated("Blob Storage"):
            try:
                found = await self._container.get_blob_client(name).get_blob_properties()
            except ResourceNotFoundError:
                return None
        return BlobProperties(
            name=name,
            etag=str(found.etag),
            size_bytes=int(found.size),
            content_type=str(found.content_settings.content_type),
            metadata=dict(found.metadata),
        )

    async def check(self) -> None:
        """Ask for the container; raises UnavailableError when it does not answer."""
        with translated("Blob Storage"):
            await self._container.get_container_properties()

    async def close(self) -> None:
        """Release the client."""
        await self._container.close()


async def in_blocks(content: AsyncIterator[bytes], block_bytes: int) -> AsyncGenerator[bytes]:
    """Regroup chunks of any size into blocks of ``block_bytes``, the last one shorter."""
    block = bytearray()
    async for chunk in content:
        rest = memoryview(chunk)
        while rest:
            taken = rest[: block_bytes - len(block)]
            block += taken
            rest = rest[len(taken) :]
            if len(block) == block_bytes:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


async def _chained(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for block in rest:
        yield block


async def _stage(blob: BlobClient, blocks: AsyncIterator[bytes]) -> tuple[list[str], int]:
    """Stage the blocks, a few at a time; returns their ids in order, and the size in bytes.

    The ids start with a random prefix of this writer, so that two writers of one blob cannot mix blocks.
    """
    prefix = secrets.token_hex(8)
    block_ids: list[str] = []
    size_bytes = 0
    in_flight: set[asyncio.Future[Any]] = set()
    try:
        async for block in blocks:
            if len(in_flight) >= BLOCKS_IN_FLIGHT:
                done, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            block_ids.append(base64.b64encode(f"{prefix}{len(block_ids):08}".encode()).decode())
            size_bytes += len(block)
            in_flight.add(asyncio.ensure_future(blob.stage_block(block_ids[-1], block, length=len(block))))
        await asyncio.gather(*in_flight)
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    return block_ids, size_bytes
