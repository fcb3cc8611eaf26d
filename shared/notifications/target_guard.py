"""Stands before a target: who may send, and what is learnt from how it went.

The health of a target is advice. When its row cannot be read or written, deliveries go on as if it were well:
nothing is lost or doubled by it.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError, UnavailableError
from shared.ledger import conditional
from shared.notifications import target_health as targets
from shared.notifications.channels import Fault, Verdict
from shared.notifications.subscription import ChannelKind
from shared.notifications.target_health import GO, Circuit, Hold, Permission, Sign, TargetHealth
from shared.notifications.target_pace import LANE_AGAIN_SECONDS, Lanes, Pacer
from shared.ports import Insert
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from shared.notifications.channels import Outcome
    from shared.notifications.subscription import Subscription
    from shared.notifications.target_health import HealthPolicy
    from shared.notifications.target_pace import PacePolicy
    from shared.ports import Clock, Entity, TableStore

CACHE_SECONDS = 1.0
"""How long a row that was read is believed."""
MAX_CACHED_TARGETS = 10_000
_CONTENDED_SECONDS = 5.0
"""When to ask again after the row could not be claimed for a probe."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an attempt has changed."""

    circuit: Circuit | None = None
    """As it is now; None: the attempt says nothing of the target, or nobody could be asked."""
    changed: bool = False
    """It was another one before this attempt."""
    gave_up: bool = False
    """The target has failed for days: the subscription is to be disabled and its owner told."""


@dataclass(slots=True)
class _Cached:
    health: TargetHealth
    read_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FreshStarts(Protocol):
    """Forgets what is known of a target."""

    async def start_afresh(self, subscription: Subscription) -> None:
        """Raises UnavailableError, EntityChangedError when that could not be noted."""
        ...


async def start_afresh(targets: FreshStarts, subscription: Subscription) -> None:
    """Have the target told as if it were well; that this could not be noted fails nothing."""
    try:
        await targets.start_afresh(subscription)
    except (UnavailableError, EntityChangedError):
        return


