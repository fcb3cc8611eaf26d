"""Which of many staged blocks are the upload: pure decisions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.files.blocks import block_id, end_of_writing, in_blocks, in_order
from shared.ports import StagedBlock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def staged(*blocks: tuple[int, int, int]) -> list[StagedBlock]:
    return [StagedBlock(block_id(epoch, offset), size) for epoch, offset, size in blocks]


def test_all_ids_have_one_length_and_hold_the_largest_numbers() -> None:
    assert {len(block_id(epoch, offset)) for epoch in (0, 2**32 - 1) for offset in (0, 2**64 - 1)} == {24}


@pytest.mark.parametrize(
    ("blocks", "length_bytes", "expected"),
    [
        ([], 0, []),
        ([], 1, None),
        ([(1, 0, 10)], 10, [(1, 0)]),
        ([(1, 0, 10)], 11, None),
        ([(1, 0, 10)], 9, None),
        ([(1, 10, 10), (1, 0, 10)], 20, [(1, 0), (1, 10)]),
        ([(1, 0, 10), (1, 20, 10)], 30, None),
        ([(1, 0, 10), (2, 0, 5), (2, 5, 5)], 10, [(2, 0), (2, 5)]),
        ([(1, 0, 10), (2, 10, 10), (1, 10, 99)], 20, [(1, 0), (2, 10)]),
        ([(1, 0, 10), (1, 10, 10), (2, 10, 3), (3, 13, 7)], 20, [(1, 0), (2, 10), (3, 13)]),
    ],
)
def test_the_latest_writer_at_each_offset_counts(
    blocks: list[tuple[int, int, int]], length_bytes: int, expected: list[tuple[int, int]] | None
) -> None:
    wanted = None if expected is None else [block_id(*each) for each in expected]
    assert in_order(staged(*blocks), length_bytes) == wanted


@pytest.mark.parametrize(
    ("blocks", "end"),
    [
        ([], (5, 1)),
        ([(2, 5, 10)], (15, 2)),
        ([(2, 5, 10), (2, 15, 1)], (16, 3)),
        ([(2, 5, 10), (2, 16, 1)], (15, 2)),
        ([(1, 5, 10)], (5, 1)),
        ([(3, 5, 10)], (5, 1)),
    ],
)
def test_a_crashed_writer_came_as_far_as_its_blocks_have_no_gap(
    blocks: list[tuple[int, int, int]], end: tuple[int, int]
) -> None:
    assert end_of_writing(staged(*blocks), epoch=2, offset_bytes=5, blocks=1) == end


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(1, 20))
async def test_blocks_hold_the_same_bytes_and_all_but_the_last_are_full(
    chunks: list[bytes], block_bytes: int
) -> None:
    async def content() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    blocks = [block async for block in in_blocks(content(), block_bytes)]
    assert b"".join(blocks) == b"".join(chunks)
    assert all(len(block) == block_bytes for block, _ in pairwise(blocks))
    assert all(blocks)
