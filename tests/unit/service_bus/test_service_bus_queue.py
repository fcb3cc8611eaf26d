from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.service_bus.errors import (
    ArgumentError,
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)
from local.service_bus.message import EncodedMessage
from local.service_bus.queue_settings import QueueSettings
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.storage import MemoryOnly, open_with_dead_letters

if TYPE_CHECKING:
    from local.service_bus.queue import Queue
    from local.service_bus.stored import StoredMessage

LOCK_MS = 1_000
COMPLETE, ABANDON, RELEASE, DEFER = (
    Settlement(outcome) for outcome in (Outcome.COMPLETE, Outcome.ABANDON, Outcome.RELEASE, Outcome.DEFER)
)


def make_queue(**changes: Any) -> Queue:
    settings = QueueSettings(**{"name": "q", "lock_duration_ms": LOCK_MS, **changes})
    return open_with_dead_letters(settings, MemoryOnly())


def message(message_id: object = None, **fields: Any) -> EncodedMessage:
    return EncodedMessage(message_id=message_id, **fields)


def lock(queue: Queue, now_ms: int, session_id: str | None = None) -> tuple[StoredMessage, uuid.UUID]:
    locked = queue.lock_next(now_ms, session_id)
    assert locked is not None
    assert locked.lock_token is not None
    return locked, locked.lock_token


def dead_letters(queue: Queue) -> list[StoredMessage]:
    assert queue.dead_letters is not None
    return list(queue.dead_letters.peek(0, 10**6))


# Order and locks


def test_messages_come_in_the_order_they_were_sent() -> None:
    queue = make_queue()
    queue.enqueue([message("a"), message("b")], 0)
    assert [lock(queue, 0)[0].content.message_id for _ in range(2)] == ["a", "b"]
    assert queue.lock_next(0) is None


def test_a_locked_message_is_nobody_elses() -> None:
    queue = make_queue()
    queue.enqueue([message()], 0)
    lock(queue, 0)
    assert queue.lock_next(LOCK_MS - 1) is None


def test_an_expired_lock_returns_the_message_to_its_place_and_counts() -> None:
    queue = make_queue()
    queue.enqueue([message("a"), message("b")], 0)
    _, token = lock(queue, 0)
    assert queue.next_due_ms() == LOCK_MS
    again, _ = lock(queue, LOCK_MS)
    assert (again.content.message_id, again.delivery_count) == ("a", 1)
    with pytest.raises(MessageLockLostError):
        queue.settle(token, COMPLETE, LOCK_MS)


def test_a_renewed_lock_lasts_from_the_renewal() -> None:
    queue = make_queue()
    queue.enqueue([message()], 0)
    _, token = lock(queue, 0)
    assert queue.renew([token], 900) == [1_900]
    queue.settle(token, COMPLETE, 1_899)
    assert list(queue.peek(0, 9)) == []


def test_renewing_is_all_or_nothing() -> None:
    queue = make_queue()
    queue.enqueue([message()], 0)
    locked, token = lock(queue, 0)
    with pytest.raises(MessageLockLostError):
        queue.renew([token, uuid.uuid4()], 500)
    assert locked.locked_until_ms == LOCK_MS


def test_taking_removes() -> None:
    queue = make_queue()
    queue.enqueue([message("a")], 0)
    taken = queue.take_next(0)
    assert taken is not None
    assert queue.take_next(0) is None


# Settling


@pytest.mark.parametrize(
    ("settlement", "delivery_count"), [(ABANDON, 1), (RELEASE, 0)], ids=["abandon", "release"]
)
def test_only_abandoning_counts(settlement: Settlement, delivery_count: int) -> None:
    queue = make_queue()
    queue.enqueue([message()], 0)
    queue.settle(lock(queue, 0)[1], settlement, 0)
    assert lock(queue, 0)[0].delivery_count == delivery_count


def test_a_message_is_settled_once() -> None:
    queue = make_queue()
    queue.enqueue([message()], 0)
    _, token = lock(queue, 0)
    queue.settle(token, COMPLETE, 0)
    with pytest.raises(MessageLockLostError):
        queue.settle(token, COMPLETE, 0)


