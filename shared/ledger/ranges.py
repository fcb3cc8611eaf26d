"""Reading a whole range of rows, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from shared.ports import Entity, TableStore

PAGE_ROWS = 1000
"""The most that the Table service returns at once."""
MAX_ROWS_READ = 1000
"""For one page of what a filter admits, whatever the filter."""
LEAST_ROWS_READ = 100
"""Read at once where a filter lets few rows through."""


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


async def admitted[Thing](
    tables: TableStore,
    partition_key: str,
    *,
    first_row_key: str,
    end_row_key: str,
    limit: int,
    read: Callable[[Entity], Thing | None],
) -> tuple[list[Thing], str | None]:
    """Up to ``limit`` of the range's rows that ``read`` admits (None: it does not), and where to go on.

    A page ends when it has ``limit`` things or ``MAX_ROWS_READ`` rows were read for it, so that what a
    request costs does not depend on how rare they are. It may then have fewer than asked for, or none, and
    there may still be more.
    """
    next_row_key: str | None = first_row_key
    found: list[Thing] = []
    rows_left = MAX_ROWS_READ
    while next_row_key is not None and len(found) < limit and rows_left:
        missing = limit - len(found)
        ask = missing if rows_left == MAX_ROWS_READ else max(missing, LEAST_ROWS_READ)
        page = await tables.query(
            partition_key, first_row_key=next_row_key, end_row_key=end_row_key, limit=min(ask, rows_left)
        )
        rows_left -= len(page.entities)
        next_row_key = page.next_row_key
        for entity in page.entities:
            if len(found) == limit:
                next_row_key = entity.row_key
                break
            thing = read(entity)
            if thing is not None:
                found.append(thing)
    return found, next_row_key
