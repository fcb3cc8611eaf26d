"""A webhook target proves that it wants to be told: it sends back what it was challenged with.

Without that, anybody could have us post to a stranger's server. The challenge is signed like every other
event, so a receiver can check the signature; at the first one it cannot know the secret yet, which the answer
to the subscriber holds, and either answers all the same or has the challenge repeated later.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from shared.errors import TargetError, TargetNotAllowedError
from shared.notifications.channels import Notification
from shared.notifications.channels.attempt import attempt
from shared.notifications.channels.webhook import SecretUnreadableError
from shared.notifications.message import EVENT_TYPE_PREFIX, EVENT_TYPE_SUFFIX, CloudEvent
from shared.notifications.subscription import ChannelKind
from shared.ports import ANSWER_START_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.subscription import Subscription
    from shared.ports import Clock, HttpAnswer
    from shared.telemetry.trace_context import TraceContext

CHALLENGE_TYPE: Final = f"{EVENT_TYPE_PREFIX}subscription.challenge{EVENT_TYPE_SUFFIX}"
CHALLENGE_TIMEOUT_SECONDS: Final = 10.0
_CHALLENGE_BYTES: Final = 32


class Poster(Protocol):
    """Posts a signed event and hands back the bare answer; the webhook channel does."""

    async def post(self, notification: Notification, *, timeout_seconds: float) -> HttpAnswer:
        """Raises TargetNotAllowedError, TargetFailedError or SecretUnreadableError."""
        ...


def new_challenge() -> str:
    """43 characters that nobody guesses (256 bits) and that need no escaping in JSON, HTML or a URL."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_CHALLENGE_BYTES)).decode().rstrip("=")


def subscription_event(
    subscription: Subscription,
    type_: str,
    *,
    source: str,
    now: datetime,
    trace: TraceContext,
    data: Mapping[str, str],
) -> CloudEvent:
    """An event about the subscription itself, of a new id."""
    return CloudEvent(
        id=secrets.token_hex(16),
        source=source,
        type=type_,
        subject=subscription.id,
        time=now,
        traceparent=trace.traceparent,
        data={"subscription_id": subscription.id, **data},
    )


def what_is_missing(answer: HttpAnswer, challenge: str) -> str | None:
    """Why the answer proves nothing, for the subscriber; None when it proves that the target agrees."""
    if not 200 <= answer.status_code < 300:
        return f"the target answered the challenge with {answer.status_code}"
    if challenge.encode() not in answer.body_start[:ANSWER_START_BYTES]:
        return (
            f"the first {ANSWER_START_BYTES} bytes of the target's answer ({answer.status_code}) did not "
            "hold the challenge"
        )
    return None


class Challenger:
    """Challenges targets. ``source`` is the public base URL of the service."""

    def __init__(
        self,
        poster: Poster,
        policy: TargetPolicy,
        clock: Clock,
        *,
        source: str,
        timeout_seconds: float = CHALLENGE_TIMEOUT_SECONDS,
        make_challenge: Callable[[], str] = new_challenge,
    ) -> None:
        self._poster = poster
        self._policy = policy
        self._clock = clock
        self._source = source
        self._timeout_seconds = timeout_seconds
        self._make_challenge = make_challenge

    def is_needed(self, channel: ChannelKind, target: str) -> bool:
        """Whether the target has to prove itself: a webhook whose host the operator did not list."""
        if channel is not ChannelKind.WEBHOOK:
            return False
        try:
            return not self._policy.check_url(target).allowed_by_name
        except TargetNotAllowedError:
            return True  # the policy was changed; nothing is taken on trust

    async def challenge(self, subscription: Subscription, *, correlation_id: str) -> str | None:
        """Challenge the target once; None when it has proved itself, else what was missing."""
        challenge = self._make_challenge()
        with attempt(subscription) as span:
            event = subscription_event(
                subscription,
                CHALLENGE_TYPE,
                source=self._source,
                now=self._clock.now(),
                trace=span.context,
                data={"challenge": challenge},
            )
            told = Notification(event.id, subscription, event, correlation_id, span.context.traceparent)
            try:
                answer = await self._poster.post(told, timeout_seconds=self._timeout_seconds)
            except (TargetError, SecretUnreadableError) as error:
                return str(error)
            span.tell(status_code=answer.status_code)
        return what_is_missing(answer, challenge)
