from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import (
    ConflictError,
    EntityChangedError,
    EntityMissingError,
    UnavailableError,
    UnprocessableError,
)
from shared.ledger.idempotency import (
    KIND,
    Claim,
    Content,
    IdempotencyPolicy,
    IdempotentRequests,
    KeyedRequest,
    RequestStatus,
    Verdict,
    check_same,
    described_by,
    from_entity,
    key_id,
    to_entity,
    verdict,
)
from tests.unit.shared.sample import NOW, OWNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Change

LEASE = timedelta(seconds=300)
KEPT = timedelta(hours=24)
KEY = key_id("create_file", "tenant", "caller", OWNER, key="k")
CONTENT = Content(described_by("a.txt", "text/plain", {}), 5, "5" * 64)
RUNNING = KeyedRequest(OWNER, KEY, RequestStatus.RUNNING, 1, "result-1", NOW + LEASE, NOW + KEPT)
DONE = replace(RUNNING, status=RequestStatus.DONE, content=CONTENT)


class Book:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str, datetime]] = []

    async def put(self, kind: str, owner: str, id_: str, at: datetime) -> None:
        self.entries.append((kind, owner, id_, at))


class Desk:
    """The rows of keys, a clock, and what is due."""

    def __init__(self, tables: MemoryTables | None = None) -> None:
        self.tables = tables or MemoryTables()
        self.clock = MemoryClock(NOW)
        self.book = Book()
        self.requests = IdempotentRequests(self.tables, self.clock, self.book)

    async def begin(self, result_id: str = "result-1") -> Claim:
        begun = await self.requests.begin(OWNER, KEY, result_id=result_id)
        assert isinstance(begun, Claim)
        return begun

    async def row(self) -> KeyedRequest:
        found = await self.requests.find(OWNER, KEY)
        assert found is not None
        return found


@pytest.mark.parametrize(
    ("found", "after", "expected"),
    [
        (None, timedelta(), Verdict.START),
        (RUNNING, timedelta(), Verdict.WAIT),
        (RUNNING, LEASE - timedelta(microseconds=1), Verdict.WAIT),
        (RUNNING, LEASE, Verdict.TAKE_OVER),
        (RUNNING, KEPT, Verdict.START),
        (replace(RUNNING, lease_ends_at=NOW + KEPT + LEASE), KEPT, Verdict.WAIT),
        (DONE, timedelta(), Verdict.REPLAY),
        (DONE, KEPT - timedelta(microseconds=1), Verdict.REPLAY),
        (DONE, KEPT, Verdict.START),
    ],
)
def test_the_row_and_the_time_decide(found: KeyedRequest | None, after: timedelta, expected: Verdict) -> None:
    assert verdict(found, NOW + after) is expected


def test_what_is_done_stays_done() -> None:
    with pytest.raises(ValueError, match="cannot go from done to running"):
        DONE.moved_to(RequestStatus.RUNNING)


def test_a_key_means_nothing_outside_its_scope() -> None:
    scopes = [("a", "b"), ("ab", ""), ("a", "b", ""), ("b", "a")]
    assert len({key_id(*scope, key="k") for scope in scopes}) == len(scopes)
    assert key_id("a", "b", key="k") == key_id("a", "b", key="k") != key_id("a", "b", key="K")


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ({}, True),
        ({"size_bytes": None, "sha256": None}, True),
        ({"size_bytes": 6}, False),
        ({"sha256": "6" * 64}, False),
        ({"described": described_by("b.txt", "text/plain", {})}, False),
    ],
)
def test_another_request_with_the_key_is_told_as_early_as_it_is_known(
    told: dict[str, object], same: bool
) -> None:
    said = {"described": CONTENT.described, "size_bytes": 5, "sha256": CONTENT.sha256} | told
    if same:
        check_same(DONE, **said)  # type: ignore[arg-type]  # made by a table
        return
    with pytest.raises(UnprocessableError) as caught:
        check_same(DONE, **said)  # type: ignore[arg-type]  # made by a table
    assert caught.value.code == "idempotency-key-reused"


@pytest.mark.parametrize("request_", [RUNNING, DONE, replace(DONE, answer="{}"), replace(RUNNING, epoch=3)])
def test_a_row_is_read_as_it_was_written(request_: KeyedRequest) -> None:
    assert from_entity(to_entity(request_)) == request_


