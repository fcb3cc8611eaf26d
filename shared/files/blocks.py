"""Blocks: how the bytes of an upload are cut, named, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from shared.ports import StagedBlock

BLOCK_BYTES = 4 * 1024 * 1024
"""Size of a staged block, but for the last one of a request."""
MAX_BLOCKS = 50_000
"""Most blocks that a blob is made of (Blob service limit)."""


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


def block_id(epoch: int, offset_bytes: int) -> str:
    """The name of the block that the writer of ``epoch`` puts at ``offset_bytes``."""
    return f"{epoch:08x}{offset_bytes:016x}"


def _epoch_and_offset(block: StagedBlock) -> tuple[int, int]:
    return int(block.block_id[:8], 16), int(block.block_id[8:], 16)


def end_of_writing(
    staged: Iterable[StagedBlock], *, epoch: int, offset_bytes: int, blocks: int
) -> tuple[int, int]:
    """How far the writer of ``epoch`` came without a gap: its end in bytes, and the number of all blocks."""
    sizes_bytes = {
        offset: block.size_bytes
        for block in staged
        for writer, offset in [_epoch_and_offset(block)]
        if writer == epoch
    }
    while offset_bytes in sizes_bytes:
        offset_bytes += sizes_bytes[offset_bytes]
        blocks += 1
    return offset_bytes, blocks


def in_order(staged: Iterable[StagedBlock], length_bytes: int) -> Sequence[str] | None:
    """The ids of the blocks that make the whole of ``length_bytes``; None when they are not all there.

    Of several at one offset the one of the latest writer counts. That is always the right one: whoever wrote
    there earlier was overtaken before its block counted, for otherwise the later writer would have begun
    behind that block. Blocks that an overtaken writer put elsewhere are never reached from the start.
    """
    latest: dict[int, tuple[int, StagedBlock]] = {}
    for block in staged:
        epoch, offset_bytes = _epoch_and_offset(block)
        if offset_bytes not in latest or latest[offset_bytes][0] < epoch:
            latest[offset_bytes] = (epoch, block)
    ids: list[str] = []
    end_bytes = 0
    while end_bytes < length_bytes and end_bytes in latest:
        block = latest[end_bytes][1]
        ids.append(block.block_id)
        end_bytes += block.size_bytes
    return ids if end_bytes == length_bytes else None
