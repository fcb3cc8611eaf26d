"""``BlobStore`` on Azure Blob Storage (or Azurite)."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import ContainerClient

from shared.adapters.azure_transport import ANSWER, CONTENT, answered, error_code
from shared.adapters.blob_arguments import check_block, check_block_list
from shared.adapters.blob_errors import TAKEN, is_missing
from shared.adapters.blob_reading import read_blob
from shared.adapters.discarding import delete_blob, discard_blocks, is_discarded
from shared.adapters.same_write import is_same_write, same_commit
from shared.adapters.scan_tags import verdict_of
from shared.adapters.staged_blocks import stage_all, stage_block, staged_blocks
from shared.errors import EntityExistsError, EntityMissingError
from shared.files.blocks import BLOCK_BYTES, in_blocks
from shared.ports import BlobProperties
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.storage.blob.aio import BlobClient

    from shared.adapters.azure_transport import Patience
    from shared.ports import StagedBlock, Verdict

__all__ = ["BLOCK_BYTES", "AzureBlobs"]


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
        blob = self._blob(name)
        async with aclosing(in_blocks(content, BLOCK_BYTES)) as blocks:
            early = await _taken(blocks, 2)
            if len(early) < 2:
                whole = early.popleft() if early else b""
                size_bytes, block_ids = len(whole), None
            else:
                whole = b""
                block_ids, size_bytes = await stage_all(blob, early, blocks)
        asked = BlobProperties(name, "", size_bytes, content_type, dict(metadata()))

        async def write() -> BlobProperties:
            try:
                answer = await (
                    _put(blob, whole, asked) if block_ids is None else _commit(blob, block_ids, asked)
                )
            except HttpResponseError as error:
                if error_code(error) not in TAKEN:
                    raise
                return await self._own_earlier_try(asked, error)
            return replace(asked, etag=str(answer["etag"]))

        return await self._answered("Blob create", write, patience=CONTENT)

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
                found = await self._blob(name).get_blob_properties()
            except HttpResponseError as error:
                if is_missing(error):
                    return None
                raise
            if is_discarded(found.metadata):
                return None
            return BlobProperties(
                name=name,
                etag=str(found.etag),
                size_bytes=int(found.size),
                content_type=str(found.content_settings.content_type),
                metadata=dict(found.metadata),
            )

        return await self._answered("Blob properties", read)

    def read(
        self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        """See ``BlobStore``."""
        blob = self._blob(name)
        return read_blob(blob, name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag=etag)

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        """See ``BlobStore``."""
        check_block(block_id, content)
        await stage_block(self._blob(name), block_id, content)

    async def staged(self, name: str) -> Sequence[StagedBlock]:
        """See ``BlobStore``."""
        return await staged_blocks(self._blob(name))

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        """See ``BlobStore``. The service does not tell the size of what it made; it is asked for it."""
        check_block_list(block_ids)
        asked = BlobProperties(name, "", 0, content_type, dict(metadata))

        async def write() -> BlobProperties:
            clash: HttpResponseError | None = None
            try:
                await _commit(self._blob(name), block_ids, asked)
            except HttpResponseError as error:
                if error_code(error) not in TAKEN:
                    raise
                clash = error
            found = await self.properties(name)
            if found is not None:
                return same_commit(found, asked, block_ids)
            if clash is None or error_code(clash) == "InvalidBlockList":
                raise EntityMissingError(name) from clash
            raise clash

        return await self._answered("Blob commit", write, patience=CONTENT)

    async def delete(self, name: str) -> None:
        """See ``BlobStore``."""
        blob = self._blob(name)
        if await staged_blocks(blob):
            await discard_blocks(blob)
        else:
            await self._answered("Blob delete", lambda: delete_blob(blob))

    async def verdict(self, name: str) -> Verdict | None:
        """See ``Scanner``: what Defender for Storage has written to the blob's index tags."""

        async def read() -> Verdict | None:
            try:
                return verdict_of(await self._blob(name).get_blob_tags())
            except HttpResponseError as error:
                if is_missing(error):
                    return None
                raise

        return await self._answered("Blob tags", read)

    async def check(self) -> None:
        """Ask for the container; raises UnavailableError when it does not answer."""
        await self._answered("Blob container", self._container.get_container_properties)

    async def close(self) -> None:
        """Release the client."""
        await self._container.close()

    async def _answered[Answer](
        self, name: str, operation: Callable[[], Awaitable[Answer]], *, patience: Patience = ANSWER
    ) -> Answer:
        return await answered(
            System.BLOB, name, operation, target=self._container.container_name, patience=patience
        )

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)


async def _taken(blocks: AsyncIterator[bytes], count: int) -> deque[bytes]:
    taken: deque[bytes] = deque()
    while len(taken) < count and (block := await anext(blocks, None)) is not None:
        taken.append(block)
    return taken


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
