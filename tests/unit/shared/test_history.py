from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import EntityChangedError, NotFoundError, UnavailableError
from shared.files.file import FileStatus
from shared.ledger.due import DueBook
from shared.ledger.ranges import MAX_ROWS_READ
from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import Delivery, DeliveryStatus
from shared.notifications.history import DUE_KIND, DeliveryFilter, History, look_at
from shared.notifications.subscription import EventType
from shared.ports import MAX_TRANSACTION_CHANGES, Delete, Insert, Replace
from tests.unit.shared import sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Change

DAY_SECONDS = 86_400
KEEP_SECONDS = 30.0 * DAY_SECONDS
ANY = DeliveryFilter()


class Archive:
    """A history over memory adapters."""

    def __init__(self, tables: MemoryTables | None = None) -> None:
        self.clock = MemoryClock(sample.NOW)
        self.tables = tables or MemoryTables()
        self.due = DueBook(self.tables, self.clock)
        self.history = History(self.tables, self.clock, self.due, keep_deliveries_seconds=KEEP_SECONDS)

    async def settled(self, number: int, *, days_ago: float = 0, **changes: Any) -> Delivery:
        at = self.clock.now() - timedelta(days=days_ago)
        made = sample.delivery(number, status=DeliveryStatus.DELIVERED, settled_at=at)
        await sample.insert(self.tables, replace(made, **changes))
        return made

    async def left(self) -> list[str]:
        page = await self.history.page(sample.OWNER, ANY, limit=1000)
        return [delivery.id for delivery in page.deliveries]

    async def forget(self) -> Any:
        return await self.history.forget(sample.OWNER, sample.FILE_ID)


async def test_pages_follow_each_other_from_the_newest_file_to_the_oldest() -> None:
    archive = Archive()
    await sample.insert(archive.tables, *(sample.delivery_of(number) for number in range(7)))
    told: list[str] = []
    start = None
    for size in (3, 3, 1):
        page = await archive.history.page(sample.OWNER, ANY, limit=3, first_row_key=start)
        assert len(page.deliveries) == size
        told += [delivery.file_id for delivery in page.deliveries]
        start = page.next_row_key
    assert start is None
    assert told == [sample.file_id_of(number) for number in reversed(range(7))]


async def test_one_files_page_holds_no_delivery_of_another() -> None:
    archive = Archive()
    await sample.insert(archive.tables, *(sample.delivery_of(number) for number in range(3)))
    wanted = sample.file_id_of(1)
    page = await archive.history.page(sample.OWNER, ANY, limit=10, file_id=wanted)
    assert [delivery.file_id for delivery in page.deliveries] == [wanted]
    assert page.next_row_key is None


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (ANY, [1, 2, 3]),
        (DeliveryFilter(statuses=frozenset({DeliveryStatus.DEAD})), [2]),
        (DeliveryFilter(statuses=frozenset({DeliveryStatus.DEAD, DeliveryStatus.QUEUED})), [1, 2]),
        (DeliveryFilter(subscription_id=f"{2:032x}"), [2]),
        (DeliveryFilter(event=EventType.FILE_UPDATED), [3]),
        (DeliveryFilter(subscription_id=f"{2:032x}", event=EventType.FILE_UPDATED), []),
    ],
)
async def test_a_list_can_be_narrowed(wanted: DeliveryFilter, numbers: list[int]) -> None:
    archive = Archive()
    id_ = deliveries.delivery_id(sample.FILE_ID, EventType.FILE_UPDATED, f"{3:032x}", revision=2)
    updated = sample.delivery(3, id=id_, status=DeliveryStatus.RETRYING)
    dead = sample.delivery(2, status=DeliveryStatus.DEAD)
    await sample.insert(archive.tables, sample.delivery(1), dead, updated)
    page = await archive.history.page(sample.OWNER, wanted, limit=10)
    assert [delivery.subscription_id for delivery in page.deliveries] == [f"{n:032x}" for n in numbers]
    assert deliveries.event_of(updated) is EventType.FILE_UPDATED


async def test_a_rare_delivery_is_looked_for_in_a_bounded_number_of_rows() -> None:
    archive = Archive()
    for number in range(1, MAX_ROWS_READ + 2):
        await sample.insert(archive.tables, sample.delivery_of(number))
    rare = replace(sample.delivery_of(0), status=DeliveryStatus.DEAD)
    await sample.insert(archive.tables, rare)
    wanted = DeliveryFilter(statuses=frozenset({DeliveryStatus.DEAD}))
    first = await archive.history.page(sample.OWNER, wanted, limit=50)
    assert not first.deliveries
    second = await archive.history.page(sample.OWNER, wanted, limit=50, first_row_key=first.next_row_key)
    assert [delivery.id for delivery in second.deliveries] == [rare.id]
    assert second.next_row_key is None


async def test_one_is_found_by_its_id_in_its_owners_partition_only() -> None:
    archive = Archive()
    made = sample.delivery()
    await sample.insert(archive.tables, made)
    assert (await archive.history.find(sample.OWNER, made.id)).subscription_id == made.subscription_id
    for owner, id_ in [
        ("f" * 32, made.id),
        (sample.OWNER, made.id.upper()),
        (sample.OWNER, f"{made.id}|"),
        (sample.OWNER, ""),
        (sample.OWNER, "x" * 36 + made.id[36:]),
        (sample.OWNER, "-" * 36 + made.id[36:]),
        (sample.OWNER, sample.delivery(2).id),
    ]:
        with pytest.raises(NotFoundError):
            await archive.history.find(owner, id_)


