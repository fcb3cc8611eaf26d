"""Webhooks: signed as Standard Webhooks says (https://www.standardwebhooks.com), CloudEvents 1.0 inside."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels import Fault, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.notifications.channels import Notification
    from shared.notifications.sealed_secret import SecretBox
    from shared.notifications.subscription import Subscription
    from shared.ports import Clock, HttpAnswer, HttpSender

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
USER_AGENT: Final = "Dropbell/1"
MAX_ANSWER_START_CHARACTERS: Final = 256


class SecretUnreadableError(Exception):
    """The signing secret was sealed with another key than the service has now; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("the signing secret cannot be read with the service's key")


class WebhookChannel:
    """Posts the event to the subscription's URL."""

    def __init__(self, sender: HttpSender, secrets: SecretBox, clock: Clock) -> None:
        self._sender = sender
        self._secrets = secrets
        self._clock = clock

    async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """See ``Channel``. A secret that cannot be opened is our failure, so it is tried again."""
        try:
            answer = await self.post(notification, timeout_seconds=timeout_seconds)
        except SecretUnreadableError as error:
            return Outcome(Verdict.TRY_AGAIN, str(error), whose_fault=Fault.OURS)
        except TargetNotAllowedError as error:
            return Outcome(Verdict.REJECTED, str(error))
        except TargetFailedError as error:
            return Outcome(Verdict.TRY_AGAIN, str(error))
        return outcome_of(answer, now=self._clock.now())

    async def post(self, notification: Notification, *, timeout_seconds: float) -> HttpAnswer:
        """Post once, signed with every live secret, and hand back what the target answered.

        Raises TargetNotAllowedError, TargetFailedError or SecretUnreadableError.
        """
        now = self._clock.now()
        secrets = self._live_secrets(notification.subscription, now)
        body = notification.event.model_dump_json().encode()
        headers = signed_headers(secrets, webhook_id=notification.delivery_id, now=now, body=body) | {
            "content-type": CONTENT_TYPE,
            "user-agent": USER_AGENT,
            "traceparent": notification.traceparent,
            "x-correlation-id": notification.correlation_id,
        }
        return await self._sender.post(
            notification.subscription.target, headers=headers, body=body, timeout_seconds=timeout_seconds
        )

    def _live_secrets(self, subscription: Subscription, now: datetime) -> Sequence[str]:
        """Those that can be read: when the service's key was changed, a rotation alone mends it at once."""
        opened = []
        for sealed in subscription.live_secrets(now):
            with suppress(ValueError):
                opened.append(self._secrets.open(sealed, subscription_id=subscription.id))
        if not opened:
            raise SecretUnreadableError
        return opened


def signed_headers(secrets: Sequence[str], *, webhook_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` for ``body``.

    One signature for each of ``secrets``, with spaces between them: a receiver takes the one it knows, so
    that a secret can be changed without a gap.
    """
    from standardwebhooks import Webhook

    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(webhook_id, now, body.decode()) for secret in secrets
        ),
    }


def outcome_of(answer: HttpAnswer, *, now: datetime) -> Outcome:
    """What an answer means: 2xx is delivered, 410 ends the subscription, all else is tried again."""
    status = answer.status_code
    answer_start = shown(answer.body_start)
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, "accepted by the target", status, answer_start=answer_start)
    if status == 410:
        return Outcome(
            Verdict.REJECTED, "the target is gone (410)", status, answer_start=answer_start, target_gone=True
        )
    if 300 <= status < 400:
        detail = "the target redirected; redirects are not followed"
    else:
        detail = f"the target answered {status}"
    return Outcome(
        Verdict.TRY_AGAIN,
        detail,
        status,
        retry_after_seconds=_retry_after_seconds(answer.retry_after, now),
        answer_start=answer_start,
    )


def shown(body_start: bytes) -> str | None:
    """The start of an answer as one line of text that harms no terminal and no page of plain text.

    What cannot be printed (control characters, text that runs backwards, bytes that are no UTF-8) becomes
    U+FFFD, line ends and tabs become spaces. None for an answer without content.
    """
    text = body_start.decode("utf-8", errors="replace")
    line = "".join(" " if c in "\t\r\n" else c if c.isprintable() else "\ufffd" for c in text)
    return line[:MAX_ANSWER_START_CHARACTERS].strip() or None


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
