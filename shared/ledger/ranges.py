"""Reading a whole range of rows, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.ports import Entity, TableStore

PAGE_ROWS = 1000
"""The most that the Table service returns at once."""


async def rows(
    tables: TableStore, partition_key: str, *, first_row_key: str, end_row_key: str
) -> AsyncIterator[Entity]:
    """Every row with ``first_row_key <= row_key < end_row_key``, in order."""
    next_row_key: str | None = first_row_key
    while next_row_key is not None:
        page = await tables.query(
            partition_key, first_row_key=next_row_key, end_row_key=end_row_key, limit=PAGE_ROWS
        )
        for entity in page.entities:
            yield entity
        next_row_key = page.next_row_key
