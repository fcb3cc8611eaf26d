"""Delivering: what the queue trigger does with one message.

claim (conditional write, lease) → send through the channel → settle (with the claim's own ETag). A crash
between any two steps leaves a row and a message from which a redelivery finishes the work.
"""

from __future__ import annotations

import logging
import random
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import DeadLetterError, EntityChangedError, EntityMissingError, UnavailableError
from shared.files import file as files
from shared.files.file import FileStatus
from shared.ledger import conditional
from shared.ledger.ranges import rows
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.channels import Notification, Outcome, Verdict
from shared.notifications.channels.attempt import attempt, conclude, position_of
from shared.notifications.delivery_record import (
    SETTLED,
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryStatus,
    Turn,
    take_turn,
)
from shared.notifications.message import DeliveryMessage
from shared.notifications.subscription import EventType, SubscriptionStatus
from shared.notifications.target_health import GO, Hold, Permission
from shared.ports import Replace
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure
from shared.telemetry.spans import adopt, link, tell
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.notifications.channels import Channel
    from shared.notifications.owner_news import OwnerNews
    from shared.notifications.retry_schedule import RetrySchedule
    from shared.notifications.subscription import ChannelKind, Subscription
    from shared.notifications.target_guard import TargetGuard
    from shared.ports import Clock, Entity, MessageQueue, TableStore

TARGET_FAILING = "the target has been failing; nothing was sent"
LOOK_MARGIN_SECONDS = 1.0
"""Added to a lease's end before looking again, so that clocks need not agree; doubled at each look."""
MAX_LOOK_MARGIN_SECONDS = 300.0
"""As far as the doubling goes."""

_ATTEMPT_OUTCOMES = {
    Verdict.DELIVERED: AttemptOutcome.DELIVERED,
    Verdict.TRY_AGAIN: AttemptOutcome.FAILED,
    Verdict.REJECTED: AttemptOutcome.REJECTED,
}


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How long and how often. Attempt time limit < lease < the queue's lock duration."""

    schedule: RetrySchedule
    attempt_timeout_seconds: float
    lease_seconds: float


