from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import EntityChangedError, UnavailableError
from shared.notifications import target_health as targets
from shared.notifications.channels import Fault, Outcome, Verdict
from shared.notifications.subscription import ChannelKind, EventType, Subscription, SubscriptionStatus
from shared.notifications.target_guard import CACHE_SECONDS, Report, TargetGuard, lane_of, sign_of
from shared.notifications.target_health import GO, Circuit, HealthPolicy, Hold, Permission, Sign
from shared.notifications.target_pace import PacePolicy
from shared.ports import Insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Change, Entity, TableStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = HealthPolicy(failures_to_open=5)
UNPACED = PacePolicy(per_second=None)
DELIVERED = Outcome(Verdict.DELIVERED, "taken")
FAILED = Outcome(Verdict.TRY_AGAIN, "no answer")
REFUSED = Outcome(Verdict.REJECTED, "not found", status_code=404)
OURS = Outcome(Verdict.TRY_AGAIN, "out of memory", whose_fault=Fault.OURS)
PROBE = Permission(allowed=True, is_probe=True)
SUBSCRIPTION = Subscription(
    id="1" * 32,
    owner="p",
    channel=ChannelKind.WEBHOOK,
    target="https://receiver.example/1",
    events=frozenset({EventType.FILE_STORED}),
    status=SubscriptionStatus.ACTIVE,
    secrets=(),
    created_at=NOW,
    updated_at=NOW,
)


class Counting(MemoryTables):
    """Counts, and lets others run in the middle of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.writes = 0

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        self.reads += 1
        found = await super().get(partition_key, row_key)
        await asyncio.sleep(0)
        return found

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        await asyncio.sleep(0)
        self.writes += 1
        return await super().apply(changes)


class Broken(MemoryTables):
    """Fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        if self.read_error is not None:
            raise self.read_error
        return await super().get(partition_key, row_key)

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if self.write_error is not None:
            raise self.write_error
        return await super().apply(changes)


def guard(
    tables: TableStore, clock: MemoryClock, *, pace: PacePolicy = UNPACED, max_cached: int = 100
) -> TargetGuard:
    chance = random.Random(1).random
    return TargetGuard(tables, clock, POLICY, pace, chance=chance, max_cached=max_cached)


async def fail(of: TargetGuard, times: int, subscription: Subscription = SUBSCRIPTION) -> list[Report]:
    return [await of.told(subscription, FAILED, GO) for _ in range(times)]


def stored(tables: MemoryTables) -> targets.TargetHealth:
    (entity,) = tables.rows.values()
    return targets.from_entity(entity)


# What it costs


async def test_healthy_traffic_writes_nothing_and_reads_one_row_in_a_second() -> None:
    tables, clock = Counting(), MemoryClock(NOW)
    of = guard(tables, clock)
    for _ in range(10):
        for _ in range(20):
            permissions = await asyncio.gather(*(of.may_send(SUBSCRIPTION) for _ in range(10)))
            assert permissions == [GO] * 10
            assert await of.told(SUBSCRIPTION, DELIVERED, GO) == Report(Circuit.CLOSED)
            clock.advance(CACHE_SECONDS / 20)
    assert (tables.reads, tables.writes, tables.rows) == (10, 0, {})


async def test_a_target_that_is_well_again_after_a_failure_is_written_once() -> None:
    tables, clock = Counting(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 1)
    for _ in range(10):
        await of.told(SUBSCRIPTION, DELIVERED, GO)
    assert tables.writes == 2
    assert stored(tables).failures == 0


async def test_the_cache_is_bounded() -> None:
    tables, clock = Counting(), MemoryClock(NOW)
    of = guard(tables, clock, max_cached=2)
    for name in ("a", "b", "c", "a"):
        await of.may_send(replace(SUBSCRIPTION, target=name))
    assert tables.reads == 4
    await of.may_send(replace(SUBSCRIPTION, target="c"))
    assert tables.reads == 4


