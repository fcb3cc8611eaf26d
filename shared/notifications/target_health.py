"""Whether a target is fit to be told: a circuit for each target, as pure decisions on one row.

After failures in a row deliveries wait instead of hammering; then one probe at a time goes through; its
success lets the others go gently, its failure makes them wait for longer. A target that fails for days is
given up. Nothing is written for a target that is well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from shared.ledger.newer import newer
from shared.ports import Entity, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.notifications.subscription import ChannelKind

_MAX_DOUBLINGS = 30
"""Longer than any wait; keeps the power from growing without end."""


class Circuit(StrEnum):
    """Whether deliveries go to a target.

    ::

        closed ──(failures in a row)──▶ open ◀──(the probe fails)──┐
           ▲                             └──(a probe is sent)──▶ half_open
           └──────────────(the probe succeeds)─────────────────────┘
    """

    CLOSED = "closed"
    """They go; for a while after it was open some of them wait, fewer and fewer."""
    OPEN = "open"
    """They wait."""
    HALF_OPEN = "half_open"
    """One of them is under way as a probe, the others wait for how it ends."""


class Sign(Enum):
    """What a circuit learns."""

    SUCCESS = "the target took a notification"
    FAILURE = "the target failed, as it may"
    LAST_STRAW = "the target failed once too often in a row"
    PROBE_SENT = "a probe is on its way"
    PROBE_LOST = "a probe ended without saying anything about the target"


TRANSITIONS: Mapping[Circuit, Mapping[Sign, Circuit]] = {
    Circuit.CLOSED: {
        Sign.SUCCESS: Circuit.CLOSED,
        Sign.FAILURE: Circuit.CLOSED,
        Sign.LAST_STRAW: Circuit.OPEN,
    },
    Circuit.OPEN: {
        # Attempts that began before it opened end while it is open; they change nothing.
        Sign.SUCCESS: Circuit.OPEN,
        Sign.FAILURE: Circuit.OPEN,
        Sign.LAST_STRAW: Circuit.OPEN,
        Sign.PROBE_SENT: Circuit.HALF_OPEN,
        Sign.PROBE_LOST: Circuit.OPEN,
    },
    Circuit.HALF_OPEN: {
        Sign.SUCCESS: Circuit.CLOSED,
        Sign.FAILURE: Circuit.OPEN,
        Sign.LAST_STRAW: Circuit.OPEN,
        Sign.PROBE_SENT: Circuit.HALF_OPEN,  # the probe before it never came back
        Sign.PROBE_LOST: Circuit.OPEN,
    },
}
"""A sign that is left out cannot come in that state, or comes too late to mean anything."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When to stop, how long to wait, when to give up. All in seconds but ``failures_to_open``."""

    failures_to_open: int = 10
    """In a row."""
    first_wait_seconds: float = 30.0
    max_wait_seconds: float = 900.0
    """The wait doubles with each probe that fails, up to this."""
    wait_spread: float = 0.25
    """Those who wait come back within this share of the wait after its end, not all at once."""
    probe_lease_seconds: float = 60.0
    """Longer than an attempt can take: a probe that is not back by then is taken to be lost."""
    ramp_seconds: float = 60.0
    """How long after a recovery it takes until every delivery goes at once again."""
    remember_seconds: float = 900.0
    """A target that fails again so soon after a recovery waits for longer than the last time."""
    give_up_seconds: float = 5 * 86_400.0

    @classmethod
    def for_schedule(cls, delays_seconds: Sequence[float] | None) -> HealthPolicy:
        """The policy that goes with a retry schedule: the shorter its steps, the shorter the waits.

        By default the first wait is six times the schedule's first step of 5 s.
        """
        usual = cls()
        if not delays_seconds:
            return usual
        first = min(usual.first_wait_seconds, 6 * delays_seconds[0])
        scale = first / usual.first_wait_seconds
        return replace(
            usual,
            first_wait_seconds=first,
            max_wait_seconds=usual.max_wait_seconds * scale,
            ramp_seconds=usual.ramp_seconds * scale,
        )

    def wait_seconds(self, trips: int) -> float:
        """How long the circuit stays open the ``trips``-th time in a row (from 1)."""
        doubled = self.first_wait_seconds * 2.0 ** min(max(trips, 1) - 1, _MAX_DOUBLINGS)
        return min(doubled, self.max_wait_seconds)


