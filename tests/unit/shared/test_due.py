from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import UnavailableError
from shared.ledger.due import SHARDS, DueBook


class Book:
    """A due book, and a work that notes what it was asked to look at."""

    def __init__(self) -> None:
        self.clock = MemoryClock()
        self.tables = MemoryTables()
        self.book = DueBook(self.tables, self.clock)
        self.seen: list[tuple[str, str]] = []
        self.again: list[datetime] = []
        self.fails: set[str] = set()

    async def put(self, id_: str, *, kind: str = "thing", seconds: float = 0) -> None:
        await self.book.put(kind, "owner", id_, self.clock.now() + timedelta(seconds=seconds))

    async def look(self, owner: str, id_: str) -> datetime | None:
        self.seen.append((owner, id_))
        if id_ in self.fails:
            raise UnavailableError("not now")
        return self.again.pop() if self.again else None

    async def work_off(self) -> dict[str, int]:
        self.clock.advance(0.001)
        return dict(await self.book.work_off({"thing": self.look}))


@pytest.fixture
def book() -> Book:
    return Book()


async def test_what_is_due_is_looked_at_once(book: Book) -> None:
    for number in range(3 * SHARDS):
        await book.put(str(number))
    assert await book.work_off() == {"thing": 3 * SHARDS}
    assert sorted(book.seen) == sorted(("owner", str(number)) for number in range(3 * SHARDS))
    assert await book.work_off() == {}
    assert book.tables.rows == {}


async def test_what_is_not_due_is_left(book: Book) -> None:
    await book.put("later", seconds=10)
    assert await book.work_off() == {}
    book.clock.advance(10)
    assert await book.work_off() == {"thing": 1}


async def test_a_look_can_ask_for_another(book: Book) -> None:
    await book.put("twice")
    book.again.append(book.clock.now() + timedelta(seconds=60))
    assert await book.work_off() == {"thing": 1}
    assert await book.work_off() == {}
    book.clock.advance(60)
    assert await book.work_off() == {"thing": 1}
    assert book.tables.rows == {}


async def test_one_that_fails_stays_and_keeps_no_other_from_being_done(book: Book) -> None:
    for id_ in ("good", "bad", "fine"):
        await book.put(id_)
    book.fails.add("bad")
    assert await book.work_off() == {"thing": 2}
    book.fails.clear()
    assert await book.work_off() == {"thing": 1}


async def test_a_kind_that_nobody_knows_stays(book: Book) -> None:
    await book.put("x", kind="of a newer version")
    assert await book.work_off() == {}
    assert len(book.tables.rows) == 1


async def test_the_same_note_twice_is_one(book: Book) -> None:
    await book.put("same")
    await book.put("same")
    assert await book.work_off() == {"thing": 1}