# The circuit


async def test_failures_in_a_row_open_it_and_another_target_is_not_concerned() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    reports = await fail(of, 6)
    assert [report.changed for report in reports] == [False] * 4 + [True, False]
    assert reports[-1].circuit is Circuit.OPEN
    assert (await of.may_send(SUBSCRIPTION)).hold is Hold.FAILING
    assert await of.may_send(replace(SUBSCRIPTION, target="https://other.example/")) == GO
    assert await of.may_send(replace(SUBSCRIPTION, owner="q")) == GO


@pytest.mark.parametrize("outcome", [REFUSED, OURS])
async def test_what_is_not_a_failure_of_the_target_does_not_count(outcome: Outcome) -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    for _ in range(20):
        assert await of.told(SUBSCRIPTION, outcome, GO) == Report()
    assert tables.rows == {}


@pytest.mark.parametrize(
    ("outcome", "of_probe", "of_others"),
    [
        (DELIVERED, Sign.SUCCESS, Sign.SUCCESS),
        (FAILED, Sign.FAILURE, Sign.FAILURE),
        (REFUSED, Sign.SUCCESS, None),
        (OURS, Sign.PROBE_LOST, None),
        (Outcome(Verdict.REJECTED, "unreadable", whose_fault=Fault.OURS), Sign.PROBE_LOST, None),
    ],
)
def test_what_an_outcome_says_of_its_target(outcome: Outcome, of_probe: Sign, of_others: Sign | None) -> None:
    assert sign_of(outcome, is_probe=True) is of_probe
    assert sign_of(outcome, is_probe=False) is of_others


async def test_fifty_failures_at_once_open_it_once() -> None:
    tables, clock = Counting(), MemoryClock(NOW)
    workers = [guard(tables, clock) for _ in range(5)]
    reports = await asyncio.gather(*(workers[n % 5].told(SUBSCRIPTION, FAILED, GO) for n in range(50)))
    known = stored(tables)
    assert (known.circuit, known.trips) == (Circuit.OPEN, 1)
    assert sum(report.changed for report in reports) == 1


async def test_of_two_workers_that_ask_at_once_one_gets_the_probe() -> None:
    tables, clock = Counting(), MemoryClock(NOW)
    workers = [guard(tables, clock) for _ in range(2)]
    await fail(workers[0], 5)
    clock.advance(30)
    permissions = await asyncio.gather(*(worker.may_send(SUBSCRIPTION) for worker in workers * 5))
    assert sum(permission.is_probe for permission in permissions) == 1
    assert sum(permission.allowed for permission in permissions) == 1
    assert all(permission.not_before for permission in permissions if not permission.allowed)


async def test_a_crashed_probe_lets_another_worker_s_go_after_its_lease() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    crashed, other = guard(tables, clock), guard(tables, clock)
    await fail(crashed, 5)
    clock.advance(30)
    assert (await crashed.may_send(SUBSCRIPTION)).is_probe
    clock.advance(POLICY.probe_lease_seconds - 1)
    assert not (await other.may_send(SUBSCRIPTION)).allowed
    clock.advance(1)
    assert (await other.may_send(SUBSCRIPTION)).is_probe


@pytest.mark.parametrize(
    ("outcome", "circuit", "wait_seconds"),
    [
        (DELIVERED, Circuit.CLOSED, POLICY.ramp_seconds),
        (REFUSED, Circuit.CLOSED, POLICY.ramp_seconds),
        (FAILED, Circuit.OPEN, 60),
        (OURS, Circuit.OPEN, 30),
    ],
)
async def test_how_the_probe_ends_decides(outcome: Outcome, circuit: Circuit, wait_seconds: float) -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 5)
    clock.advance(30)
    permission = await of.may_send(SUBSCRIPTION)
    assert permission == PROBE
    clock.advance(12)
    assert await of.told(SUBSCRIPTION, outcome, permission) == Report(circuit, changed=True)
    known = stored(tables)
    assert known.until is not None
    assert (known.until - clock.now()).total_seconds() == wait_seconds