def test_too_many_deliveries_end_in_the_dead_letters() -> None:
    queue = make_queue(max_delivery_count=2)
    queue.enqueue([message("a")], 5)
    queue.settle(lock(queue, 5)[1], ABANDON, 5)
    lock(queue, 5)
    queue.advance(5 + LOCK_MS)
    (letter,) = dead_letters(queue)
    assert letter.added_properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"
    assert (letter.delivery_count, letter.enqueued_at_ms, letter.dead_letter_source) == (2, 5, "q")
    assert list(queue.peek(0, 9)) == []


def test_dead_letters_keep_what_is_written_into_them_and_never_expire() -> None:
    queue = make_queue(default_time_to_live_ms=10)
    queue.enqueue([message("a")], 0)
    _, token = lock(queue, 0)
    queue.settle(token, Settlement(Outcome.DEAD_LETTER, {"extra": 1}, "why", "because"), 0)
    assert queue.dead_letters is not None
    letter, letter_token = lock(queue.dead_letters, 10**9)
    assert letter.added_properties == {
        "extra": 1,
        "DeadLetterReason": "why",
        "DeadLetterErrorDescription": "because",
    }
    with pytest.raises(NotAllowedError):
        queue.dead_letters.settle(letter_token, Settlement(Outcome.DEAD_LETTER), 10**9)
    queue.dead_letters.settle(letter_token, COMPLETE, 10**9)
    assert dead_letters(queue) == []


# Deferral


def test_a_deferred_message_comes_by_its_number_only() -> None:
    queue = make_queue()
    (number,) = queue.enqueue([message()], 0)
    queue.settle(lock(queue, 0)[1], Settlement(Outcome.DEFER, {"note": "later"}), 0)
    assert queue.lock_next(0) is None
    (deferred,) = queue.receive_deferred([number], 0)
    assert deferred.broker_properties(with_lock=True).state == 1
    assert deferred.added_properties == {"note": "later"}
    with pytest.raises(MessageNotFoundError):
        queue.receive_deferred([number], 0)
    queue.advance(LOCK_MS)  # the lock expires: deferred again, not active
    assert queue.lock_next(LOCK_MS) is None
    (taken,) = queue.receive_deferred([number], LOCK_MS, delete=True)
    assert taken.delivery_count == 1
    assert list(queue.peek(0, 9)) == []


def test_deferred_messages_are_received_all_or_none() -> None:
    queue = make_queue()
    (number,) = queue.enqueue([message()], 0)
    queue.settle(lock(queue, 0)[1], DEFER, 0)
    with pytest.raises(MessageNotFoundError):
        queue.receive_deferred([number, 99], 0)
    with pytest.raises(ArgumentError):
        queue.receive_deferred([number, number], 0)
    assert queue.receive_deferred([number], 0)


def test_a_deferred_message_expires_when_it_is_asked_for() -> None:
    queue = make_queue(default_time_to_live_ms=10, dead_letter_on_expiration=True)
    (number,) = queue.enqueue([message()], 0)
    queue.settle(lock(queue, 0)[1], DEFER, 0)
    queue.advance(100)
    assert dead_letters(queue) == []
    with pytest.raises(MessageNotFoundError):
        queue.receive_deferred([number], 100)
    assert len(dead_letters(queue)) == 1


# Scheduling


def test_a_scheduled_message_is_enqueued_when_it_is_due_with_a_new_number() -> None:
    queue = make_queue(default_time_to_live_ms=10)
    (number,) = queue.enqueue([message("late", scheduled_enqueue_time_ms=50)], 0)
    queue.enqueue([message("early")], 45)
    assert [each.broker_properties(with_lock=False).state for each in queue.peek(0, 9)] == [2, 0]
    assert lock(queue, 49)[0].content.message_id == "early"
    late, _ = lock(queue, 50)
    assert late.sequence_number > number
    assert late.enqueued_sequence_number == number
    assert (late.enqueued_at_ms, late.expires_at_ms) == (50, 60)


