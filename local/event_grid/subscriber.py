"""Speak to one subscriber's webhook: the validation handshake and single deliveries.

Source: learn.microsoft.com/azure/event-grid/webhook-event-delivery. The address carries a key: never log it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from local.event_grid.events import Event, Topic, event_time, subscription_validation
from local.event_grid.retry_policy import ANSWER_TIMEOUT_SECONDS, RetryPolicy

if TYPE_CHECKING:
    from local.event_grid.delivery_state import DeliveryRecord
    from local.event_grid.journal import PendingEvent
    from local.event_grid.subscriptions import Subscription

HANDSHAKE_SCHEDULE_SECONDS = (0.2, 0.2, 0.5, 0.5, 1.0, 1.0, 2.0, 5.0)
MAX_ANSWER_BYTES = 64 * 1024
MAX_CONCURRENT_DELIVERIES = 32

log = logging.getLogger(__name__)


class Subscriber:
    """One subscription at work. Deliveries wait until ``validated`` is set."""

    def __init__(
        self, subscription: Subscription, policy: RetryPolicy, topic: Topic, session: aiohttp.ClientSession
    ) -> None:
        self.subscription = subscription
        self.policy = policy
        self.validated = asyncio.Event()
        self.not_validated_because = "has not answered yet"
        self.slots = asyncio.Semaphore(MAX_CONCURRENT_DELIVERIES)
        self._topic = topic
        self._session = session

    @property
    def name(self) -> str:
        """Name of the subscription."""
        return self.subscription.name

    async def validate(self) -> None:
        """Repeat the handshake until the endpoint sends the code back."""
        attempt = 0
        while True:
            code = str(uuid.uuid4()).upper()
            event = subscription_validation(self._topic, code, datetime.now(UTC))
            self.not_validated_because = await self._handshake(event, code)
            if not self.not_validated_because:
                log.info("subscription validated: name=%s", self.name)
                self.validated.set()
                return
            log.log(
                logging.WARNING if attempt == 0 else logging.DEBUG,
                "subscription not validated: name=%s reason=%s",
                self.name,
                self.not_validated_because,
            )
            steps = HANDSHAKE_SCHEDULE_SECONDS
            await asyncio.sleep(steps[min(attempt, len(steps) - 1)])
            attempt += 1

    async def _handshake(self, event: Event, code: str) -> str:
        """Return why the endpoint is not validated, or nothing when it is."""
        status, body = await self._post(event, {"aeg-event-type": "SubscriptionValidation"})
        if status is None:
            return "does not answer"
        if status != 200:
            return f"answered {status} to the validation event"
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return "answered the validation event with something that is not JSON"
        if not isinstance(answer, dict) or answer.get("validationResponse") != code:
            return "answered the validation event without its code"
        return ""

    async def deliver(self, event: Event, attempt: int) -> int | None:
        """Make attempt number ``attempt`` (from 1); returns the HTTP status, or None when no answer came."""
        async with self.slots:
            status, _ = await self._post(
                event,
                {
                    "aeg-event-type": "Notification",
                    # Event Grid counts the attempts before this one.
                    "aeg-delivery-count": str(attempt - 1),
                    "aeg-data-version": str(event["dataVersion"]),
                    "aeg-metadata-version": str(event["metadataVersion"]),
                },
            )
        return status

    def dead_letter(self, pending: PendingEvent, record: DeliveryRecord, now: float) -> None:
        """Add an event that will not be delivered to the dead-letter file, or drop it where none is set.

        Source of the shape: learn.microsoft.com/azure/event-grid/delivery-and-retry, "Dead-letter events".
        """
        log.warning(
            "event dead-lettered: subscription=%s id=%s reason=%s attempts=%d",
            self.name,
            pending.event["id"],
            record.reason,
            record.attempts,
        )
        path = self.subscription.dead_letter_file
        if path is None:
            return
        entry = pending.event | {
            "deadLetterReason": record.reason,
            "deliveryAttempts": record.attempts,
            "lastDeliveryOutcome": outcome(record.last_status),
            "lastHttpStatusCode": record.last_status,
            "publishTime": event_time(datetime.fromtimestamp(pending.published_at, UTC)),
            "lastDeliveryAttemptTime": event_time(datetime.fromtimestamp(now, UTC)),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            log.error("dead letter dropped: %s", error)  # noqa: TRY400 - the sentence says all

    async def _post(self, event: Event, headers: dict[str, str]) -> tuple[int | None, bytes]:
        try:
            async with self._session.post(
                str(self.subscription.endpoint),
                data=json.dumps([event]),
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    "aeg-subscription-name": self.name.upper(),
                    **headers,
                },
                allow_redirects=False,
            ) as response:
                return response.status, await _read_at_most(response, MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("no answer: subscription=%s error=%s", self.name, type(error).__name__)
            return None, b""


async def _read_at_most(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    body = b""
    while len(body) < limit_bytes and (chunk := await response.content.read(limit_bytes - len(body))):
        body += chunk
    return body


def outcome(status: int | None) -> str:
    """Return ``lastDeliveryOutcome``: the status in words."""
    if status is None:
        return "TimedOut"
    try:
        return HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        return "Unknown"


def subscriber_session() -> aiohttp.ClientSession:
    """Return a session as deliveries need it: no proxies, no cookies, Event Grid's time limit."""
    return aiohttp.ClientSession(
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS),
    )