# Giving up


async def test_a_target_that_fails_for_five_days_is_given_up_at_its_next_failure() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    assert not any(report.gave_up for report in await fail(of, 5))
    gave_up_at = None
    while gave_up_at is None:
        permission = await of.may_send(SUBSCRIPTION)
        if permission.is_probe and (await of.told(SUBSCRIPTION, FAILED, permission)).gave_up:
            gave_up_at = clock.now()
        clock.advance(60)
    days = (gave_up_at - NOW).total_seconds() / 86_400
    assert 5 <= days < 5 + POLICY.max_wait_seconds * 1.5 / 86_400


async def test_who_starts_afresh_is_told_at_once_and_not_given_up_at_the_next_failure() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 5)
    clock.advance(6 * 86_400)
    await of.start_afresh(SUBSCRIPTION)
    assert await of.may_send(SUBSCRIPTION) == GO
    assert not any(report.gave_up for report in await fail(of, 5))


async def test_to_start_a_target_afresh_of_which_nothing_is_known_is_nothing() -> None:
    tables = MemoryTables()
    await guard(tables, MemoryClock(NOW)).start_afresh(SUBSCRIPTION)
    assert tables.rows == {}


# When the tables fail


async def test_tables_that_cannot_be_read_stop_nobody() -> None:
    tables, clock = Broken(), MemoryClock(NOW)
    of = guard(tables, clock, pace=PacePolicy(per_second=1, burst=1))
    tables.read_error = UnavailableError("away")
    assert await of.may_send(SUBSCRIPTION) == GO
    assert (await of.may_send(SUBSCRIPTION)).hold is Hold.PACE
    assert await of.told(SUBSCRIPTION, FAILED, GO) == Report()


@pytest.mark.parametrize("error", [UnavailableError("away"), EntityChangedError("raced")])
async def test_a_probe_that_cannot_be_claimed_does_not_go_and_asks_again_soon(error: Exception) -> None:
    tables, clock = Broken(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 5)
    clock.advance(30)
    tables.write_error = error
    permission = await of.may_send(SUBSCRIPTION)
    assert not permission.allowed
    assert permission.not_before is not None
    assert 5 <= (permission.not_before - clock.now()).total_seconds() < 10
    assert await of.told(SUBSCRIPTION, FAILED, PROBE) == Report(Circuit.OPEN)
    tables.write_error = None
    assert (await of.may_send(SUBSCRIPTION)).is_probe


async def test_a_row_that_was_deleted_is_a_target_that_is_well() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 3)
    tables.rows.clear()
    await fail(of, 1)
    assert tables.rows == {}
    clock.advance(CACHE_SECONDS)
    await fail(of, 1)
    assert stored(tables).failures == 1


async def test_a_clock_that_goes_back_keeps_nobody_waiting_until_it_has_caught_up() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 5)
    clock.advance(-3600)
    permission = await of.may_send(SUBSCRIPTION)
    assert permission.is_probe
    report = await of.told(SUBSCRIPTION, DELIVERED, permission)
    assert report.circuit is Circuit.CLOSED


# Recovery, measured