def test_scheduled_messages_are_cancelled_all_or_none() -> None:
    queue = make_queue()
    numbers = queue.enqueue([message(scheduled_enqueue_time_ms=50), message(scheduled_enqueue_time_ms=60)], 0)
    with pytest.raises(MessageNotFoundError):
        queue.cancel_scheduled(numbers, 50)
    queue.cancel_scheduled(numbers[1:], 50)
    assert len(list(queue.peek(0, 9))) == 1


def test_a_time_in_the_past_schedules_nothing() -> None:
    queue = make_queue()
    queue.enqueue([message(scheduled_enqueue_time_ms=50)], 51)
    assert queue.has_ready()


# Time to live


@pytest.mark.parametrize(
    ("of_message", "of_queue", "expires_at_ms"),
    [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)],
)
def test_the_shorter_time_to_live_counts(
    of_message: int | None, of_queue: int | None, expires_at_ms: int | None
) -> None:
    queue = make_queue(default_time_to_live_ms=of_queue)
    queue.enqueue([message(time_to_live_ms=of_message)], 0)
    (stored,) = queue.peek(0, 1)
    assert stored.expires_at_ms == expires_at_ms


@pytest.mark.parametrize("dead_letter", [True, False])
def test_an_expired_message_is_gone_or_a_dead_letter(dead_letter: bool) -> None:
    queue = make_queue(dead_letter_on_expiration=dead_letter)
    queue.enqueue([message(time_to_live_ms=5)], 0)
    assert queue.lock_next(5) is None
    reasons = [letter.added_properties["DeadLetterReason"] for letter in dead_letters(queue)]
    assert reasons == (["TTLExpiredException"] if dead_letter else [])


def test_a_message_does_not_expire_under_its_lock() -> None:
    queue = make_queue()
    queue.enqueue([message(time_to_live_ms=5), message(time_to_live_ms=5)], 0)
    _, completed = lock(queue, 0)
    _, abandoned = lock(queue, 0)
    queue.settle(completed, COMPLETE, 100)
    queue.settle(abandoned, ABANDON, 100)
    assert queue.lock_next(100) is None


# Duplicates


def test_a_repeated_message_id_is_dropped_within_the_window() -> None:
    queue = make_queue(duplicate_window_ms=100)
    first = queue.enqueue([message("a")], 0)
    assert queue.enqueue([message("a"), message("a")], 99) == first * 2
    assert len(list(queue.peek(0, 9))) == 1
    assert queue.enqueue([message("a")], 100) != first


def test_a_scheduled_message_counts_as_sent_when_it_is_scheduled() -> None:
    queue = make_queue(duplicate_window_ms=100)
    queue.enqueue([message("a", scheduled_enqueue_time_ms=10_000)], 0)
    queue.enqueue([message("a")], 1)
    assert not queue.has_ready()


def test_messages_without_id_are_never_duplicates() -> None:
    queue = make_queue(duplicate_window_ms=100)
    queue.enqueue([message(), message()], 0)
    assert len(list(queue.peek(0, 9))) == 2


# Peeking


def test_peeking_shows_everything_and_changes_nothing() -> None:
    queue = make_queue()
    queue.enqueue([message("a"), message("b"), message("c")], 0)
    lock(queue, 0)
    assert [each.content.message_id for each in queue.peek(2, 1)] == ["b"]
    assert [each.content.message_id for each in queue.peek(0, 9)] == ["a", "b", "c"]
    assert next(iter(queue.peek(0, 1))).broker_properties(with_lock=False).lock_token is None


# Message sessions


def session_queue(*session_ids: str) -> Queue:
    queue = make_queue(requires_session=True)
    queue.enqueue([message(session_id=session_id) for session_id in session_ids], 0)
    return queue


def test_a_batch_with_a_message_without_session_is_refused_whole() -> None:
    queue = make_queue(requires_session=True)
    with pytest.raises(NotAllowedError):
        queue.enqueue([message(session_id="a"), message()], 0)
    assert list(queue.peek(0, 9)) == []


