"""Webhooks: signed as Standard Webhooks says (https://www.standardwebhooks.com), CloudEvents 1.0 inside."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels import Outcome, Verdict

if TYPE_CHECKING:
    from shared.notifications.channels import Notification
    from shared.notifications.sealed_secret import SecretBox
    from shared.ports import Clock, HttpAnswer, HttpSender

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
USER_AGENT = "Dropbell/1"


class WebhookChannel:
    """Posts the event to the subscription's URL."""

    def __init__(self, sender: HttpSender, secrets: SecretBox, clock: Clock) -> None:
        self._sender = sender
        self._secrets = secrets
        self._clock = clock

    async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """See ``Channel``. A secret that cannot be opened is our failure, so it is tried again."""
        subscription = notification.subscription
        try:
            secret = self._secrets.open(subscription.sealed_secret, subscription_id=subscription.id)
        except ValueError:
            return Outcome(Verdict.TRY_AGAIN, "the signing secret cannot be read with the service's key")
        body = notification.event.model_dump_json().encode()
        headers = signed_headers(
            secret, webhook_id=notification.delivery_id, now=self._clock.now(), body=body
        ) | {
            "content-type": CONTENT_TYPE,
            "user-agent": USER_AGENT,
            "traceparent": notification.traceparent,
            "x-correlation-id": notification.correlation_id,
        }
        try:
            answer = await self._sender.post(
                subscription.target, headers=headers, body=body, timeout_seconds=timeout_seconds
            )
        except TargetNotAllowedError as error:
            return Outcome(Verdict.REJECTED, str(error))
        except TargetFailedError as error:
            return Outcome(Verdict.TRY_AGAIN, str(error))
        return outcome_of(answer, now=self._clock.now())


def signed_headers(secret: str, *, webhook_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` for ``body``."""
    from standardwebhooks import Webhook

    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body.decode()),
    }


def outcome_of(answer: HttpAnswer, *, now: datetime) -> Outcome:
    """What an answer means: 2xx is delivered, 410 ends the subscription, all else is tried again."""
    status = answer.status_code
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, "accepted by the target", status)
    if status == 410:
        return Outcome(Verdict.REJECTED, "the target is gone (410)", status, target_gone=True)
    if 300 <= status < 400:
        detail = "the target redirected; redirects are not followed"
    else:
        detail = f"the target answered {status}"
    return Outcome(
        Verdict.TRY_AGAIN, detail, status, retry_after_seconds=_retry_after_seconds(answer.retry_after, now)
    )


def _retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds, or the time until an HTTP date (RFC 9110 §10.2.3); None for what is neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
