"""Blocks on their way into a blob.

The SDK does the base64 encoding of block ids that the service asks for.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError

from shared.adapters.azure_transport import CONTENT, answered, error_code
from shared.adapters.blob_errors import is_missing
from shared.files.in_flight import BlocksInFlight
from shared.ports import StagedBlock
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Sequence

    from azure.storage.blob.aio import BlobClient


async def stage_block(blob: BlobClient, block_id: str, content: bytes) -> None:
    """Send one block. Sent twice it replaces itself."""

    async def send() -> None:
        try:
            await blob.stage_block(block_id, content, length=len(content))
        except HttpResponseError as error:
            if error_code(error) == "InvalidBlobOrBlock":
                raise ValueError("all block ids of a blob have the same length") from error
            raise

    await answered(System.BLOB, "Blob stage", send, target=blob.container_name, patience=CONTENT)


async def staged_blocks(blob: BlobClient) -> Sequence[StagedBlock]:
    """What is staged and not committed; the ids of clients that write without us may be anything."""

    async def read() -> Sequence[StagedBlock]:
        try:
            _, uncommitted = await blob.get_block_list("uncommitted")
        except HttpResponseError as error:
            if is_missing(error):
                return ()
            raise
        return tuple(StagedBlock(str(block.id), int(block.size)) for block in uncommitted)

    return await answered(System.BLOB, "Blob list blocks", read, target=blob.container_name, patience=CONTENT)


async def stage_all(
    blob: BlobClient, early_blocks: deque[bytes], more_blocks: AsyncIterator[bytes]
) -> tuple[list[str], int]:
    """Stage the blocks, letting go of each; returns their ids in order, and the size in bytes.

    The ids start with a random prefix of this writer, so that two writers of one blob cannot mix blocks.
    """
    prefix = secrets.token_hex(8)
    block_ids: list[str] = []
    size_bytes = 0
    async with BlocksInFlight() as in_flight:

        async def stage(block: bytes) -> None:
            nonlocal size_bytes
            block_ids.append(f"{prefix}{len(block_ids):08}")
            size_bytes += len(block)
            await in_flight.send(stage_block(blob, block_ids[-1], block))

        while early_blocks:
            await stage(early_blocks.popleft())
        async for block in more_blocks:
            await stage(block)
    return block_ids, size_bytes
