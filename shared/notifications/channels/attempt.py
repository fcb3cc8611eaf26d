"""The span of one attempt to tell a subscriber: what the receiver's own trace goes on from."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.notifications.channels import Verdict
from shared.notifications.subscription import ChannelKind
from shared.telemetry.spans import System, dependency
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.notifications.channels import Outcome
    from shared.notifications.subscription import Subscription
    from shared.telemetry.spans import Span

_SPANS: Final[Mapping[ChannelKind, tuple[str, System]]] = {
    ChannelKind.WEBHOOK: ("Webhook", System.WEBHOOK),
    ChannelKind.CHAT: ("Chat message", System.CHAT),
    ChannelKind.EMAIL: ("E-mail", System.EMAIL),
}


@contextmanager
def attempt(subscription: Subscription, *, span_id: str | None = None) -> Iterator[Span]:
    """An attempt at the subscription's target. Of a URL only the host is told, of an address nothing."""
    name, system = _SPANS[subscription.channel]
    host = "" if subscription.channel is ChannelKind.EMAIL else urlsplit(subscription.target).hostname or ""
    with dependency(name, system, target=host, span_id=span_id) as span:
        span.tell(subscription_id=subscription.id)
        yield span


def conclude(span: Span, outcome: Outcome) -> None:
    """Say how the attempt went."""
    span.failed = outcome.verdict is not Verdict.DELIVERED
    span.tell(status_code=outcome.status_code, detail=outcome.detail)


def position_of(trace_id: str, delivery_id: str, number: int) -> TraceContext:
    """Where in the trace the delivery's attempt of this number stands.

    The span's id is made of what it is about, so that the next attempt can be linked to it, in whatever
    process and however much later it is made.
    """
    span_id = hashlib.sha256(f"{delivery_id}:{number}".encode()).hexdigest()[:16]
    return TraceContext(trace_id, span_id)