def test_a_session_has_one_holder_and_only_its_messages() -> None:
    queue = session_queue("a", "b", "a")
    queue.accept_session("a", "holder", 0)
    with pytest.raises(SessionCannotBeLockedError):
        queue.accept_session("a", "other", 0)
    locked, _ = lock(queue, 10, "a")
    assert (locked.sequence_number, locked.locked_until_ms) == (1, LOCK_MS)
    assert lock(queue, 10, "a")[0].sequence_number == 3
    assert queue.lock_next(10, "a") is None


def test_the_next_session_is_a_free_one_with_messages() -> None:
    queue = session_queue("", "b")
    first = queue.accept_session(None, "one", 0)
    second = queue.accept_session(None, "two", 0)
    assert (first and first.session_id, second and second.session_id) == ("", "b")
    assert queue.accept_session(None, "three", 0) is None


def test_without_the_session_lock_nothing_is_handed_out() -> None:
    queue = session_queue("a")
    with pytest.raises(SessionLockLostError):
        queue.lock_next(0, "a")
    assert queue.has_ready("a")


@pytest.mark.parametrize(("lost", "delivery_count"), [(True, 1), (False, 0)], ids=["lock expired", "closed"])
def test_messages_of_a_session_return_with_it(lost: bool, delivery_count: int) -> None:
    queue = session_queue("a")
    queue.accept_session("a", "holder", 0)
    _, token = lock(queue, 0, "a")
    if lost:
        queue.advance(LOCK_MS)
        assert queue.pop_lost_sessions() == [("a", "holder")]
    else:
        queue.release_session("a", "holder", 0)
    with pytest.raises(SessionLockLostError):
        queue.settle(token, COMPLETE, LOCK_MS)
    queue.accept_session("a", "next", LOCK_MS)
    assert lock(queue, LOCK_MS, "a")[0].delivery_count == delivery_count


def test_renewing_a_session_renews_its_messages() -> None:
    queue = session_queue("a")
    queue.accept_session("a", "holder", 0)
    locked, token = lock(queue, 0, "a")
    assert queue.renew_session("a", 500) == locked.locked_until_ms == 1_500
    queue.settle(token, COMPLETE, 1_499)
    with pytest.raises(SessionLockLostError):
        queue.renew_session("a", 1_500)


def test_only_the_holder_releases_a_session() -> None:
    queue = session_queue("a")
    queue.accept_session("a", "holder", 0)
    queue.release_session("a", "stranger", 0)
    assert queue.session_holder("a", 0) == "holder"


def test_session_state_outlives_the_lock_and_is_listed() -> None:
    queue = session_queue("b")
    queue.accept_session("a", "holder", 0)
    queue.set_session_state("a", b"state", 70)
    queue.advance(LOCK_MS)
    assert queue.session_state("a") == b"state"
    assert queue.list_sessions() == ["a", "b"]
    assert (queue.list_sessions(69), queue.list_sessions(70)) == (["a"], [])
    queue.set_session_state("a", None, 80)
    assert queue.list_sessions() == ["b"]


def test_a_deferred_message_is_received_in_its_session() -> None:
    queue = session_queue("a")
    queue.accept_session("a", "holder", 0)
    locked, token = lock(queue, 0, "a")
    queue.settle(token, DEFER, 0)
    queue.accept_session("b", "other", 0)
    with pytest.raises(MessageNotFoundError):
        queue.receive_deferred([locked.sequence_number], 0, session_id="b")
    assert queue.receive_deferred([locked.sequence_number], 0, session_id="a")


# Time


@given(st.lists(st.integers(0, 5 * LOCK_MS), min_size=1, max_size=10))
def test_looking_more_often_changes_nothing(times_ms: list[int]) -> None:
    often, once = make_queue(), make_queue()
    for queue in (often, once):
        queue.enqueue(
            [message("a", scheduled_enqueue_time_ms=LOCK_MS), message("b", time_to_live_ms=LOCK_MS)], 0
        )
    for now_ms in sorted(times_ms):
        often.advance(now_ms)
    once.advance(max(times_ms))
    assert [each.content.message_id for each in often.peek(0, 9)] == [
        each.content.message_id for each in once.peek(0, 9)
    ]
