"""The wide events: one structured record for each request, announcement and delivery attempt.

Every name is here. Fields carry ids, counts, durations and outcomes; never a token, a secret, a file name,
an address of a person or a body.
"""

from __future__ import annotations

import json
import logging
from enum import StrEnum

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
    SUBSCRIPTION_DISABLED = "dropbell.subscription.disabled"
    AUDIT = "dropbell.audit"
    SIGNING_KEYS_STALE = "dropbell.signing_keys.stale"


def record(event: Event, *, level: int = logging.INFO, **fields: str | float | bool | None) -> None:
    """Write one record: a JSON object on one line, fields without a value left out."""
    if _logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        _logger.log(level, "%s", json.dumps({"event": event.value, **known}, separators=(",", ":")))
