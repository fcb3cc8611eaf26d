"""The wide events: one structured record for each request, announcement and delivery attempt.

Some more tell of what an operator wants to know. Every name is here, every field is in ``FIELDS``. Fields
carry ids, counts, durations and outcomes; never a token, a secret, a file name, an address of a person or a
body.
"""

from __future__ import annotations

import json
import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shared.telemetry.spans import Happening, current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.telemetry.spans import Value

_logger = logging.getLogger("dropbell")


class Event(StrEnum):
    """Names of the records."""

    REQUEST = "dropbell.request"
    CHECK_FAILED = "dropbell.check.failed"
    EVENT_MISSED = "dropbell.event.missed"
    FILE_ANNOUNCED = "dropbell.file.announced"
    DELIVERY_ATTEMPT = "dropbell.delivery.attempt"
    DELIVERY_SKIPPED = "dropbell.delivery.skipped"
    DELIVERY_OVERTAKEN = "dropbell.delivery.overtaken"
    MESSAGE_UNREADABLE = "dropbell.message.unreadable"
    MESSAGE_LOST = "dropbell.message.lost"
    DUE_FAILED = "dropbell.due.failed"
    QUOTA_EXCEEDED = "dropbell.quota.exceeded"
    UPLOAD_ENDED = "dropbell.upload.ended"
    FILE_REJECTED = "dropbell.file.rejected"
    FILE_HELD = "dropbell.file.held"
    SUBSCRIPTION_DISABLED = "dropbell.subscription.disabled"
    AUDIT = "dropbell.audit"
    SIGNING_KEYS_STALE = "dropbell.signing_keys.stale"


SAMPLED: Final = frozenset(
    {
        Event.REQUEST,
        Event.FILE_ANNOUNCED,
        Event.DELIVERY_ATTEMPT,
        Event.DELIVERY_SKIPPED,
    }
)
"""Come with every request, file or message, and are kept or dropped with the trace they belong to."""


def record(event: Event, *, level: int = logging.INFO, **fields: Value | None) -> None:
    """Write one record, fields without a value left out.

    It becomes a part of the work that is followed (``recorder``) and has its trace and correlation ids. What
    is exported from there is not logged as well, except for warnings and errors: they shall be found where
    nothing can be exported, too. A log record is a JSON object on one line.
    """
    known: dict[str, Value] = {name: value for name, value in fields.items() if value is not None}
    span = current()
    if span is not None:
        part = span.part
        known.setdefault("trace_id", part.trace_id)
        if (correlation_id := part.root.attributes.get("correlation_id")) is not None:
            known.setdefault("correlation_id", correlation_id)
        part.happenings.append(Happening(event.value, level, time.time_ns(), span.span_id, known))
        if part.is_exported and level < logging.WARNING:
            return
    if _logger.isEnabledFor(level):
        _logger.log(level, "%s", json.dumps({"event": event.value, **known}, separators=(",", ":")))


FIELDS: Final[Mapping[str, str]] = {
    "action": "what an operator did: redrive or discard",
    "age_seconds": "how old the signing keys are that serve while the issuer is down",
    "attempt": "number of the attempt, from 1",
    "by": "who asked for it: a hash, as owners have",
    "bytes_sent": "of a streamed answer",
    "caller": "user or app",
    "channel": "webhook, email or chat",
    "check": "the part that deep health found silent",
    "client_id": "the calling application's registration",
    "correlation_id": "X-Correlation-ID of the request that brought the file, or of this one",
    "deliveries": "how many were made",
    "delivery_id": "the delivery",
    "discovery_url": "the issuer's",
    "done": "how many an operator's action reached",
    "duration_ms": "how long it took",
    "epoch": "of the claim that was overtaken",
    "file_id": "the file",
    "id": "of the audit record, or of what was due",
    "kind": "of what was due",
    "matched": "how many an operator's action meant",
    "method": "HTTP method",
    "outcome": "delivered, failed, rejected, held or interrupted",
    "reason": "a code or a few fixed words; never what somebody sent",
    "route": "name of the route in shared/web/routes.py",
    "since_accepted_ms": "from accepted to announced, or to delivered",
    "status_code": "HTTP status answered, or that a receiver answered",
    "subscription_id": "the subscription",
    "trace_id": "the trace",
}
"""What each field means. Every event has ``level``, too, once it is exported."""
