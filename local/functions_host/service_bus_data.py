"""A Service Bus message as the Functions host hands it to a worker: the body and the trigger metadata.

The keys are those of the Functions extension, no more: what Azure does not send must not work here either
(``TimeToLive``, ``LockedUntil``, ``DeadLetterReason``, … are absent). A null value is left out.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NEVER_UTC = "9999-12-31T23:59:59.9999999"
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ReceivedMessage(Protocol):
    """What is read of ``azure.servicebus.ServiceBusReceivedMessage``."""

    @property
    def body(self) -> Any:
        """An iterable of bytes, or the value of an AMQP value body."""

    @property
    def application_properties(self) -> dict[Any, Any] | None:
        """The sender's properties; keys are bytes or text."""

    @property
    def delivery_count(self) -> int | None:
        """Earlier failed deliveries."""


_TEXT_KEYS = {
    "DeadLetterSource": "dead_letter_source",
    "LockToken": "lock_token",
    "MessageId": "message_id",
    "ContentType": "content_type",
    "ReplyTo": "reply_to",
    "To": "to",
    "Subject": "subject",
    "Label": "subject",
    "CorrelationId": "correlation_id",
    "SessionId": "session_id",
    "ReplyToSessionId": "reply_to_session_id",
    "PartitionKey": "partition_key",
    "TransactionPartitionKey": "transaction_partition_key",
}


def body_data(message: ReceivedMessage, data_type: str = "") -> dict[str, Any]:
    """The body as typed data: text, as the host sends it, unless it is none or the binding wants bytes."""
    content = body_bytes(message)
    if data_type.lower() != "binary":
        try:
            return {"string": content.decode("utf-8")}
        except UnicodeDecodeError:
            pass
    return {"bytes": content}


def body_bytes(message: ReceivedMessage) -> bytes:
    """The body's bytes; a value body becomes text, or JSON when it is no text."""
    body = message.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict | int | float | bool) or body is None:
        return json.dumps(body, default=_plain).encode()
    parts = list(body)
    if all(isinstance(part, bytes | bytearray | memoryview) for part in parts):
        return b"".join(bytes(part) for part in parts)
    return json.dumps(parts, default=_plain).encode()


def metadata_of_one(message: ReceivedMessage) -> dict[str, dict[str, Any]]:
    """The trigger metadata of a function that takes one message."""
    values = _values(message)
    metadata: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if value is None:
            continue
        # Numbers go as JSON: the worker library refuses the protocol's int and double as input.
        metadata[key] = (
            {"string": value} if key in _TEXT_KEYS else {"json": json.dumps(value, default=_plain)}
        )
    return metadata


def metadata_of_many(messages: Sequence[ReceivedMessage]) -> dict[str, dict[str, Any]]:
    """The trigger metadata for a batch: the same keys with ``Array`` behind, a value per message."""
    columns = [_values(message) for message in messages]
    metadata: dict[str, dict[str, Any]] = {}
    for key in columns[0]:
        values = [column[key] for column in columns]
        if all(value is None for value in values):
            continue
        metadata[f"{key}Array"] = _array(key, values)
    return metadata


def trace_parent(message: ReceivedMessage) -> str:
    """The sender's W3C ``traceparent``, also under the name ``Diagnostic-Id``; empty when there is none."""
    properties = _properties(message)
    for name in ("traceparent", "Diagnostic-Id"):
        value = properties.get(name)
        if isinstance(value, str) and _TRACE_PARENT.fullmatch(value):
            return value
    return ""


def _array(key: str, values: list[Any]) -> dict[str, Any]:
    if key == "SequenceNumber":
        return {"collection_sint64": values}
    if key in _TEXT_KEYS and None not in values:
        return {"collection_string": values}
    return {"json": json.dumps(values, default=_plain)}


def _values(message: ReceivedMessage) -> dict[str, Any]:
    values: dict[str, Any] = {
        key: _text(getattr(message, attribute, None)) for key, attribute in _TEXT_KEYS.items()
    }
    properties = _properties(message)
    expires = getattr(message, "expires_at_utc", None)
    enqueued = getattr(message, "enqueued_time_utc", None)
    return values | {
        "DeliveryCount": (message.delivery_count or 0) + 1,  # .NET counts this delivery as well
        "SequenceNumber": getattr(message, "sequence_number", None),
        "ExpiresAtUtc": _naive(expires) or _NEVER_UTC,
        "ExpiresAt": _aware(expires) or f"{_NEVER_UTC}+00:00",
        "EnqueuedTimeUtc": _naive(enqueued),
        "EnqueuedTime": _aware(enqueued),
        "ApplicationProperties": properties,
        "UserProperties": properties,
    }


def _properties(message: ReceivedMessage) -> Mapping[str, Any]:
    return {_plain(key): _plain(value) for key, value in (message.application_properties or {}).items()}


def _naive(moment: datetime | None) -> str | None:
    # The extension sends a DateTime of unspecified kind here, so there is no time zone at the end.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() if moment else None


def _aware(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _text(value: object) -> str | None:
    return None if value is None else str(_plain(value))


def _plain(value: object) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, datetime):
        return _aware(value if value.tzinfo else value.replace(tzinfo=UTC))
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return str(value)


def bodies(messages: Iterable[ReceivedMessage], data_type: str = "") -> dict[str, Any]:
    """The bodies of a batch as typed data."""
    contents = [body_bytes(message) for message in messages]
    if data_type.lower() != "binary":
        try:
            return {"collection_string": [content.decode("utf-8") for content in contents]}
        except UnicodeDecodeError:
            pass
    return {"collection_bytes": contents}
