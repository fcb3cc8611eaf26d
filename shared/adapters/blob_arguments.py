"""What every ``BlobStore`` refuses before it asks anybody (Blob service REST: Put Block, Put Block List)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BLOCKS = 50_000
"""Most blocks that a blob can be made of."""
MAX_BLOCK_ID_CHARACTERS = 64
"""Before the base64 encoding that the service asks for."""


def check_name(name: str) -> None:
    """Raises ValueError where no blob is named: what is signed would be the container."""
    if not name:
        raise ValueError("a blob has a name")


def check_range(offset_bytes: int, size_bytes: int | None) -> None:
    """Raises ValueError for what is no range. One that reaches beyond the end of the blob is cut there."""
    if offset_bytes < 0 or (size_bytes is not None and size_bytes < 0):
        raise ValueError("a range has no negative offset and no negative size")


def check_block(block_id: str, content: bytes) -> None:
    """Raises ValueError for a block that no service would take."""
    if not content:
        raise ValueError("a block cannot be empty")
    _check_id(block_id)


def check_block_list(block_ids: Sequence[str]) -> None:
    """Raises ValueError for a list that no service would take."""
    if len(block_ids) > MAX_BLOCKS:
        raise ValueError(f"a blob has at most {MAX_BLOCKS} blocks")
    for block_id in block_ids:
        _check_id(block_id)


def check_field_value(value: str) -> None:
    """Raises ValueError for what cannot be the value of a header field in an answer (RFC 9110 §5.5)."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("the value of a header field is printable ASCII")


def _check_id(block_id: str) -> None:
    if not block_id.isascii() or not 0 < len(block_id) <= MAX_BLOCK_ID_CHARACTERS:
        raise ValueError(f"a block id has 1 to {MAX_BLOCK_ID_CHARACTERS} ASCII characters")
