"""A test-send: one event through the subscription's channel at once, past the queue, with what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.errors import ConflictError
from shared.notifications.challenge import subscription_event
from shared.notifications.channels import Notification, Verdict
from shared.notifications.channels.attempt import attempt, conclude
from shared.notifications.delivery_record import AttemptOutcome
from shared.notifications.message import EVENT_TYPE_PREFIX, EVENT_TYPE_SUFFIX
from shared.notifications.subscription import SubscriptionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.notifications.channels import Channel
    from shared.notifications.subscription import ChannelKind, Subscription
    from shared.ports import Clock

TEST_TYPE: Final = f"{EVENT_TYPE_PREFIX}subscription.test{EVENT_TYPE_SUFFIX}"
TEST_TIMEOUT_SECONDS: Final = 10.0

OUTCOMES: Final[Mapping[Verdict, AttemptOutcome]] = {
    Verdict.DELIVERED: AttemptOutcome.DELIVERED,
    Verdict.TRY_AGAIN: AttemptOutcome.FAILED,
    Verdict.REJECTED: AttemptOutcome.REJECTED,
}
_CAN_BE_TESTED: Final = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED})
"""Not those whose target has not agreed yet, or wants nothing any more."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How a test-send ended."""

    outcome: AttemptOutcome
    status_code: int | None
    detail: str
    duration_ms: int


class Trial:
    """Sends tests. They are tried once and leave no trace in the ledger.

    ``source`` is the public base URL of the service.
    """

    def __init__(
        self,
        channels: Mapping[ChannelKind, Channel],
        clock: Clock,
        *,
        source: str,
        timeout_seconds: float = TEST_TIMEOUT_SECONDS,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._source = source
        self._timeout_seconds = timeout_seconds

    async def send(self, subscription: Subscription, *, correlation_id: str) -> TrialResult:
        """Tell the target of a test; raises ConflictError where nothing may be sent to it."""
        if subscription.status not in _CAN_BE_TESTED:
            raise ConflictError(
                f"The subscription is {subscription.status}, so nothing is sent to its target.",
                code="target-not-proven"
                if subscription.status is SubscriptionStatus.PENDING
                else "subscription-disabled",
            )
        started_at = self._clock.now()
        with attempt(subscription) as span:
            event = subscription_event(
                subscription,
                TEST_TYPE,
                source=self._source,
                now=started_at,
                trace=span.context,
                data={"message": "This is a test; no file is behind it."},
            )
            outcome = await self._channels[subscription.channel].deliver(
                Notification(event.id, subscription, event, correlation_id, span.context.traceparent),
                timeout_seconds=self._timeout_seconds,
            )
            conclude(span, outcome)
        duration = self._clock.now() - started_at
        return TrialResult(
            OUTCOMES[outcome.verdict],
            outcome.status_code,
            outcome.detail,
            max(0, round(duration / timedelta(milliseconds=1))),
        )
