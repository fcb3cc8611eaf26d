from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import (
    SETTLED,
    TRANSITIONS,
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryStatus,
    Turn,
    requeued,
    take_turn,
)
from shared.notifications.subscription import EventType
from tests.unit.shared import sample
from tests.unit.shared.sample import FILE_ID, NOW

MAX_ATTEMPTS = 4
ROW_ATTEMPT = 2
LEASE_SECONDS = 25
MOMENT = timedelta(microseconds=1)


def turn_of(row: Delivery, attempt: int) -> tuple[Delivery | None, Turn]:
    return take_turn(row, attempt=attempt, now=NOW, lease_seconds=LEASE_SECONDS, max_attempts=MAX_ATTEMPTS)


def row(status: DeliveryStatus, **changes: Any) -> Delivery:
    return sample.delivery(status=status, attempt=ROW_ATTEMPT, epoch=5, **changes)


LEASES = {
    "runs": NOW + MOMENT,
    "ends now": NOW,
    "has ended": NOW - MOMENT,
    "is missing": None,
}
EXPECTED = {
    (DeliveryStatus.QUEUED, "behind"): Turn.SCHEDULE_NEXT,
    (DeliveryStatus.QUEUED, "equal"): Turn.SEND,
    (DeliveryStatus.QUEUED, "ahead"): Turn.SEND,
    (DeliveryStatus.RETRYING, "behind"): Turn.SCHEDULE_NEXT,
    (DeliveryStatus.RETRYING, "equal"): Turn.SEND,
    (DeliveryStatus.RETRYING, "ahead"): Turn.SEND,
    **{(DeliveryStatus.DELIVERED, where): Turn.FINISH for where in ("behind", "equal", "ahead")},
    **{(DeliveryStatus.SUPPRESSED, where): Turn.FINISH for where in ("behind", "equal", "ahead")},
    **{(DeliveryStatus.DEAD, where): Turn.DEAD_LETTER for where in ("behind", "equal", "ahead")},
}
WHERE = {"behind": ROW_ATTEMPT - 1, "equal": ROW_ATTEMPT, "ahead": ROW_ATTEMPT + 1}


@pytest.mark.parametrize(("status", "where", "lease"), list(product(DeliveryStatus, WHERE, LEASES)))
def test_every_status_attempt_and_lease_gives_its_turn(
    status: DeliveryStatus, where: str, lease: str
) -> None:
    claimed, turn = turn_of(row(status, lease_ends_at=LEASES[lease]), WHERE[where])
    if status is DeliveryStatus.DELIVERING:
        assert turn is (Turn.LOOK_LATER if lease == "runs" else Turn.SEND)
    else:
        assert turn is EXPECTED[status, where]
    assert (claimed is not None) == (turn is Turn.SEND)


@pytest.mark.parametrize("status", [DeliveryStatus.QUEUED, DeliveryStatus.RETRYING])
def test_a_claim_carries_a_lease_and_the_next_epoch(status: DeliveryStatus) -> None:
    before = row(status, next_attempt_at=NOW)
    claimed, _ = turn_of(before, ROW_ATTEMPT)
    assert claimed == replace(
        before,
        status=DeliveryStatus.DELIVERING,
        epoch=6,
        claimed_at=NOW,
        lease_ends_at=NOW + timedelta(seconds=LEASE_SECONDS),
        next_attempt_at=None,
    )


def test_who_takes_over_counts_the_interrupted_attempt_and_makes_the_next() -> None:
    started_at = NOW - timedelta(seconds=30)
    claimed, turn = turn_of(
        row(DeliveryStatus.DELIVERING, claimed_at=started_at, lease_ends_at=NOW), ROW_ATTEMPT
    )
    assert turn is Turn.SEND
    assert claimed is not None
    assert (claimed.attempt, claimed.epoch) == (ROW_ATTEMPT + 1, 6)
    (interrupted,) = claimed.attempts
    assert (interrupted.number, interrupted.outcome) == (ROW_ATTEMPT, AttemptOutcome.INTERRUPTED)
    assert (interrupted.started_at, interrupted.duration_ms) == (started_at, 30_000)


def test_an_interrupted_last_attempt_is_given_up() -> None:
    last = replace(row(DeliveryStatus.DELIVERING, lease_ends_at=NOW), attempt=MAX_ATTEMPTS)
    claimed, turn = turn_of(last, MAX_ATTEMPTS)
    assert turn is Turn.GIVE_UP
    assert claimed is not None
    assert claimed.attempt == MAX_ATTEMPTS
    assert claimed.attempts[-1].outcome is AttemptOutcome.INTERRUPTED


@pytest.mark.parametrize(("before", "after"), list(product(DeliveryStatus, DeliveryStatus)))
def test_only_steps_of_the_table_are_taken(before: DeliveryStatus, after: DeliveryStatus) -> None:
    delivery = row(before, lease_ends_at=NOW, next_attempt_at=NOW)
    if after in TRANSITIONS[before]:
        moved = delivery.moved_to(after)
        assert (moved.status, moved.lease_ends_at, moved.next_attempt_at) == (after, None, None)
    else:
        with pytest.raises(ValueError, match="cannot go from"):
            delivery.moved_to(after)


def test_settled_are_those_that_only_a_redrive_follows() -> None:
    assert set(TRANSITIONS) == set(DeliveryStatus)
    back = {status for status, following in TRANSITIONS.items() if following == {DeliveryStatus.QUEUED}}
    assert back == SETTLED == {DeliveryStatus.DELIVERED, DeliveryStatus.DEAD, DeliveryStatus.SUPPRESSED}


