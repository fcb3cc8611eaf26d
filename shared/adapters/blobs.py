"""``BlobStore`` on Azure Blob Storage (or Azurite)."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import deque
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import ContainerClient

from shared.adapters.azure_transport import CONTENT, answered, error_code
from shared.adapters.same_write import is_same_write
from shared.errors import EntityExistsError
from shared.ports import BlobProperties

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.storage.blob.aio import BlobClient

SERVICE = "Blob Storage"
BLOCK_BYTES = 4 * 1024 * 1024
"""Size of a staged block. 50,000 blocks make a blob of at most 195 GiB."""
BLOCKS_IN_FLIGHT = 3
"""Blocks being sent at the same time. With one being filled, and copies, an upload holds 28 MiB at most."""
_TAKEN = frozenset({"BlobAlreadyExists", "ConditionNotMet", "InvalidBlockList"})
"""Somebody has committed a blob of this name, which also throws away the blocks that others staged for it."""


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
            "retry_total": 0,  # see azure_transport
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
        blob = self._container.get_blob_client(name)
        async with aclosing(in_blocks(content, BLOCK_BYTES)) as blocks:
            early = await _taken(blocks, 2)
            if len(early) < 2:
                whole = early.popleft() if early else b""
                size_bytes, block_ids = len(whole), None
            else:
                whole = b""
                block_ids, size_bytes = await _stage(blob, early, blocks)
        asked = BlobProperties(name, "", size_bytes, content_type, dict(metadata()))

        async def write() -> BlobProperties:
            try:
                answer = await (
                    _put(blob, whole, asked) if block_ids is None else _commit(blob, block_ids, asked)
                )
            except HttpResponseError as error:
                if error_code(error) not in _TAKEN:
                    raise
                return await self._own_earlier_try(asked, error)
            return replace(asked, etag=str(answer["etag"]))

        return await answered(SERVICE, write, patience=CONTENT)

    async def _own_earlier_try(self, asked: BlobProperties, error: HttpResponseError) -> BlobProperties:
        """A write whose answer was lost is sent again, and then meets the blob that it made itself."""
        found = await self.properties(asked.name)
        if found is None:
            raise error
        if is_same_write(found, asked):
            return found
        raise EntityExistsError(asked.name) from error

    async def properties(self, name: str) -> BlobProperties | None:
        """See ``BlobStore``."""

        async def read() -> BlobProperties | None:
            try:
                found = await self._container.get_blob_client(name).get_blob_properties()
            except ResourceNotFoundError as error:
                if error_code(error) in {"ContainerNotFound", "ContainerBeingDeleted"}:
                    raise
                return None
            return BlobProperties(
                name=name,
                etag=str(found.etag),
                size_bytes=int(found.size),
                content_type=str(found.content_settings.content_type),
                metadata=dict(found.metadata),
            )

        return await answered(SERVICE, read)

    async def check(self) -> None:
        """Ask for the container; raises UnavailableError when it does not answer."""
        await answered(SERVICE, self._container.get_container_properties)

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
                whole = bytes(block)
                block.clear()
                yield whole
    if block:
        yield bytes(block)


async def _taken(blocks: AsyncIterator[bytes], count: int) -> deque[bytes]:
    taken: deque[bytes] = deque()
    while len(taken) < count and (block := await anext(blocks, None)) is not None:
        taken.append(block)
    return taken


async def _stage(
    blob: BlobClient, early_blocks: deque[bytes], more_blocks: AsyncIterator[bytes]
) -> tuple[list[str], int]:
    """Stage the blocks, letting go of each; returns their ids in order, and the size in bytes.

    The ids start with a random prefix of this writer, so that two writers of one blob cannot mix blocks.
    """
    prefix = secrets.token_hex(8)
    block_ids: list[str] = []
    size_bytes = 0
    in_flight: deque[asyncio.Task[None]] = deque()

    async def stage(block: bytes) -> None:
        nonlocal size_bytes
        if len(in_flight) >= BLOCKS_IN_FLIGHT:
            await in_flight[0]
            in_flight.popleft()
        block_ids.append(base64.b64encode(f"{prefix}{len(block_ids):08}".encode()).decode())
        size_bytes += len(block)
        in_flight.append(asyncio.create_task(_stage_one(blob, block_ids[-1], block)))

    try:
        while early_blocks:
            await stage(early_blocks.popleft())
        async for block in more_blocks:
            await stage(block)
        await asyncio.gather(*in_flight)
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    return block_ids, size_bytes


async def _stage_one(blob: BlobClient, block_id: str, block: bytes) -> None:
    await answered(SERVICE, lambda: blob.stage_block(block_id, block, length=len(block)), patience=CONTENT)


async def _put(blob: BlobClient, content: bytes, asked: BlobProperties) -> Mapping[str, Any]:
    return await blob.upload_blob(
        content,
        length=len(content),
        overwrite=False,
        metadata=dict(asked.metadata),
        content_settings=ContentSettings(content_type=asked.content_type),
    )


async def _commit(blob: BlobClient, block_ids: Sequence[str], asked: BlobProperties) -> Mapping[str, Any]:
    return await blob.commit_block_list(
        [BlobBlock(block_id) for block_id in block_ids],
        content_settings=ContentSettings(content_type=asked.content_type),
        metadata=dict(asked.metadata),
        match_condition=MatchConditions.IfMissing,
    )
