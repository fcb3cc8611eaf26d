from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.notifications.subscription import ChannelKind
from shared.notifications.target_health import (
    GO,
    ROW_KEYS,
    TRANSITIONS,
    Circuit,
    HealthPolicy,
    Hold,
    Sign,
    TargetHealth,
    after,
    ask,
    from_entity,
    release_at,
    row_key,
    to_entity,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = HealthPolicy(failures_to_open=5)
WELL = TargetHealth("p", row_key(ChannelKind.WEBHOOK, "https://receiver.example/1"))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def health(circuit: Circuit, *, lasts_seconds: float = 30, **changes: Any) -> TargetHealth:
    return replace(WELL, circuit=circuit, changed_at=NOW, until=at(lasts_seconds), **changes)


def fed(start: TargetHealth, signs: Iterable[Sign], now: datetime = NOW) -> TargetHealth:
    for sign in signs:
        start = after(start, now, sign, POLICY) or start
    return start


OPEN = fed(WELL, [Sign.FAILURE] * 5)


# The circuit


def test_the_table_has_every_state_and_leaves_out_only_what_cannot_be() -> None:
    assert TRANSITIONS.keys() == set(Circuit)
    missing = {
        (circuit, sign) for circuit, sign in product(Circuit, Sign) if sign not in TRANSITIONS[circuit]
    }
    assert missing == {(Circuit.CLOSED, Sign.PROBE_SENT), (Circuit.CLOSED, Sign.PROBE_LOST)}
    for circuit, sign in missing:
        with pytest.raises(ValueError, match="cannot be"):
            health(circuit).moved(sign, NOW, 1)


@pytest.mark.parametrize("circuit", Circuit)
@pytest.mark.parametrize("sign", [Sign.SUCCESS, Sign.FAILURE, Sign.PROBE_LOST])
def test_what_happens_after_an_attempt_is_what_the_table_says(circuit: Circuit, sign: Sign) -> None:
    before = health(circuit, failures=1)
    moved = after(before, NOW, sign, POLICY) or before
    assert moved.circuit is TRANSITIONS[circuit].get(sign, circuit)


@given(signs=st.lists(st.sampled_from([Sign.SUCCESS, Sign.FAILURE, Sign.PROBE_LOST]), max_size=30))
def test_no_step_is_taken_that_the_table_does_not_have(signs: list[Sign]) -> None:
    present, now = WELL, NOW
    for sign in signs:
        now += timedelta(seconds=40)
        _, probing = ask(present, now, POLICY, chance=0.5)
        if probing is not None:
            assert TRANSITIONS[present.circuit][Sign.PROBE_SENT] is probing.circuit
            present = probing
        following = after(present, now, sign, POLICY) or present
        allowed = set(TRANSITIONS[present.circuit].values()) | {present.circuit}
        assert following.circuit in allowed
        assert (following.failing_since is None) == (following.failures == 0)
        present = following


def test_it_opens_at_the_last_of_so_many_failures_in_a_row() -> None:
    assert fed(WELL, [Sign.FAILURE] * 4).circuit is Circuit.CLOSED
    assert (OPEN.circuit, OPEN.failures, OPEN.until) == (Circuit.OPEN, 5, at(30))
    interrupted = fed(WELL, [*[Sign.FAILURE] * 4, Sign.SUCCESS, *[Sign.FAILURE] * 4])
    assert interrupted.circuit is Circuit.CLOSED


def test_a_target_that_is_well_has_nothing_to_write() -> None:
    assert ask(WELL, NOW, POLICY, chance=0) == (GO, None)
    assert after(WELL, NOW, Sign.SUCCESS, POLICY) is None


def test_attempts_that_end_while_it_is_open_write_nothing_and_lengthen_nothing() -> None:
    for sign in (Sign.SUCCESS, Sign.FAILURE, Sign.PROBE_LOST):
        assert after(OPEN, at(5), sign, POLICY) is None


def test_while_it_is_open_deliveries_wait_for_its_end_and_a_little_more() -> None:
    for chance, seconds in [(0.0, 30.0), (0.5, 33.75), (0.999, 37.4925)]:
        permission, probing = ask(OPEN, at(10), POLICY, chance=chance)
        assert (permission.allowed, permission.hold, probing) == (False, Hold.FAILING, None)
        assert permission.not_before == at(seconds)


def test_after_the_wait_one_probe_goes_and_holds_a_lease() -> None:
    permission, probing = ask(OPEN, at(30), POLICY, chance=0)
    assert (permission.allowed, permission.is_probe) == (True, True)
    assert probing is not None
    assert (probing.circuit, probing.until) == (Circuit.HALF_OPEN, at(90))
    waiting, another = ask(probing, at(31), POLICY, chance=0.5)
    assert (waiting.allowed, another, waiting.not_before) == (False, None, at(62))


def test_a_probe_that_never_comes_back_lets_another_go_when_its_lease_ends() -> None:
    _, probing = ask(OPEN, at(30), POLICY, chance=0)
    assert probing is not None
    assert not ask(probing, at(89.9), POLICY, chance=0)[0].allowed
    permission, second = ask(probing, at(90), POLICY, chance=0)
    assert permission.is_probe
    assert second is not None
    assert second.until == at(150)


def test_each_probe_that_fails_doubles_the_wait_up_to_the_limit() -> None:
    present, now, waits = OPEN, NOW, []
    for _ in range(8):
        assert present.until is not None
        waits.append((present.until - now).total_seconds())
        now = present.until
        _, probing = ask(present, now, POLICY, chance=0)
        assert probing is not None
        failed = after(probing, now, Sign.FAILURE, POLICY)
        assert failed is not None
        present = failed
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert POLICY.wait_seconds(10**6) == 900


def test_a_probe_that_says_nothing_is_sent_again_without_a_longer_wait() -> None:
    lost = after(health(Circuit.HALF_OPEN, trips=4), at(1), Sign.PROBE_LOST, POLICY)
    assert lost is not None
    assert (lost.circuit, lost.trips, lost.until) == (Circuit.OPEN, 4, at(31))


def test_a_success_of_the_probe_closes_it_and_forgets_the_failures() -> None:
    closed = after(health(Circuit.HALF_OPEN, failures=7, failing_since=NOW), at(1), Sign.SUCCESS, POLICY)
    assert closed is not None
    assert (closed.circuit, closed.failures, closed.failing_since) == (Circuit.CLOSED, 0, None)
    assert closed.until == at(61)
    assert after(closed, at(2), Sign.SUCCESS, POLICY) is None


@pytest.mark.parametrize(("seconds", "wait_seconds"), [(10, 120), (899, 120), (900, 30)])
def test_who_fails_again_soon_after_a_recovery_waits_for_longer(seconds: float, wait_seconds: float) -> None:
    recovered = health(Circuit.CLOSED, lasts_seconds=60, trips=2)
    reopened = fed(recovered, [Sign.FAILURE] * 5, at(seconds))
    assert (reopened.circuit, reopened.until) == (Circuit.OPEN, at(seconds + wait_seconds))


# Recovery


@pytest.mark.parametrize(
    ("seconds", "chance", "not_before"),
    [
        (0, 0.0, 0),
        (0, 0.99, 59.4),
        (30, 0.49, 59.4),
        (30, 0.25, 45),
        (30, 0.5, None),
        (59, 0.02, None),
        (60, 0.0, None),
        (1000, 0.0, None),
    ],
)
def test_after_a_recovery_a_growing_share_goes_and_the_rest_is_spread(
    seconds: float, chance: float, not_before: float | None
) -> None:
    recovered = health(Circuit.CLOSED, lasts_seconds=60)
    permission, probing = ask(recovered, at(seconds), POLICY, chance=chance)
    assert probing is None
    if not_before is None:
        assert permission == GO
    else:
        assert permission.hold is Hold.RECOVERING
        assert permission.not_before is not None
        assert (permission.not_before - NOW).total_seconds() == pytest.approx(not_before)


@given(
    circuit=st.sampled_from([Circuit.OPEN, Circuit.HALF_OPEN]),
    seconds=st.floats(-1e7, 1e7),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_nobody_is_sent_to_the_past_or_far_into_the_future(
    circuit: Circuit, seconds: float, chance: float
) -> None:
    now = at(seconds)
    wait_seconds = (release_at(health(circuit, trips=1), now, POLICY, chance=chance) - now).total_seconds()
    assert 0 <= wait_seconds <= 2 * 30 * (1 + POLICY.wait_spread) + POLICY.ramp_seconds


# Clocks


@pytest.mark.parametrize("circuit", Circuit)
def test_a_clock_that_was_set_back_far_keeps_nobody_waiting(circuit: Circuit) -> None:
    permission, _ = ask(health(circuit), at(-86_400), POLICY, chance=0)
    assert permission.allowed


@pytest.mark.parametrize("circuit", [Circuit.OPEN, Circuit.HALF_OPEN])
def test_a_clock_that_is_a_little_behind_sends_no_second_probe(circuit: Circuit) -> None:
    permission, probing = ask(health(circuit), at(-5), POLICY, chance=0)
    assert (permission.allowed, probing) == (False, None)


def test_a_first_failure_of_the_future_is_moved_to_the_present() -> None:
    failed = after(replace(WELL, failures=1, failing_since=at(10**6)), NOW, Sign.FAILURE, POLICY)
    assert failed is not None
    assert failed.failing_since == NOW


# Giving up

FIVE_DAYS = 5 * 86_400


@pytest.mark.parametrize(
    ("failures", "seconds", "is_given_up"),
    [(5, FIVE_DAYS, True), (5, FIVE_DAYS - 1, False), (4, 2 * FIVE_DAYS, False), (0, FIVE_DAYS, False)],
)
def test_a_target_is_given_up_after_failing_for_days(
    failures: int, seconds: float, is_given_up: bool
) -> None:
    failing = replace(WELL, failures=failures, failing_since=NOW if failures else None)
    assert failing.is_given_up(at(seconds), POLICY) is is_given_up
    assert not failing.is_given_up(at(-seconds), POLICY)


def test_failing_since_is_the_first_failure_without_a_success_since() -> None:
    failing = fed(fed(WELL, [Sign.FAILURE]), [Sign.FAILURE] * 4, at(100))
    assert failing.failing_since == NOW
    assert fed(fed(WELL, [Sign.FAILURE, Sign.SUCCESS]), [Sign.FAILURE], at(100)).failing_since == at(100)


# The row


@pytest.mark.parametrize(
    "known", [WELL, OPEN, health(Circuit.HALF_OPEN, failures=9, trips=3, failing_since=NOW, etag="e")]
)
def test_a_row_reads_as_what_was_written(known: TargetHealth) -> None:
    assert from_entity(to_entity(known)) == known


def test_a_row_is_that_of_channel_and_target_and_lies_in_its_range() -> None:
    key = row_key(ChannelKind.WEBHOOK, "https://receiver.example/1")
    assert key == WELL.key
    assert key != row_key(ChannelKind.CHAT, "https://receiver.example/1")
    assert ROW_KEYS[0] <= key < ROW_KEYS[1]
    assert len(key) == len("target|") + 64


def test_a_row_with_a_time_that_is_none_is_an_error() -> None:
    entity = to_entity(OPEN)
    with pytest.raises(TypeError, match="a time was expected"):
        from_entity(replace(entity, values={**entity.values, "until": "soon"}))