async def test_what_ended_long_ago_is_forgotten_and_what_did_not_is_kept() -> None:
    archive = Archive()
    await archive.settled(1, days_ago=31)
    kept = await archive.settled(2, days_ago=10)
    again_at = await archive.forget()
    assert await archive.left() == [kept.id]
    assert again_at == look_at(sample.FILE_ID, sample.NOW + timedelta(days=20))
    archive.clock.advance((again_at - sample.NOW).total_seconds())
    assert await archive.forget() is None
    assert not await archive.left()


@pytest.mark.parametrize(
    "status", [DeliveryStatus.QUEUED, DeliveryStatus.DELIVERING, DeliveryStatus.RETRYING]
)
async def test_what_has_not_ended_is_never_forgotten(status: DeliveryStatus) -> None:
    archive = Archive()
    made = await archive.settled(1, days_ago=999, status=status, settled_at=None)
    again_at = await archive.forget()
    assert await archive.left() == [made.id]
    assert timedelta(days=1) <= again_at - sample.NOW <= timedelta(days=2)


async def test_a_file_whose_announcement_is_not_finished_keeps_all() -> None:
    archive = Archive()
    await sample.insert(archive.tables, sample.file(status=FileStatus.STORED))
    made = await archive.settled(1, days_ago=999)
    assert await archive.forget() is not None
    assert await archive.left() == [made.id]


async def test_more_than_one_transaction_takes_are_forgotten() -> None:
    archive = Archive()
    for number in range(MAX_TRANSACTION_CHANGES * 2 + 3):
        await archive.settled(number, days_ago=31)
    await sample.insert(archive.tables, sample.file(status=FileStatus.SETTLED))
    assert await archive.forget() is None
    assert not await archive.left()


class RedrivenMeanwhile(MemoryTables):
    """Somebody puts the delivery back just before it is deleted, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if isinstance(changes[0], Delete) and self.times:
            self.times -= 1
            (row,) = [row for (_, key), row in self.rows.items() if key.startswith("delivery|")]
            queued = replace(deliveries.from_entity(row), status=DeliveryStatus.QUEUED)
            await super().apply([Replace(deliveries.to_entity(queued))])
        return await super().apply(changes)


async def test_what_a_redrive_puts_back_is_not_forgotten() -> None:
    archive = Archive(RedrivenMeanwhile(1))
    made = await archive.settled(1, days_ago=31)
    assert await archive.forget() is not None
    assert await archive.left() == [made.id]


class NeverTheSame(MemoryTables):
    """Whatever is deleted was changed."""

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if isinstance(changes[0], Delete):
            raise EntityChangedError
        return await super().apply(changes)


async def test_rows_that_never_stay_the_same_are_left_for_another_time() -> None:
    archive = Archive(NeverTheSame())
    await archive.settled(1, days_ago=31)
    with pytest.raises(UnavailableError):
        await archive.forget()


async def test_the_sweep_forgets_what_was_noted() -> None:
    archive = Archive()
    await archive.history.note(sample.OWNER, sample.FILE_ID)
    await archive.history.note(sample.OWNER, sample.FILE_ID)
    await archive.settled(1)
    works = {DUE_KIND: archive.history.forget}
    archive.clock.advance(KEEP_SECONDS - 1)
    assert not await archive.due.work_off(works)
    archive.clock.advance(DAY_SECONDS + 1)
    assert await archive.due.work_off(works) == {DUE_KIND: 1}
    assert not archive.tables.rows


@pytest.mark.parametrize("seconds", [0, 1, 40_000, 86_399, 86_400])
def test_a_file_is_looked_at_once_a_day_at_its_own_time(seconds: int) -> None:
    earliest = sample.NOW + timedelta(seconds=seconds)
    at = look_at(sample.FILE_ID, earliest)
    assert timedelta(0) <= at - earliest < timedelta(days=1)
    assert look_at(sample.FILE_ID, at) == at
    assert look_at(sample.FILE_ID, at + timedelta(microseconds=1)) == at + timedelta(days=1)
    assert look_at(sample.file_id_of(2), earliest).time() != at.time()


def test_nothing_is_forgotten_within_the_hour() -> None:
    tables, clock = MemoryTables(), MemoryClock()
    with pytest.raises(ValueError, match="3600 s at least"):
        History(tables, clock, DueBook(tables, clock), keep_deliveries_seconds=3599)


async def test_a_foreign_row_in_the_range_is_not_taken_along() -> None:
    archive = Archive()
    other = replace(
        sample.delivery_of(2), status=DeliveryStatus.DELIVERED, settled_at=sample.NOW - timedelta(days=99)
    )
    await archive.settled(1, days_ago=31)
    await archive.tables.apply([Insert(deliveries.to_entity(other))])
    assert await archive.forget() is None
    assert await archive.left() == [other.id]
