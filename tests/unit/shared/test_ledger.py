from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryTables
from shared.errors import EntityChangedError, EntityMissingError
from shared.ledger import conditional
from shared.ledger.ranges import rows
from shared.ports import Delete, Entity, Insert, Page, Replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Change


def plus_one(entity: Entity) -> tuple[Entity | None, str]:
    return replace(entity, values={"n": int(str(entity.values["n"])) + 1}), "added"


class Rivals(MemoryTables):
    """Somebody else writes first, as often as told."""

    def __init__(self, lost_races: int, *, deletes: bool = False) -> None:
        super().__init__()
        self.lost_races = lost_races
        self.deletes = deletes

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if self.lost_races and isinstance(changes[0], Replace):
            self.lost_races -= 1
            present = await self.get("p", "r")
            assert present is not None
            theirs: Change = Delete(present) if self.deletes else Replace(replace(present, values={"n": 100}))
            await super().apply([theirs])
        return await super().apply(changes)


async def with_row(tables: MemoryTables) -> MemoryTables:
    await tables.apply([Insert(Entity("p", "r", {"n": 1}))])
    return tables


async def test_the_row_is_changed_and_comes_back_with_its_new_etag() -> None:
    tables = await with_row(MemoryTables())
    entity, verdict = await conditional.update(tables, "p", "r", plus_one)
    assert verdict == "added"
    assert entity.values == {"n": 2}
    assert await tables.get("p", "r") == entity


async def test_a_decision_to_leave_the_row_writes_nothing() -> None:
    tables = await with_row(MemoryTables())
    before = await tables.get("p", "r")
    entity, verdict = await conditional.update(tables, "p", "r", lambda _: (None, "leave it"))
    assert verdict == "leave it"
    assert entity == before == await tables.get("p", "r")


async def test_who_loses_a_race_decides_again_on_what_the_winner_wrote() -> None:
    tables = await with_row(Rivals(lost_races=conditional.MAX_TRIES - 1))
    entity, _ = await conditional.update(tables, "p", "r", plus_one)
    assert entity.values == {"n": 101}


async def test_who_loses_every_race_gives_up_with_an_error_that_a_retry_can_mend() -> None:
    tables = await with_row(Rivals(lost_races=conditional.MAX_TRIES))
    with pytest.raises(EntityChangedError) as caught:
        await conditional.update(tables, "p", "r", plus_one)
    assert caught.value.retryable


async def test_a_row_that_is_missing_or_goes_meanwhile_is_reported_as_missing() -> None:
    with pytest.raises(EntityMissingError):
        await conditional.update(MemoryTables(), "p", "r", plus_one)
    with pytest.raises(EntityMissingError):
        await conditional.update(await with_row(Rivals(1, deletes=True)), "p", "r", plus_one)


class SmallPages(MemoryTables):
    """Gives out at most two rows at once, as the service may give less than was asked for."""

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        return await super().query(
            partition_key, first_row_key=first_row_key, end_row_key=end_row_key, limit=min(limit, 2)
        )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
async def test_a_range_is_read_to_its_end_page_by_page(count: int) -> None:
    tables = SmallPages()
    keys = [f"row|{n}" for n in range(count)]
    for partition, key in [
        *(("p", key) for key in reversed(keys)),
        ("p", "row"),
        ("p", "row}"),
        ("q", "row|1"),
    ]:
        await tables.apply([Insert(Entity(partition, key, {}))])
    found = [row.row_key async for row in rows(tables, "p", first_row_key="row|", end_row_key="row}")]
    assert found == keys