class Hold(StrEnum):
    """Why a delivery waits."""

    FAILING = "the target keeps failing"
    RECOVERING = "the target has just recovered"
    PACE = "the target is told as fast as is allowed"


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a delivery may be sent now."""

    allowed: bool
    not_before: datetime | None = None
    """When to ask again, if it is not allowed."""
    is_probe: bool = False
    """The one delivery that finds out whether the target is well again."""
    hold: Hold | None = None


GO = Permission(allowed=True)


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """What is known of a target; as made, it is well."""

    partition: str
    """Of the subscriptions that name the target."""
    key: str
    """Its row (``row_key``)."""
    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    """In a row."""
    trips: int = 0
    """How often the circuit opened without a lasting recovery in between."""
    changed_at: datetime | None = None
    """When the circuit came into its state."""
    until: datetime | None = None
    """The end of the wait (open), of the probe's lease (half_open), of the ramp after a recovery (closed)."""
    failing_since: datetime | None = None
    """The first failure without a success since."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    def is_given_up(self, now: datetime, policy: HealthPolicy) -> bool:
        """Whether it has failed for so long, and not just twice with nothing in between, that it is over."""
        return (
            self.failing_since is not None
            and self.failures >= policy.failures_to_open
            and (now - self.failing_since).total_seconds() >= policy.give_up_seconds
        )

    def remaining_seconds(self, now: datetime) -> float:
        """How much of the state's time is left, 0 if none.

        A clock that was set back must not keep a target waiting until it has caught up: an instant further in
        the future than the state lasts is not believed.
        """
        if self.changed_at is None or self.until is None:
            return 0.0
        lasts_seconds = (self.until - self.changed_at).total_seconds()
        remaining_seconds = (self.until - now).total_seconds()
        return remaining_seconds if 0.0 < remaining_seconds <= 2 * lasts_seconds else 0.0

    def moved(self, sign: Sign, now: datetime, lasts_seconds: float) -> TargetHealth:
        """The circuit in the state that the table gives; raises ValueError where it gives none."""
        circuit = TRANSITIONS[self.circuit].get(sign)
        if circuit is None:
            raise ValueError(f"{sign.value}: that cannot be when the circuit is {self.circuit}")
        until = now + timedelta(seconds=lasts_seconds)
        return replace(self, circuit=circuit, changed_at=now, until=until)


def ask(
    health: TargetHealth, now: datetime, policy: HealthPolicy, *, chance: float
) -> tuple[Permission, TargetHealth | None]:
    """Whether a delivery may go now; with the row that must be written first, if it is to be a probe.

    ``chance`` in [0, 1) spreads those who have to wait.
    """
    remaining_seconds = health.remaining_seconds(now)
    if health.circuit is Circuit.CLOSED:
        return _ask_closed(health, now, remaining_seconds, chance), None
    if not remaining_seconds:
        probing = health.moved(Sign.PROBE_SENT, now, policy.probe_lease_seconds)
        return Permission(allowed=True, is_probe=True), probing
    not_before = release_at(health, now, policy, chance=chance)
    return Permission(allowed=False, not_before=not_before, hold=Hold.FAILING), None


def _ask_closed(health: TargetHealth, now: datetime, remaining_seconds: float, chance: float) -> Permission:
    """In a ramp a delivery goes at once with a probability that grows from 0 to 1."""
    if not remaining_seconds or health.changed_at is None or health.until is None:
        return GO
    lasts_seconds = (health.until - health.changed_at).total_seconds()
    share_held = min(remaining_seconds / lasts_seconds, 1.0)
    if chance >= share_held:
        return GO
    # Given that it is held, chance / share_held is uniform in [0, 1).
    not_before = now + timedelta(seconds=remaining_seconds * chance / share_held)
    return Permission(allowed=False, not_before=not_before, hold=Hold.RECOVERING)


def release_at(health: TargetHealth, now: datetime, policy: HealthPolicy, *, chance: float) -> datetime:
    """When a delivery that must wait for an open or half-open circuit asks again.

    The probe is mostly back long before its lease ends, so those who wait for it do not wait for the lease.
    """
    if health.circuit is Circuit.HALF_OPEN:
        return now + timedelta(seconds=1.0 + chance * policy.ramp_seconds)
    remaining_seconds = health.remaining_seconds(now)
    spread_seconds = policy.wait_seconds(health.trips) * policy.wait_spread
    return now + timedelta(seconds=remaining_seconds + chance * spread_seconds)


def after(health: TargetHealth, now: datetime, sign: Sign, policy: HealthPolicy) -> TargetHealth | None:
    """The row after an attempt that ended with SUCCESS, FAILURE or PROBE_LOST; None: nothing to write."""
    match sign:
        case Sign.SUCCESS:
            return _after_success(health, now, policy)
        case Sign.FAILURE | Sign.LAST_STRAW:
            return _after_failure(health, now, policy)
        case Sign.PROBE_LOST if health.circuit is Circuit.HALF_OPEN:
            # It tells nothing, so the next probe may go soon and the wait does not grow.
            return health.moved(sign, now, policy.first_wait_seconds)
        case _:
            return None


def _after_success(health: TargetHealth, now: datetime, policy: HealthPolicy) -> TargetHealth | None:
    if health.circuit is Circuit.HALF_OPEN:
        closed = health.moved(Sign.SUCCESS, now, policy.ramp_seconds)
        return replace(closed, failures=0, failing_since=None)
    if health.circuit is Circuit.CLOSED and health.failures:
        return replace(health, failures=0, failing_since=None)
    return None


def _after_failure(health: TargetHealth, now: datetime, policy: HealthPolicy) -> TargetHealth | None:
    if health.circuit is Circuit.OPEN:
        return None
    failed = replace(
        health, failures=health.failures + 1, failing_since=min(health.failing_since or now, now)
    )
    if health.circuit is Circuit.CLOSED and failed.failures < policy.failures_to_open:
        return failed
    sign = Sign.LAST_STRAW if health.circuit is Circuit.CLOSED else Sign.FAILURE
    trips = health.trips + 1 if _remembers(health, now, policy) else 1
    return replace(failed.moved(sign, now, policy.wait_seconds(trips)), trips=trips)


def _remembers(health: TargetHealth, now: datetime, policy: HealthPolicy) -> bool:
    """Whether the last wait still counts: it was not long ago that the circuit closed, or it never did."""
    if health.circuit is not Circuit.CLOSED:
        return True
    return (
        health.changed_at is not None and (now - health.changed_at).total_seconds() < policy.remember_seconds
    )


ROW_KEYS = ("target|", "target}")
"""The range of row keys that holds the health of a partition's targets: ``first <= key < end``."""


