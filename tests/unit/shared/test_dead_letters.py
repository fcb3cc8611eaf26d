from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import DeadLetterError, UnavailableError
from shared.notifications import audit
from shared.notifications.dead_letters import BulkResult
from shared.notifications.delivery_record import DeliveryStatus
from shared.notifications.letter import LetterFilter, LetterIds
from shared.notifications.redrive import Step, plan
from shared.ports import HttpAnswer
from tests.faults.fragile import CrashError
from tests.unit.shared import sample
from tests.unit.shared.dead_letter_office import OPERATOR, Cut, Office, dead_delivery
from tests.unit.shared.sample import FILE_ID, NOW

if TYPE_CHECKING:
    from shared.notifications.audit import AuditRecord
    from shared.notifications.letter import Selection

ALL = LetterFilter()


async def redrive(office: Office, selection: Selection = ALL, **how: Any) -> BulkResult:
    return await office.dead_letters().redrive(selection, by=OPERATOR, **how)


async def audit_records(office: Office) -> list[AuditRecord]:
    first, end = audit.ROW_KEYS
    page = await office.memory.query(audit.PARTITION, first_row_key=first, end_row_key=end, limit=100)
    return [audit.from_entity(entity) for entity in page.entities]


@pytest.mark.parametrize(
    ("changes", "attempt", "step"),
    [
        ({}, 3, Step.SEND),
        ({"status": DeliveryStatus.DELIVERED}, 3, Step.LEAVE),
        ({"status": DeliveryStatus.SUPPRESSED}, 3, Step.LEAVE),
        ({"status": DeliveryStatus.QUEUED, "attempt": 1}, 1, Step.ASK),
        ({"status": DeliveryStatus.RETRYING}, 3, Step.ASK),
        ({"status": DeliveryStatus.RETRYING}, 2, Step.ASK),
        ({"status": DeliveryStatus.DELIVERING}, 3, Step.ASK),
        ({"status": DeliveryStatus.QUEUED, "attempt": 4, "first_attempt": 4}, 3, Step.SEND),
        ({"status": DeliveryStatus.DELIVERING, "attempt": 4, "first_attempt": 4}, 3, Step.CLEAR),
        ({"status": DeliveryStatus.DELIVERED, "attempt": 4, "first_attempt": 4}, 3, Step.CLEAR),
        ({"status": DeliveryStatus.DEAD, "attempt": 6, "first_attempt": 4}, 3, Step.CLEAR),
        ({"status": DeliveryStatus.DEAD, "attempt": 6, "first_attempt": 4}, 5, Step.SEND),
    ],
)
def test_what_is_done_with_a_letter(changes: dict[str, Any], attempt: int, step: Step) -> None:
    delivery = dead_delivery(1, **changes)
    row, planned = plan(delivery, attempt=attempt, now=NOW, by=OPERATOR)
    assert planned is step
    assert (row is not None) == (delivery.status is DeliveryStatus.DEAD and step is Step.SEND)


async def test_a_redriven_letter_is_delivered_with_the_same_id_and_its_letter_is_gone() -> None:
    office = Office(HttpAnswer(204))
    await office.bury(1)
    assert await redrive(office) == BulkResult(1, 1)
    assert (await office.delivery()).status is DeliveryStatus.QUEUED
    await office.work_off()
    delivery = await office.delivery()
    assert (delivery.status, delivery.redrives, delivery.redriven_by) == ("delivered", 1, OPERATOR)
    assert [attempt.number for attempt in delivery.attempts] == [3, 4]
    (post,) = office.sender.posts
    assert post[1]["webhook-id"] == delivery.id
    assert not office.letters.letters


async def test_a_target_that_still_fails_gets_the_whole_schedule_again_and_one_new_letter() -> None:
    office = Office(*[HttpAnswer(500)] * 3)
    await office.bury(1)
    await redrive(office)
    await office.work_off()
    delivery = await office.delivery()
    assert (delivery.status, delivery.attempt, delivery.first_attempt) == ("dead", 6, 4)
    assert len(office.sender.posts) == 3
    assert len(office.letters.letters) == 1