class TargetGuard:
    """Asks and tells the rows of the targets; keeps what it has read for a moment."""

    def __init__(
        self,
        tables: TableStore,
        clock: Clock,
        policy: HealthPolicy,
        pace: PacePolicy,
        *,
        chance: Callable[[], float] = random.random,
        max_cached: int = MAX_CACHED_TARGETS,
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._policy = policy
        self._pacer = Pacer(clock, pace)
        self._lanes = Lanes(pace.max_in_flight)
        self._chance = chance
        self._max_cached = max_cached
        self._cache: OrderedDict[tuple[str, str], _Cached] = OrderedDict()
        """The target that was used last comes last."""

    async def may_send(self, subscription: Subscription) -> Permission:
        """Whether a delivery may go now. Who is allowed to must say how it went (``told``)."""
        try:
            health = await self._look(subscription)
        except UnavailableError:
            health = _fresh(subscription)
        permission, probing = targets.ask(health, self._clock.now(), self._policy, chance=self._chance())
        if probing is not None:
            return await self._claim_probe(health)
        if permission.allowed:
            not_before = self._pacer.take(f"{health.partition}|{health.key}")
            if not_before is not None:
                return Permission(allowed=False, not_before=not_before, hold=Hold.PACE)
        return permission

    @asynccontextmanager
    async def lane(self, subscription: Subscription) -> AsyncIterator[datetime | None]:
        """Room for one attempt at the target, for as long as the context lasts; else when to come back."""
        key = lane_of(subscription)
        if not await self._lanes.enter(key):
            yield self._clock.now() + timedelta(seconds=LANE_AGAIN_SECONDS * (1 + self._chance()))
            return
        try:
            yield None
        finally:
            self._lanes.leave(key)

    async def told(self, subscription: Subscription, outcome: Outcome, permission: Permission) -> Report:
        """Note how the attempt that ``permission`` allowed went."""
        sign = sign_of(outcome, is_probe=permission.is_probe)
        if sign is None:
            return Report()
        try:
            known = await self._look(subscription)
            if targets.after(known, self._clock.now(), sign, self._policy) is None:
                return Report(known.circuit)
            before, health = await self._note(known, sign)
        except (UnavailableError, EntityChangedError):
            # Racing writers saw the same target; what they wrote does for this attempt, too.
            return Report()
        if before is Circuit.CLOSED and health.circuit is Circuit.OPEN:
            measure(Metric.CIRCUITS_OPENED)
        elif before is not Circuit.CLOSED and health.circuit is Circuit.CLOSED:
            measure(Metric.CIRCUITS_CLOSED)
        gave_up = sign is Sign.FAILURE and health.is_given_up(self._clock.now(), self._policy)
        return Report(health.circuit, changed=health.circuit is not before, gave_up=gave_up)

    async def start_afresh(self, subscription: Subscription) -> None:
        """Forget what is known of the target: its owner says that it is well again.

        Raises UnavailableError, EntityChangedError when that could not be noted.
        """
        fresh = _fresh(subscription)

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            return targets.to_entity(replace(fresh, etag=entity.etag)), None

        try:
            entity, _ = await conditional.update(self._tables, fresh.partition, fresh.key, decide)
        except EntityMissingError:
            return
        self._keep(targets.from_entity(entity))

    async def _claim_probe(self, health: TargetHealth) -> Permission:
        def decide(entity: Entity) -> tuple[Entity | None, Permission]:
            permission, probing = targets.ask(
                targets.from_entity(entity), self._clock.now(), self._policy, chance=self._chance()
            )
            return (None if probing is None else targets.to_entity(probing)), permission

        try:
            entity, permission = await conditional.update(self._tables, health.partition, health.key, decide)
        except EntityMissingError:
            return GO
        except (EntityChangedError, UnavailableError):
            seconds = _CONTENDED_SECONDS * (1 + self._chance())
            not_before = self._clock.now() + timedelta(seconds=seconds)
            return Permission(allowed=False, not_before=not_before, hold=Hold.FAILING)
        self._keep(targets.from_entity(entity))
        return permission

    async def _note(self, known: TargetHealth, sign: Sign) -> tuple[Circuit, TargetHealth]:
        """Write what the attempt means; returns the circuit before it and the row as it is now."""

        def decide(entity: Entity) -> tuple[Entity | None, Circuit]:
            present = targets.from_entity(entity)
            changed = targets.after(present, self._clock.now(), sign, self._policy)
            return (None if changed is None else targets.to_entity(changed)), present.circuit

        if not known.etag:
            first = targets.after(known, self._clock.now(), sign, self._policy) or known
            try:
                (etag,) = await self._tables.apply([Insert(targets.to_entity(first))])
            except EntityExistsError:
                pass  # another worker has just met the first failure
            else:
                self._keep(replace(first, etag=etag))
                return known.circuit, first
        try:
            entity, before = await conditional.update(self._tables, known.partition, known.key, decide)
        except EntityMissingError:
            return known.circuit, known  # the row was deleted; the next failure makes a new one
        health = targets.from_entity(entity)
        self._keep(health)
        return before, health

    async def _look(self, subscription: Subscription) -> TargetHealth:
        """The target's row, read at most once in CACHE_SECONDS, however many ask at the same time."""
        cached = self._cached(_fresh(subscription))
        async with cached.lock:
            now = self._clock.now()
            if cached.read_at is None or not 0.0 <= (now - cached.read_at).total_seconds() < CACHE_SECONDS:
                fresh = _fresh(subscription)
                entity = await self._tables.get(fresh.partition, fresh.key)
                cached.health = fresh if entity is None else targets.from_entity(entity)
                cached.read_at = now
            return cached.health

    def _keep(self, health: TargetHealth) -> None:
        cached = self._cached(health)
        cached.health, cached.read_at = health, self._clock.now()

    def _cached(self, health: TargetHealth) -> _Cached:
        place = (health.partition, health.key)
        cached = self._cache.setdefault(place, _Cached(health))
        self._cache.move_to_end(place)
        if len(self._cache) > self._max_cached:
            self._cache.popitem(last=False)
        return cached


def sign_of(outcome: Outcome, *, is_probe: bool) -> Sign | None:
    """What an outcome says of its target; None: nothing that counts.

    A target that refuses a notification for good is up, so a probe has found what it was sent for.
    """
    match outcome.verdict, outcome.whose_fault:
        case Verdict.DELIVERED, _:
            return Sign.SUCCESS
        case Verdict.TRY_AGAIN, Fault.TARGET:
            return Sign.FAILURE
        case Verdict.REJECTED, Fault.TARGET if is_probe:
            return Sign.SUCCESS
        case _:
            return Sign.PROBE_LOST if is_probe else None


def lane_of(subscription: Subscription) -> str:
    """Whose attempts hang together: those at one target; all mails, since one server takes them."""
    if subscription.channel is ChannelKind.EMAIL:
        return subscription.channel.value
    health = _fresh(subscription)
    return f"{health.partition}|{health.key}"


def _fresh(subscription: Subscription) -> TargetHealth:
    return TargetHealth(subscription.owner, targets.row_key(subscription.channel, subscription.target))