def row_key(channel: ChannelKind, target: str) -> str:
    """The row of a target, within the partition of its subscriptions."""
    return f"target|{hashlib.sha256(f'{channel.value}|{target}'.encode()).hexdigest()}"


_OPTIONAL_INSTANTS = ("changed_at", "until", "failing_since")
_KNOWN = frozenset(each.name for each in fields(TargetHealth))


def to_entity(health: TargetHealth) -> Entity:
    """The target's row."""
    values: dict[str, Value] = {
        **health.newer,
        "circuit": health.circuit.value,
        "failures": health.failures,
        "trips": health.trips,
    }
    for name in _OPTIONAL_INSTANTS:
        instant = getattr(health, name)
        if instant is not None:
            values[name] = instant
    return Entity(health.partition, health.key, values, health.etag)


def from_entity(entity: Entity) -> TargetHealth:
    """Read a target's row."""
    values = entity.values
    return TargetHealth(
        partition=entity.partition_key,
        key=entity.row_key,
        circuit=Circuit(str(values["circuit"])),
        failures=int(str(values["failures"])),
        trips=int(str(values["trips"])),
        **{name: _instant(values[name]) for name in _OPTIONAL_INSTANTS if name in values},
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )


def _instant(value: Value) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"a time was expected in the row, not {type(value).__name__}")
    return value
