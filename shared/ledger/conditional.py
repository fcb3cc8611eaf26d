"""Read, decide, write if nobody else wrote in between: the one way a shared row is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import EntityChangedError, EntityMissingError
from shared.ports import Replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.ports import Entity, TableStore

MAX_TRIES = 8
"""Lost races in a row before giving up; the message or event behind the change is then delivered again."""


async def update[Verdict](
    tables: TableStore,
    partition_key: str,
    row_key: str,
    decide: Callable[[Entity], tuple[Entity | None, Verdict]],
) -> tuple[Entity, Verdict]:
    """Change one row by a pure decision; returns the row as it now stands, and the verdict.

    ``decide`` gets the present row and returns the row as it should be (None: leave it) with its verdict.
    When somebody else wrote in between, it is asked again with the newer row.

    Raises EntityMissingError when there is no such row, EntityChangedError when every race was lost.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        entity = await tables.get(partition_key, row_key)
        if entity is None:
            raise EntityMissingError(row_key)
        changed, verdict = decide(entity)
        if changed is None:
            return entity, verdict
        try:
            (etag,) = await tables.apply([Replace(changed)])
        except EntityChangedError:
            if not tries_left:
                raise
        else:
            return replace(changed, etag=etag), verdict
    raise AssertionError("unreachable: the last lost race raises")
