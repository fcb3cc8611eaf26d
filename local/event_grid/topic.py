"""The system topic at work: takes creations from the log and sees each event through to its subscribers."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from local.event_grid.access_log import Api, BlobCreation
from local.event_grid.delivery_state import DeliveryRecord, DeliveryState, EventRecord, RecentEvents
from local.event_grid.events import Event, blob_created, has_facts, parse_subject, subject, with_facts
from local.event_grid.journal import Journal, PendingDelivery, PendingEvent, Publication
from local.event_grid.retry_policy import Delivered, GiveUp, TryAgain, next_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.event_grid.events import BlobFacts, Topic
    from local.event_grid.log_tail import Position
    from local.event_grid.subscriber import Subscriber

MAX_CONCURRENT_LOOKUPS = 32

log = logging.getLogger(__name__)


class Lookup(Protocol):
    """Knows the account and its blobs."""

    topic: Topic

    async def facts(self, container: str, name: str) -> BlobFacts | None:
        """Return what is known about a blob now, or None."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What Event Grid may do to an event, on request: send it twice, lose it, be late."""

    duplicate: bool = False
    drop_next: int = 0
    delay_seconds: float = 0.0


class SystemTopic:
    """Publishes BlobCreated events. Runs inside ``tasks``: one task per event on its way."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        lookup: Lookup,
        journal: Journal,
        subscribers: Sequence[Subscriber],
    ) -> None:
        self._tasks = tasks
        self._lookup = lookup
        self._journal = journal
        self._subscribers = {subscriber.name: subscriber for subscriber in subscribers}
        self._lookups = asyncio.Semaphore(MAX_CONCURRENT_LOOKUPS)
        self._sequence = 0
        self.misbehaviour = Misbehaviour()
        self.recent = RecentEvents()

    def resume(self) -> int:
        """Go on with what an earlier process left pending; returns the number of events."""
        pending = self._journal.pending(list(self._subscribers))
        for event in pending:
            self._start(event)
        return len(pending)

    def publish(self, creations: Sequence[BlobCreation], position: Position) -> None:
        """Take over ``creations``; the log has been read up to ``position``."""
        kept = []
        for creation in creations:
            event = self._created(creation)
            names = self._wanted_by(event)
            if not names:
                continue
            if self.misbehaviour.drop_next > 0:
                self._lose(event, names)
            else:
                kept.append(Publication(event, time.time(), names))
        for pending in self._journal.accept(kept, position):
            self._start(pending)

    async def replay(self, container: str, name: str) -> Event | None:
        """Send the newest event about a blob again; returns it, or None when nothing is known of the blob."""
        record = self.recent.latest_about(subject(container, name))
        if record is None:
            facts = await self._lookup.facts(container, name)
            if facts is None:
                return None
            event = with_facts(self._created(BlobCreation(container, name, Api.PUT_BLOB)), facts)
        else:
            event = record.event
        if names := self._wanted_by(event):
            again = Publication(event, time.time(), names, complete=has_facts(event))
            for pending in self._journal.accept([again]):
                self._start(pending)
        return event

    def not_ready_because(self) -> list[str]:
        """Return one sentence for each subscription that is not validated."""
        return [
            f"Subscription {subscriber.name!r} {subscriber.not_validated_because}."
            for subscriber in self._subscribers.values()
            if not subscriber.validated.is_set()
        ]

    def _created(self, creation: BlobCreation) -> Event:
        self._sequence = max(self._sequence + 1, time.time_ns())
        return blob_created(self._lookup.topic, creation, datetime.now(UTC), self._sequence)

    def _wanted_by(self, event: Event) -> tuple[str, ...]:
        return tuple(
            name for name, subscriber in self._subscribers.items() if subscriber.subscription.matches(event)
        )

    def _lose(self, event: Event, names: Sequence[str]) -> None:
        self.misbehaviour = dataclasses.replace(self.misbehaviour, drop_next=self.misbehaviour.drop_next - 1)
        record = EventRecord(event, {name: DeliveryRecord() for name in names})
        for delivery in record.deliveries.values():
            delivery.move(DeliveryState.DROPPED)
        self.recent.add(record)

    def _start(self, pending: PendingEvent) -> None:
        deliveries = {d.subscription: DeliveryRecord(attempts=d.attempts) for d in pending.deliveries}
        record = EventRecord(pending.event, deliveries)
        self.recent.add(record)
        self._tasks.create_task(self._see_through(pending, record))

    async def _see_through(self, pending: PendingEvent, record: EventRecord) -> None:
        await asyncio.sleep(self.misbehaviour.delay_seconds)
        if not pending.complete:
            record.event = await self._with_facts(pending.event)
            self._journal.complete(pending.key, record.event)
            pending = dataclasses.replace(pending, event=record.event, complete=True)
        await asyncio.gather(*(self._deliver(pending, delivery, record) for delivery in pending.deliveries))

    async def _with_facts(self, event: Event) -> Event:
        container, name = parse_subject(str(event["subject"]))
        async with self._lookups:
            facts = await self._lookup.facts(container, name)
        return event if facts is None else with_facts(event, facts)

    async def _deliver(self, pending: PendingEvent, delivery: PendingDelivery, shown: EventRecord) -> None:
        """Repeat attempts until the subscriber has the event or the policy gives up."""
        subscriber = self._subscribers[delivery.subscription]
        record = shown.deliveries[delivery.subscription]
        await subscriber.validated.wait()
        while True:
            await asyncio.sleep(max(0.0, delivery.due_at - time.time()))
            record.move(DeliveryState.DELIVERING)
            record.attempts += 1
            record.last_status = await subscriber.deliver(pending.event, record.attempts)
            age_seconds = time.time() - pending.published_at
            step = next_step(subscriber.policy, record.last_status, record.attempts, age_seconds)
            log.info(
                "delivery attempt: subscription=%s event=%s attempt=%d status=%s age_ms=%d outcome=%s",
                subscriber.name,
                pending.event["id"],
                record.attempts,
                record.last_status,
                age_seconds * 1000,
                step,
            )
            match step:
                case Delivered():
                    record.move(DeliveryState.DELIVERED)
                    self._journal.settle(pending.key, subscriber.name)
                    if self.misbehaviour.duplicate:
                        await subscriber.deliver(pending.event, record.attempts)
                    return
                case GiveUp(reason):
                    record.move(DeliveryState.DEAD_LETTERED)
                    record.reason = reason
                    subscriber.dead_letter(pending, record, time.time())
                    self._journal.settle(pending.key, subscriber.name)
                    return
                case TryAgain(delay_seconds):
                    record.move(DeliveryState.RETRYING)
                    delivery = PendingDelivery(subscriber.name, record.attempts, time.time() + delay_seconds)
                    self._journal.postpone(pending.key, delivery)