def attempts_made(*numbers: int) -> tuple[Attempt, ...]:
    return tuple(Attempt(number, NOW, 5, AttemptOutcome.FAILED, 500) for number in numbers)


def test_a_redrive_begins_a_round_with_a_number_never_used() -> None:
    dead = row(DeliveryStatus.DEAD, attempts=attempts_made(1, 2), settled_at=NOW, reason="answered 500")
    again = requeued(dead, NOW + MOMENT, "tenant/olga")
    assert (again.status, again.attempt, again.first_attempt, again.attempt_of_round) == ("queued", 3, 3, 1)
    assert (again.redrives, again.redriven_at, again.redriven_by) == (1, NOW + MOMENT, "tenant/olga")
    assert (again.settled_at, again.reason, again.attempts) == (None, None, dead.attempts)


@pytest.mark.parametrize("status", sorted(set(DeliveryStatus) - SETTLED))
def test_what_is_under_way_is_not_redriven(status: DeliveryStatus) -> None:
    with pytest.raises(ValueError, match="cannot go from"):
        requeued(row(status), NOW, "tenant/olga")


def test_however_often_redriven_the_row_keeps_a_bounded_number_of_attempts() -> None:
    delivery = sample.delivery(status=DeliveryStatus.DEAD, attempts=attempts_made(1))
    for _ in range(50):
        again = requeued(delivery, NOW, "tenant/olga")
        attempts = (*again.attempts, *attempts_made(again.attempt))
        delivery = replace(again, status=DeliveryStatus.DEAD, attempts=attempts)
    assert [attempt.number for attempt in delivery.attempts] == list(range(41, 52))


ROUNDS = {
    DeliveryStatus.QUEUED: Turn.SCHEDULE_NEXT,
    DeliveryStatus.RETRYING: Turn.SCHEDULE_NEXT,
    **dict.fromkeys({DeliveryStatus.DELIVERING, *SETTLED}, Turn.FINISH),
}


@pytest.mark.parametrize("status", DeliveryStatus)
def test_a_message_from_before_the_redrive_neither_sends_nor_is_dead_lettered(status: DeliveryStatus) -> None:
    later = replace(row(status), attempt=8, first_attempt=5, lease_ends_at=NOW - MOMENT)
    assert turn_of(later, 4) == (None, ROUNDS[status])


def test_a_message_of_the_same_round_is_dead_lettered_though_a_take_over_made_its_attempt_older() -> None:
    later = replace(row(DeliveryStatus.DEAD), attempt=8, first_attempt=5)
    assert turn_of(later, 7) == (None, Turn.DEAD_LETTER)


def test_interrupted_attempts_are_counted_within_the_round() -> None:
    for attempt, expected in ((7, Turn.SEND), (8, Turn.GIVE_UP)):
        delivering = row(DeliveryStatus.DELIVERING, lease_ends_at=NOW)
        _, turn = turn_of(replace(delivering, attempt=attempt, first_attempt=5), attempt)
        assert turn is expected


def test_a_row_from_before_redrives_is_read() -> None:
    entity = deliveries.to_entity(sample.delivery())
    old = {name: v for name, v in entity.values.items() if name not in {"first_attempt", "redrives"}}
    assert deliveries.from_entity(replace(entity, values=old)) == sample.delivery()


instants = st.none() | st.integers(0, 10**15).map(lambda n: NOW + timedelta(microseconds=n))
attempts = st.builds(
    Attempt,
    number=st.integers(1, 99),
    started_at=instants.filter(bool),
    duration_ms=st.integers(0, 10**6),
    outcome=st.sampled_from(AttemptOutcome),
    status_code=st.none() | st.integers(100, 599),
    detail=st.none() | st.text(),
)


@given(
    status=st.sampled_from(DeliveryStatus),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    queued_at=instants,
    lease_ends_at=instants,
    next_attempt_at=instants,
    settled_at=instants,
    reason=st.none() | st.text(),
    first_attempt=st.integers(1, 99),
    redrives=st.integers(0, 99),
    redriven_at=instants,
    redriven_by=st.none() | st.text(),
)
def test_the_row_gives_the_delivery_back(**changes: Any) -> None:
    delivery = sample.delivery(**changes, etag='W/"1"')
    assert deliveries.from_entity(deliveries.to_entity(delivery)) == delivery


@pytest.mark.parametrize("broken", [{"created_at": "yesterday"}, {"settled_at": 5}])
def test_a_row_whose_time_is_no_time_is_not_read(broken: dict[str, Any]) -> None:
    entity = deliveries.to_entity(sample.delivery())
    with pytest.raises(TypeError):
        deliveries.from_entity(replace(entity, values={**entity.values, **broken}))


def test_the_range_of_a_file_holds_its_deliveries_and_no_others() -> None:
    first, end = deliveries.row_keys_of_file(FILE_ID)
    assert first <= deliveries.row_key(FILE_ID, sample.delivery().id) < end
    neighbours = [f"{FILE_ID[:-1]}{digit}" for digit in "023456789abcdef"]
    assert not any(first <= deliveries.row_key(n, sample.delivery().id) < end for n in neighbours)


def test_a_delivery_id_follows_from_what_it_is_about_and_holds_no_full_stop() -> None:
    id_ = deliveries.delivery_id(FILE_ID, EventType.FILE_STORED, "a" * 32)
    assert id_ == deliveries.delivery_id(FILE_ID, EventType.FILE_STORED, "a" * 32)
    assert id_ != deliveries.delivery_id(FILE_ID, EventType.FILE_STORED, "b" * 32)
    assert "." not in id_