async def test_a_key_is_held_then_done_then_replayed_then_forgotten() -> None:
    desk = Desk()
    claim = await desk.begin()
    assert not claim.taken_over
    with pytest.raises(ConflictError) as caught:
        await desk.begin()
    assert caught.value.code == "request-in-progress"
    assert int(caught.value.headers["retry-after"]) > 0

    desk.clock.advance(10)
    await desk.tables.apply([claim.finished(CONTENT)])
    await desk.requests.keep_answer(OWNER, KEY, "the answer")
    replayed = await desk.requests.begin(OWNER, KEY, result_id="another")
    assert isinstance(replayed, KeyedRequest)
    assert (replayed.result_id, replayed.content, replayed.answer) == ("result-1", CONTENT, "the answer")

    ((kind, owner, id_, at),) = desk.book.entries
    assert (kind, owner, id_, at) == (KIND, OWNER, KEY, NOW + KEPT)
    desk.clock.advance(KEPT.total_seconds() - 10)
    later = await desk.requests.forget(owner, id_)
    assert later == NOW + KEPT + timedelta(seconds=10)  # kept from its end, not from its beginning
    desk.clock.advance(10)
    assert await desk.requests.forget(owner, id_) is None
    assert not desk.tables.rows


async def test_an_old_row_is_as_good_as_none() -> None:
    desk = Desk()
    await desk.tables.apply([(await desk.begin()).finished(CONTENT)])
    desk.clock.advance(KEPT.total_seconds())
    claim = await desk.begin("result-2")
    assert (claim.request.result_id, claim.taken_over) == ("result-2", False)
    assert await desk.requests.forget(OWNER, KEY) == NOW + KEPT + KEPT


async def test_of_many_at_once_one_gets_the_key() -> None:
    desk = Desk()
    begun = await asyncio.gather(*(desk.begin(str(number)) for number in range(20)), return_exceptions=True)
    assert sum(isinstance(each, Claim) for each in begun) == 1
    assert sum(isinstance(each, ConflictError) for each in begun) == 19


async def test_a_request_that_fell_silent_is_overtaken_and_can_change_nothing_any_more() -> None:
    desk = Desk()
    silent = await desk.begin()
    desk.clock.advance(LEASE.total_seconds())
    winner = await desk.begin("not taken")
    assert winner.taken_over
    assert winner.request.result_id == "result-1"  # every try works on the same result

    with pytest.raises(ConflictError):
        await silent.keep()
    with pytest.raises(EntityChangedError):
        await desk.tables.apply([silent.finished(CONTENT)])
    before = await desk.row()
    await silent.release()
    await silent.abandon()
    assert await desk.row() == before
    await desk.tables.apply([winner.finished(CONTENT)])


async def test_a_request_that_goes_on_keeps_its_key_with_few_writes() -> None:
    desk = Desk()
    claim = await desk.begin()
    writes = set()
    for _ in range(60):
        desk.clock.advance(10)
        await claim.keep()
        writes.add((await desk.row()).etag)
        with pytest.raises(ConflictError):
            await desk.begin()
    assert len(writes) <= 5
    await desk.tables.apply([claim.finished(CONTENT)])


async def test_a_failure_that_left_nothing_frees_the_key() -> None:
    desk = Desk()
    await (await desk.begin()).release()
    assert not desk.tables.rows
    assert (await desk.begin("result-2")).request.result_id == "result-2"


async def test_a_failure_that_may_have_left_the_result_keeps_its_id_for_the_next_try() -> None:
    desk = Desk()
    await (await desk.begin()).abandon()
    second = await desk.begin("result-2")
    assert (second.request.result_id, second.request.epoch) == ("result-1", 2)
    await second.release()  # the first may still be about to leave its result
    assert (await desk.begin("result-3")).request.result_id == "result-1"


class LostAnswers(MemoryTables):
    """The service carries a write out, its answer is lost, and the adapter sends the write again."""

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        await super().apply(changes)
        return await super().apply(changes)


async def test_a_renewal_whose_answer_was_lost_is_known_again() -> None:
    desk = Desk()
    claim = await desk.begin()
    lossy = LostAnswers()
    lossy.rows = desk.tables.rows
    lossy._versions = desk.tables._versions
    unlucky = Claim(lossy, desk.clock, IdempotencyPolicy(), claim.request)
    desk.clock.advance(200)
    await unlucky.keep()
    await desk.tables.apply([unlucky.finished(CONTENT)])
    assert (await desk.row()).status is RequestStatus.DONE


class DeadTables(MemoryTables):
    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        raise UnavailableError("no answer")


async def test_letting_go_never_hides_the_failure_behind_it() -> None:
    claim = Claim(DeadTables(), MemoryClock(NOW), IdempotencyPolicy(), replace(RUNNING, etag="1"))
    await claim.release()
    await claim.abandon()
    desk = Desk()
    await desk.requests.keep_answer(OWNER, KEY, "answer to nothing")
    with pytest.raises(EntityMissingError):
        await desk.tables.apply([claim.finished(CONTENT)])


async def test_an_answer_is_written_down_once() -> None:
    desk = Desk()
    await desk.tables.apply([(await desk.begin()).finished(CONTENT)])
    await desk.requests.keep_answer(OWNER, KEY, "first")
    await desk.requests.keep_answer(OWNER, KEY, "second")
    assert (await desk.row()).answer == "first"