async def test_five_hundred_that_wait_are_released_gently() -> None:
    """Three workers; the target is down for ten minutes and then answers at once."""
    tables, clock = MemoryTables(), MemoryClock(NOW)
    workers = [guard(tables, clock) for _ in range(3)]
    await fail(workers[0], 5)
    waiting = [(NOW, number) for number in range(500)]
    heals_at_seconds = 600.0
    sent_per_second: Counter[int] = Counter()
    failed_probes = asked = 0
    while waiting:
        at, number = heapq.heappop(waiting)
        clock.advance(max(0.0, (at - clock.now()).total_seconds()))
        seconds = (clock.now() - NOW).total_seconds()
        worker = workers[number % 3]
        asked += 1
        permission = await worker.may_send(SUBSCRIPTION)
        if permission.allowed and seconds >= heals_at_seconds:
            await worker.told(SUBSCRIPTION, DELIVERED, permission)
            sent_per_second[int(seconds)] += 1
            continue
        if permission.allowed:
            failed_probes += 1
            await worker.told(SUBSCRIPTION, FAILED, permission)
        not_before = permission.not_before or clock.now()
        heapq.heappush(waiting, (not_before, number))

    assert failed_probes == 4  # after 30, 90, 210 and 450 s; the next one, after 930 s, finds it well
    began, ended = min(sent_per_second), max(sent_per_second)
    assert sum(sent_per_second.values()) == 500
    assert 40 <= ended - began <= 480 * POLICY.wait_spread + POLICY.ramp_seconds
    assert max(sent_per_second.values()) <= 3 * 500 / POLICY.ramp_seconds
    first_ten = sum(count for second, count in sent_per_second.items() if second < began + 10)
    assert first_ten <= 0.1 * 500
    assert asked <= 15 * 500


async def test_a_burst_that_meets_a_target_just_recovered_is_spread_over_the_ramp() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock)
    await fail(of, 5)
    clock.advance(30)
    await of.told(SUBSCRIPTION, DELIVERED, await of.may_send(SUBSCRIPTION))
    recovered_at = clock.now()
    waiting = [(recovered_at, number) for number in range(500)]
    sent_per_second: Counter[int] = Counter()
    while waiting:
        at, number = heapq.heappop(waiting)
        clock.advance(max(0.0, (at - clock.now()).total_seconds()))
        permission = await of.may_send(SUBSCRIPTION)
        if permission.not_before is None:
            sent_per_second[int((clock.now() - recovered_at).total_seconds())] += 1
        else:
            heapq.heappush(waiting, (permission.not_before, number))
    assert max(sent_per_second) <= POLICY.ramp_seconds
    assert max(sent_per_second.values()) <= 5 * 500 / POLICY.ramp_seconds
    assert sum(count for second, count in sent_per_second.items() if second < 10) <= 0.1 * 500


async def test_the_pace_holds_back_what_is_too_fast_but_never_a_probe() -> None:
    tables, clock = MemoryTables(), MemoryClock(NOW)
    of = guard(tables, clock, pace=PacePolicy(per_second=1, burst=1))
    assert await of.may_send(SUBSCRIPTION) == GO
    assert (await of.may_send(SUBSCRIPTION)).hold is Hold.PACE
    broken = targets.TargetHealth(
        "p",
        targets.row_key(ChannelKind.WEBHOOK, SUBSCRIPTION.target),
        circuit=Circuit.OPEN,
        failures=5,
        trips=1,
        changed_at=NOW,
        until=NOW,
        failing_since=NOW,
    )
    await tables.apply([Insert(targets.to_entity(broken))])
    other = guard(tables, clock, pace=PacePolicy(per_second=1, burst=1))
    assert (await other.may_send(SUBSCRIPTION)).is_probe


def test_each_target_has_lanes_of_its_own_and_all_mails_share_theirs() -> None:
    """One mail server takes everybody's mails: when it hangs, no more attempts wait than at one target."""
    other_target = replace(SUBSCRIPTION, target="https://receiver.example/2")
    other_owner = replace(SUBSCRIPTION, owner="q")
    assert len({lane_of(each) for each in (SUBSCRIPTION, other_target, other_owner)}) == 3
    mail = replace(SUBSCRIPTION, channel=ChannelKind.EMAIL, target="a@readers.example")
    others_mail = replace(mail, owner="q", target="b@readers.example")
    assert lane_of(mail) == lane_of(others_mail) != lane_of(SUBSCRIPTION)