class Deliverer:
    """Carries out delivery messages."""

    def __init__(
        self,
        tables: TableStore,
        queue: MessageQueue,
        channels: Mapping[ChannelKind, Channel],
        clock: Clock,
        policy: DeliveryPolicy,
        guard: TargetGuard | None = None,
        news: OwnerNews | None = None,
    ) -> None:
        self._tables = tables
        self._queue = queue
        self._channels = channels
        self._clock = clock
        self._policy = policy
        self._guard = guard
        self._news = news

    async def handle(self, body: bytes, *, enqueued_at: datetime | None = None) -> None:
        """Carry out one message from the queue.

        Returns when the message may be completed. Raises DeadLetterError when it must end in the dead-letter
        queue; any other error means that it must be delivered again.
        """
        try:
            message = DeliveryMessage.from_queue(body)
        except DeadLetterError as error:
            record(Event.MESSAGE_UNREADABLE, level=logging.ERROR, reason=str(error))
            measure(Metric.DEAD_LETTERS, cause="unreadable")
            raise
        adopt(TraceContext.parse(message.parent))
        link(TraceContext.parse(message.asked_by))
        tell(
            file_id=message.file_id,
            delivery_id=message.delivery_id,
            attempt=message.attempt,
            correlation_id=message.correlation_id,
        )
        try:
            await self._carry_out(message, enqueued_at)
        except EntityMissingError:
            self._skip(message, "the delivery does not exist any more")
        except (EntityChangedError, UnavailableError) as error:
            # Raising would have the queue deliver again at once, until it dead-letters a message that nothing
            # is wrong with. What we could not do now, a copy of the message asks for later.
            await self._put_off(message, self._clock.now())
            self._skip(message, f"put off: {getattr(error, 'reason', None) or type(error).__name__}")

    async def _carry_out(self, message: DeliveryMessage, enqueued_at: datetime | None) -> None:
        delivery, turn = await self._claim(message, enqueued_at)
        match turn:
            case Turn.SEND:
                await self._send(delivery, message)
            case Turn.GIVE_UP:
                await self._settle_dead(delivery, "the last attempt was interrupted", cause="interrupted")
            case Turn.FINISH:
                await self._settle_file(delivery.owner, delivery.file_id)
                self._skip(message, f"already {delivery.status}")
            case Turn.SCHEDULE_NEXT:
                await self._schedule(delivery, message)
                self._skip(message, "the next attempt is scheduled")
            case Turn.LOOK_LATER:
                await self._put_off(message, delivery.lease_ends_at or self._clock.now())
                self._skip(message, "another worker's lease still runs")
            case Turn.DEAD_LETTER:
                await self._settle_file(delivery.owner, delivery.file_id)
                raise DeadLetterError(delivery.reason or "given up")

    async def _claim(self, message: DeliveryMessage, enqueued_at: datetime | None) -> tuple[Delivery, Turn]:
        def decide(entity: Entity) -> tuple[Entity | None, Turn]:
            delivery = deliveries.from_entity(entity)
            claimed, turn = take_turn(
                delivery,
                attempt=message.attempt,
                now=self._clock.now(),
                lease_seconds=self._policy.lease_seconds,
                max_attempts=self._policy.schedule.max_attempts,
            )
            if claimed is None:
                return None, turn
            return deliveries.to_entity(replace(claimed, queued_at=claimed.queued_at or enqueued_at)), turn

        entity, turn = await conditional.update(
            self._tables, message.owner, deliveries.row_key(message.file_id, message.delivery_id), decide
        )
        return deliveries.from_entity(entity), turn

    async def _send(self, delivery: Delivery, message: DeliveryMessage) -> None:
        entity = await self._tables.get(
            delivery.subscription_partition, subscriptions.row_key(delivery.subscription_id)
        )
        subscription = None if entity is None else subscriptions.from_entity(entity)
        if subscription is None or subscription.status is not SubscriptionStatus.ACTIVE:
            await self._settle(delivery, DeliveryStatus.SUPPRESSED, reason=_why_not(subscription))
            return
        permission = GO if self._guard is None else await self._guard.may_send(subscription)
        if not permission.allowed and not self._is_tried_all_the_same(delivery, permission):
            await self._hold(delivery, message, subscription, permission)
            return
        lane = nullcontext(None) if self._guard is None else self._guard.lane(subscription)
        async with lane as come_back_at:
            started_at = self._clock.now()
            if come_back_at is None:
                outcome = await self._attempt(delivery, message, subscription)
        if come_back_at is not None:
            no_room = Permission(allowed=False, not_before=come_back_at, hold=Hold.PACE)
            await self._hold(delivery, message, subscription, no_room)
            return
        made = Attempt(
            number=delivery.attempt,
            started_at=started_at,
            duration_ms=round((self._clock.now() - started_at) / timedelta(milliseconds=1)),
            outcome=_ATTEMPT_OUTCOMES[outcome.verdict],
            status_code=outcome.status_code,
            detail=outcome.detail,
            answer_start=outcome.answer_start,
        )
        await self._learn(subscription, outcome, permission, message)
        self._tell(made, delivery, message, subscription)
        await self._conclude(
            replace(delivery, attempts=(*delivery.attempts, made), held_since=None),
            message,
            subscription,
            outcome,
        )

    async def _attempt(
        self, delivery: Delivery, message: DeliveryMessage, subscription: Subscription
    ) -> Outcome:
        """Tell the subscriber, in a span that is linked to that of the attempt before."""
        trace = TraceContext.parse(message.parent) or TraceContext.start()
        here = position_of(trace.trace_id, delivery.id, delivery.attempt)
        told = Notification(
            delivery.id, subscription, message.event, message.correlation_id, here.traceparent
        )
        with attempt(subscription, span_id=here.span_id) as span:
            if delivery.attempts:
                span.links.append(position_of(trace.trace_id, delivery.id, delivery.attempts[-1].number))
            outcome = await self._channels[subscription.channel].deliver(
                told, timeout_seconds=self._policy.attempt_timeout_seconds
            )
            conclude(span, outcome)
        return outcome

    def _tell(
        self, made: Attempt, delivery: Delivery, message: DeliveryMessage, subscription: Subscription
    ) -> None:
        """The wide event of an attempt, and what is counted of it."""
        measure(Metric.DELIVERY_ATTEMPTS, outcome=made.outcome.value, channel=subscription.channel.value)
        since_accepted_ms = None
        if made.outcome is AttemptOutcome.DELIVERED and deliveries.is_about(delivery, EventType.FILE_STORED):
            since_accepted = self._clock.now() - message.accepted_at
            measure(Metric.TIME_TO_DELIVERED, since_accepted.total_seconds())
            since_accepted_ms = round(since_accepted / timedelta(milliseconds=1))
        record(
            Event.DELIVERY_ATTEMPT,
            level=logging.INFO if made.outcome is AttemptOutcome.DELIVERED else logging.WARNING,
            delivery_id=delivery.id,
            file_id=delivery.file_id,
            subscription_id=subscription.id,
            channel=subscription.channel.value,
            attempt=made.number,
            outcome=made.outcome.value,
            status_code=made.status_code,
            duration_ms=made.duration_ms,
            since_accepted_ms=since_accepted_ms,
            trace_id=message.event.traceparent.split("-")[1],
            correlation_id=message.correlation_id,
        )

    def _is_tried_all_the_same(self, delivery: Delivery, permission: Permission) -> bool:
        """Whether it is the last attempt and has waited as long as it may: nothing is given up untried."""
        is_last = delivery.attempt_of_round >= self._policy.schedule.max_attempts
        return (
            is_last and permission.hold is Hold.FAILING and self._clock.now() >= self._patience_ends(delivery)
        )

    def _patience_ends(self, delivery: Delivery) -> datetime:
        patience_seconds = self._policy.schedule.patience_seconds(delivery.attempt_of_round)
        return (delivery.held_since or self._clock.now()) + timedelta(seconds=patience_seconds)

    async def _hold(
        self, delivery: Delivery, message: DeliveryMessage, subscription: Subscription, permission: Permission
    ) -> None:
        """Have the attempt wait for its target; one that has waited as long as it may counts as failed."""
        now = self._clock.now()
        not_before = permission.not_before or now
        held_since = delivery.held_since
        if permission.hold is Hold.FAILING:
            held_since = held_since or now
            gives_up_at = self._patience_ends(delivery)
            if now >= gives_up_at:
                held = Attempt(delivery.attempt, now, 0, AttemptOutcome.HELD, detail=TARGET_FAILING)
                outcome = Outcome(Verdict.TRY_AGAIN, TARGET_FAILING)
                failed = replace(delivery, attempts=(*delivery.attempts, held), held_since=None)
                self._tell(held, delivery, message, subscription)
                await self._conclude(failed, message, subscription, outcome)
                return
            not_before = min(not_before, gives_up_at)
        waiting = replace(
            delivery.moved_to(DeliveryStatus.RETRYING), next_attempt_at=not_before, held_since=held_since
        )
        await self._write(waiting)
        again = message.for_attempt(delivery.attempt).for_another_time()
        await self._queue.send([again.to_queue(not_before=not_before)])

    async def _learn(
        self,
        subscription: Subscription,
        outcome: Outcome,
        permission: Permission,
        message: DeliveryMessage,
    ) -> None:
        """Tell the guard how it went; a target that has failed for days is given up."""
        if self._guard is None:
            return
        report = await self._guard.told(subscription, outcome, permission)
        if report.gave_up:
            await self._disable(subscription, "the target has been failing for days", message)

    async def _conclude(
        self, delivery: Delivery, message: DeliveryMessage, subscription: Subscription, outcome: Outcome
    ) -> None:
        if outcome.verdict is Verdict.DELIVERED:
            await self._settle(delivery, DeliveryStatus.DELIVERED)
            return
        if outcome.target_gone:
            await self._disable(subscription, "the target is gone (410)", message)
        delay_seconds = None
        if outcome.verdict is Verdict.TRY_AGAIN:
            delay_seconds = self._policy.schedule.delay_seconds(
                delivery.attempt_of_round,
                chance=random.random(),  # noqa: S311 - spreads load, guards nothing
                retry_after_seconds=outcome.retry_after_seconds,
            )
        if delay_seconds is None:
            cause = "exhausted" if outcome.verdict is Verdict.TRY_AGAIN else "rejected"
            await self._settle_dead(delivery, outcome.detail, cause=cause)
            return
        retrying = replace(
            delivery.moved_to(DeliveryStatus.RETRYING),
            attempt=delivery.attempt + 1,
            next_attempt_at=self._clock.now() + timedelta(seconds=delay_seconds),
        )
        # The row first: a crash before the message is sent leaves a row that is ahead of the redelivered
        # message, which then schedules the attempt.
        await self._write(retrying)
        await self._schedule(retrying, message)

    async def _schedule(self, delivery: Delivery, message: DeliveryMessage) -> None:
        following = message.for_attempt(delivery.attempt)
        await self._queue.send([following.to_queue(not_before=delivery.next_attempt_at)])

    async def _put_off(self, message: DeliveryMessage, until: datetime) -> None:
        """Have a copy of the message come back after ``until``, each time a little later."""
        later_seconds = min(LOOK_MARGIN_SECONDS * 2 ** min(message.looks, 10), MAX_LOOK_MARGIN_SECONDS)
        at = until + timedelta(seconds=later_seconds)
        await self._queue.send([message.for_look().to_queue(not_before=at)])

    async def _settle_dead(self, delivery: Delivery, reason: str, *, cause: str) -> None:
        await self._settle(delivery, DeliveryStatus.DEAD, reason=reason)
        measure(Metric.DEAD_LETTERS, cause=cause)
        raise DeadLetterError(reason)

    async def _settle(self, delivery: Delivery, status: DeliveryStatus, *, reason: str | None = None) -> None:
        now = self._clock.now()
        await self._write(replace(delivery.moved_to(status), settled_at=now, reason=reason))
        await self._settle_file(delivery.owner, delivery.file_id)

    async def _write(self, delivery: Delivery) -> None:
        """Write with the ETag of our own claim; raises EntityChangedError when another worker took over.

        Then nothing changes, but the message must come back: the other worker may hold this very message
        under a lock that has run out, and may crash too.
        """
        try:
            await self._tables.apply([Replace(deliveries.to_entity(delivery))])
        except EntityChangedError:
            record(
                Event.DELIVERY_OVERTAKEN,
                level=logging.WARNING,
                delivery_id=delivery.id,
                file_id=delivery.file_id,
                epoch=delivery.epoch,
            )
            raise

    async def _settle_file(self, owner: str, file_id: str) -> None:
        """Mark the file settled once its last delivery is.

        Each settler looks after its own write, so the last of them sees all.
        """
        first, end = deliveries.row_keys_of_file(file_id)
        async for entity in rows(self._tables, owner, first_row_key=first, end_row_key=end):
            if deliveries.from_entity(entity).status not in SETTLED:
                return

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            file = files.from_entity(entity)
            if file.status is not FileStatus.ANNOUNCED:
                return None, None
            return files.to_entity(file.moved_to(FileStatus.SETTLED, self._clock.now())), None

        try:
            await conditional.update(self._tables, owner, files.row_key(file_id), decide)
        except EntityMissingError:
            return  # the file was deleted meanwhile

    async def _disable(self, subscription: Subscription, reason: str, message: DeliveryMessage) -> None:
        """End the subscription; ``reason`` is what its owner is told, and a record for the operators."""

        def decide(entity: Entity) -> tuple[Entity | None, bool]:
            present = subscriptions.from_entity(entity)
            if present.status is SubscriptionStatus.DISABLED:
                return None, False
            disabled = present.moved_to(SubscriptionStatus.DISABLED, self._clock.now(), reason=reason)
            return subscriptions.to_entity(disabled), True

        try:
            _, is_news = await conditional.update(
                self._tables, subscription.owner, subscriptions.row_key(subscription.id), decide
            )
        except EntityMissingError:
            return
        if not is_news:
            return
        record(
            Event.SUBSCRIPTION_DISABLED,
            level=logging.WARNING,
            subscription_id=subscription.id,
            reason=reason,
        )
        if self._news is not None:
            await self._news.disabled(subscription, reason, correlation_id=message.correlation_id)

    def _skip(self, message: DeliveryMessage, reason: str) -> None:
        record(
            Event.DELIVERY_SKIPPED,
            delivery_id=message.delivery_id,
            file_id=message.file_id,
            attempt=message.attempt,
            correlation_id=message.correlation_id,
            reason=reason,
        )


def _why_not(subscription: Subscription | None) -> str:
    """Why nothing is sent, for the delivery's row."""
    return (
        "the subscription is gone" if subscription is None else f"the subscription is {subscription.status}"
    )