async def test_five_hundred_are_redriven_and_none_is_lost_or_doubled() -> None:
    office = Office()
    await office.bury(*range(1, 501))
    assert (await redrive(office, limit=200)).done == 200
    assert (await redrive(office)).done == 300
    await office.work_off()
    assert await office.by_status() == {"delivered": 500}
    assert not office.letters.letters
    assert set(Counter(post[1]["webhook-id"] for post in office.sender.posts).values()) == {1}
    assert {delivery.redrives for delivery in await office.deliveries()} == {1}


async def calls_of_a_redrive() -> int:
    office = Office()
    await office.bury(1, 2)
    await redrive(office)
    return office.cut.calls


@pytest.mark.parametrize("workers_run_before_the_repeat", [False, True])
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_call_loses_and_doubles_nothing(
    *, after: bool, workers_run_before_the_repeat: bool
) -> None:
    for at in range(1, await calls_of_a_redrive() + 1):
        office = Office(cut=Cut(at, after=after))
        await office.bury(1, 2)
        with pytest.raises(CrashError):
            await redrive(office)
        if workers_run_before_the_repeat:
            await office.work_off()
        await redrive(office)
        await office.work_off()
        assert await office.by_status() == {"delivered": 2}, at
        assert [delivery.redrives for delivery in await office.deliveries()] == [1, 1], at
        assert len(office.sender.posts) == 2, at
        assert not office.letters.letters, at


async def test_an_outage_in_the_middle_is_told_and_the_letter_stays() -> None:
    office = Office()
    await office.bury(1)
    office.queue_is_away = True
    with pytest.raises(UnavailableError):
        await redrive(office)
    assert len(office.letters.letters) == 1
    (told,) = await audit_records(office)
    assert told.done is None
    office.queue_is_away = False
    assert (await redrive(office)).done == 1
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}


async def test_a_dry_run_counts_and_touches_nothing() -> None:
    office = Office()
    await office.bury(1, 2)
    await office.bury(3, status=DeliveryStatus.DELIVERED)
    office.letters.add("broken", b"{}", enqueued_at=NOW)
    before = dict(office.memory.rows)
    result = await redrive(office, dry_run=True)
    assert (result.matched, result.done, result.skipped) == (4, 2, 2)
    assert (office.memory.rows, len(office.letters.letters), office.sent.messages) == (before, 4, [])
    real = await redrive(office)
    assert (real.matched, real.done, real.skipped) == (4, 2, 2)


async def test_what_is_settled_otherwise_gone_or_unreadable_stays_until_it_is_discarded() -> None:
    office = Office()
    await office.bury(1, status=DeliveryStatus.SUPPRESSED)
    office.add(sample.message(9))
    office.letters.add("broken", b"\xff", enqueued_at=NOW)
    assert await redrive(office) == BulkResult(3, 0)
    assert len(office.letters.letters) == 3
    assert (await office.dead_letters().discard(ALL, by=OPERATOR, dry_run=True)).done == 3
    assert len(office.letters.letters) == 3
    assert (await office.dead_letters().discard(ALL, by=OPERATOR)).done == 3
    assert not office.letters.letters
    assert (await office.delivery()).status is DeliveryStatus.SUPPRESSED


async def test_the_letter_of_a_delivery_that_is_under_way_is_looked_after() -> None:
    """The queue laid its message aside because the workers crashed, not because the target failed."""
    office = Office()
    await office.bury(1, status=DeliveryStatus.QUEUED, attempt=3, attempts=(), settled_at=None, reason=None)
    await office.sent.send([sample.message(1, attempt=3).to_queue()])  # the queue remembers its id
    office.sent.messages.clear()
    assert (await redrive(office)).done == 1
    await office.work_off()
    delivery = await office.delivery()
    assert (delivery.status, delivery.redrives) == (DeliveryStatus.DELIVERED, 0)


