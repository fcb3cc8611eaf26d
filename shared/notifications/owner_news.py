"""Tells owners that a subscription of theirs has ended by itself, through their other subscriptions.

Best effort: tried once, and no trace in the ledger. The subscription's own row says why it ended, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from shared.errors import UnavailableError
from shared.notifications import subscription as subscriptions
from shared.notifications.challenge import subscription_event
from shared.notifications.channels import Notification
from shared.notifications.channels.attempt import attempt, conclude
from shared.notifications.subscription import SubscriptionStatus
from shared.telemetry.spans import position
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.notifications.channels import Channel, Outcome
    from shared.notifications.subscription import ChannelKind, Subscription
    from shared.ports import Clock, TableStore

DISABLED_TYPE: Final = "dropbell.subscription.disabled.v1"
MAX_TOLD: Final = 5
"""Subscriptions of the same owner that are told."""
LOOKED_AT: Final = 100
TIMEOUT_SECONDS: Final = 5.0


class OwnerNews:
    """Tells owners. ``source`` is the public base URL of the service."""

    def __init__(
        self, tables: TableStore, channels: Mapping[ChannelKind, Channel], clock: Clock, *, source: str
    ) -> None:
        self._tables = tables
        self._channels = channels
        self._clock = clock
        self._source = source

    async def disabled(self, ended: Subscription, reason: str, *, correlation_id: str) -> None:
        """Say that ``ended`` is disabled, and why; raises nothing that its channels or the store raise."""
        event = subscription_event(
            ended,
            DISABLED_TYPE,
            source=self._source,
            now=self._clock.now(),
            trace=position() or TraceContext.start(),
            data={
                "message": f"Your {ended.channel} subscription {ended.id} is disabled: {reason}.",
                "reason": reason,
            },
        )

        async def tell(other: Subscription) -> Outcome:
            with attempt(other) as span:
                told = Notification(event.id, other, event, correlation_id, span.context.traceparent)
                outcome = await self._channels[other.channel].deliver(told, timeout_seconds=TIMEOUT_SECONDS)
                conclude(span, outcome)
                return outcome

        await asyncio.gather(*map(tell, await self._others(ended)))

    async def _others(self, ended: Subscription) -> list[Subscription]:
        first, end = subscriptions.ROW_KEYS
        try:
            page = await self._tables.query(
                ended.owner, first_row_key=first, end_row_key=end, limit=LOOKED_AT
            )
        except UnavailableError:
            return []
        found = map(subscriptions.from_entity, page.entities)
        return [
            each
            for each in found
            if each.status is SubscriptionStatus.ACTIVE
            and each.channel in self._channels
            and (each.channel, each.target) != (ended.channel, ended.target)
        ][:MAX_TOLD]