async def test_the_old_message_of_a_redriven_delivery_is_not_dead_lettered_again() -> None:
    office = Office()
    await office.bury(1)
    old = sample.message(1, attempt=3).to_queue().body
    with pytest.raises(DeadLetterError):
        await office.deliverer().handle(old)
    await redrive(office)
    await office.deliverer().handle(old)  # before the new message: it may not send
    assert not office.sender.posts
    await office.work_off()
    await office.deliverer().handle(old)
    assert len(office.sender.posts) == 1
    assert await office.by_status() == {"delivered": 1}


async def test_two_letters_of_one_delivery_make_one_round() -> None:
    office = Office()
    await office.bury(1)
    office.add(sample.message(1, attempt=3, looks=2))
    assert (await redrive(office)).matched == 2
    await office.work_off()
    assert not office.letters.letters
    assert len(office.sender.posts) == 1
    assert (await office.delivery()).redrives == 1


async def test_what_somebody_else_holds_is_skipped() -> None:
    office = Office()
    await office.bury(1, 2)
    office.letters.held_elsewhere.add(1)
    result = await redrive(office)
    assert (result.matched, result.done, result.skipped) == (2, 1, 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ALL, {1, 2, 3, 4}),
        (LetterFilter(subscription_id=f"{2:032x}"), {2}),
        (LetterFilter(file_id=FILE_ID), {1, 2, 3}),
        (LetterFilter(file_id=FILE_ID[:-1] + "9"), set()),
        (LetterFilter(reason="ANSWERED 500"), {1, 2}),
        (LetterFilter(reason="cannot be read"), {4}),
        (LetterFilter(enqueued_before=NOW + timedelta(seconds=5)), {1}),
        (LetterFilter(enqueued_after=NOW + timedelta(seconds=10)), {2, 3, 4}),
        (LetterFilter(reason="500", enqueued_after=NOW + timedelta(seconds=10)), {2}),
        (LetterIds(frozenset({sample.delivery(2).id, "seq-4", "seq-77"})), {2, 4}),
        (LetterIds(frozenset({"seq-1"})), {1}),
    ],
)
async def test_letters_are_chosen(wanted: Selection, expected: set[int]) -> None:
    office = Office()
    await office.bury(1)
    office.clock.advance(10)
    await office.bury(2)
    await office.bury(3, reason="the target answered 410")
    office.letters.add("broken", b"not JSON", enqueued_at=office.clock.now())
    await office.dead_letters().discard(wanted, by=OPERATOR)
    assert {1, 2, 3, 4} - office.letters.letters.keys() == expected


async def test_the_list_shows_every_letter_once_page_by_page_joined_with_its_row() -> None:
    office = Office()
    await office.bury(*range(1, 6))
    office.letters.add("broken", b"", enqueued_at=NOW)
    seen: list[str] = []
    following: int | None = 0
    while following is not None:
        page = await office.dead_letters().list(ALL, limit=2, from_sequence_number=following)
        assert len(page.letters) <= 2
        seen += [letter.id for letter in page.letters]
        following = page.next_sequence_number
    assert seen == [*(sample.delivery(number).id for number in range(1, 6)), "seq-6"]
    letters = (await office.dead_letters().list(ALL, limit=10)).letters
    assert letters[0].delivery == await office.delivery(1)
    assert (letters[0].reason, letters[0].dead.reason) == (
        "the target answered 500",
        "MaxDeliveryCountExceeded",
    )
    assert (letters[5].reason or "").startswith("the message cannot be read")
    assert len(office.letters.letters) == 6


async def test_who_and_when_is_written_down_before_and_what_came_of_it_after() -> None:
    office = Office()
    await office.bury(1, 2)
    await redrive(office, LetterIds(frozenset({sample.delivery(1).id})))
    office.clock.advance(60)
    await office.dead_letters().discard(LetterFilter(reason="500"), by="tenant/otto")
    await redrive(office)  # nothing is there: nothing was done
    first, second = await audit_records(office)
    assert (first.action, first.by, first.at, first.matched, first.done) == ("redrive", OPERATOR, NOW, 1, 1)
    assert sample.delivery(1).id in first.selection
    assert (second.action, second.by, second.matched, second.done) == ("discard", "tenant/otto", 1, 1)
    assert second.selection == '{"filter": {"reason": "500"}}'
