"""Messages as Service Bus sends them (OASIS AMQP 1.0, part 3, section 3.2).

The broker reads what it needs and passes the rest on as the bytes it got: properties, body and footer are
never decoded and encoded again. Annotations follow
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.service_bus.decoding import decode, decode_raw_map, skip
from local.service_bus.encoding import encode
from local.service_bus.errors import ArgumentError, DecodeError
from local.service_bus.values import Described, Encoded, Int, Symbol, Timestamp, UInt, ULong

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)
MAX_ID_LENGTH = 128
"""Most characters of a message id or a session id (service-bus-quotas)."""
MAX_UINT = 0xFFFF_FFFF
MAX_MILLISECONDS = 2**62
"""Times and durations beyond it are taken for it; so it and any time of today add up to a signed long."""

_MESSAGE_ID, _REPLY_TO, _GROUP_ID = 0, 4, 10  # positions in the properties section
_DURABLE, _PRIORITY, _TTL = 0, 1, 2  # positions in the header section
_SCHEDULED_ENQUEUE_TIME = "x-opt-scheduled-enqueue-time"


@dataclass(frozen=True, slots=True)
class EncodedMessage:
    """What a sender sent: the fields the queue decides by, and the sections as they came."""

    message_id: object = None
    session_id: str | None = None
    time_to_live_ms: int | None = None
    scheduled_enqueue_time_ms: int | None = None
    durable: object = None
    priority: object = None
    delivery_annotations: Mapping[object, object] = field(default_factory=dict)
    annotations: Mapping[object, object] = field(default_factory=dict)
    properties: bytes = b""
    """The properties section, whole."""
    application_properties: bytes = b""
    """The application-properties section, whole."""
    body: bytes = b""
    """The body sections and the footer, whole."""


@dataclass(frozen=True, slots=True)
class BrokerProperties:
    """What the broker says about a message when it hands it out."""

    sequence_number: int
    enqueued_sequence_number: int
    enqueued_at_ms: int
    state: int
    delivery_count: int
    time_to_live_ms: int | None = None
    lock_token: UUID | None = None
    locked_until_ms: int | None = None
    dead_letter_source: str | None = None
    added_properties: Mapping[str, object] = field(default_factory=dict)
    """Application properties set by whoever abandoned, deferred or dead-lettered the message."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message to a request/response node, decoded."""

    message_id: object
    reply_to: object
    properties: Mapping[object, object]
    """The application properties; ``operation`` is among them."""
    body: object


def split_sections(data: bytes) -> list[tuple[int, int, int]]:
    """The sections of an encoded message: descriptor, where the value starts, where it ends.

    Raises:
        DecodeError: the bytes are not a sequence of message sections.
    """
    sections = []
    at = 0
    while at < len(data):
        if data[at] != 0:
            raise DecodeError("A message section does not start with a descriptor.")
        descriptor, start = decode(data, at + 1)
        if not isinstance(descriptor, ULong) or not HEADER <= descriptor <= FOOTER:
            raise DecodeError(f"{descriptor!r} is not the descriptor of a message section.")
        at = skip(data, start)
        sections.append((int(descriptor), start, at))
    return sections


def parse_message(data: bytes) -> EncodedMessage:
    """What a sender's bytes mean to the broker.

    Raises:
        DecodeError: the bytes are not an AMQP message.
        ArgumentError: an id is too long or of the wrong type.
    """
    header: list[object] = []
    fields: list[object] = []
    annotations: dict[object, Encoded] = {}
    delivery_annotations: dict[object, Encoded] = {}
    whole = {PROPERTIES: b"", APPLICATION_PROPERTIES: b""}
    body = []
    section_start = 0
    for descriptor, start, end in split_sections(data):
        if descriptor == HEADER:
            header = _decode_list(data, start, "header")
        elif descriptor == DELIVERY_ANNOTATIONS:
            delivery_annotations = decode_raw_map(data, start)
        elif descriptor == MESSAGE_ANNOTATIONS:
            annotations = decode_raw_map(data, start)
        elif descriptor in whole:
            if descriptor == PROPERTIES:
                fields = _decode_list(data, start, "properties")
            else:
                decode_raw_map(data, start)
            whole[descriptor] = data[section_start:end]
        else:
            body.append(data[section_start:end])
        section_start = end
    if not body:
        raise DecodeError("The message has no body.")
    return EncodedMessage(
        message_id=_identifier(_item(fields, _MESSAGE_ID)),
        session_id=_session_id(_item(fields, _GROUP_ID)),
        time_to_live_ms=_milliseconds(_item(header, _TTL), "ttl"),
        scheduled_enqueue_time_ms=_scheduled_enqueue_time(annotations),
        durable=_item(header, _DURABLE),
        priority=_item(header, _PRIORITY),
        delivery_annotations=delivery_annotations,
        annotations=annotations,
        properties=whole[PROPERTIES],
        application_properties=whole[APPLICATION_PROPERTIES],
        body=b"".join(body),
    )


def split_batch(data: bytes) -> list[bytes]:
    """The encoded messages inside a batch (message-format 0x80013700): one in each data section.

    Raises:
        DecodeError: the bytes are not such a batch.
    """
    messages = []
    for descriptor, start, _ in split_sections(data):
        if descriptor == DATA:
            message, _ = decode(data, start)
            if not isinstance(message, bytes):
                raise DecodeError("A data section of the batch is not binary.")
            messages.append(message)
    if not messages:
        raise DecodeError("The batch holds no message.")
    return messages


def encode_message(message: EncodedMessage, broker: BrokerProperties) -> bytes:
    """The bytes a receiver gets: the sender's sections with the broker's annotations among them."""
    ttl_ms = broker.time_to_live_ms
    header = [
        message.durable,
        message.priority,
        None if ttl_ms is None or ttl_ms > MAX_UINT else UInt(ttl_ms),
        None,
        UInt(broker.delivery_count),
    ]
    delivery_annotations = dict(message.delivery_annotations)
    annotations = dict(message.annotations)
    annotations[Symbol("x-opt-sequence-number")] = broker.sequence_number
    annotations[Symbol("x-opt-enqueue-sequence-number")] = broker.enqueued_sequence_number
    annotations[Symbol("x-opt-enqueued-time")] = Timestamp(broker.enqueued_at_ms)
    annotations[Symbol("x-opt-message-state")] = Int(broker.state)
    if broker.lock_token is not None:
        delivery_annotations[Symbol("x-opt-lock-token")] = broker.lock_token
    if broker.locked_until_ms is not None:
        annotations[Symbol("x-opt-locked-until")] = Timestamp(broker.locked_until_ms)
    if broker.dead_letter_source is not None:
        annotations[Symbol("x-opt-deadletter-source")] = broker.dead_letter_source
    return b"".join(
        (
            _section(HEADER, header),
            _section(DELIVERY_ANNOTATIONS, delivery_annotations) if delivery_annotations else b"",
            _section(MESSAGE_ANNOTATIONS, annotations),
            message.properties,
            _with_added_properties(message.application_properties, broker.added_properties),
            message.body,
        )
    )


def encode_sent_message(message: EncodedMessage) -> bytes:
    """The bytes of a message as its sender sent it: ``parse_message`` makes the same of them again."""
    return b"".join(
        (
            _section(HEADER, [message.durable, message.priority, message.time_to_live_ms]),
            _section(DELIVERY_ANNOTATIONS, dict(message.delivery_annotations)),
            _section(MESSAGE_ANNOTATIONS, dict(message.annotations)),
            message.properties,
            message.application_properties,
            message.body,
        )
    )


def parse_request(data: bytes) -> Request:
    """A request to ``$cbs`` or ``$management``.

    Raises:
        DecodeError: the bytes are not an AMQP message.
    """
    fields: list[object] = []
    properties: dict[object, object] = {}
    body: object = None
    for descriptor, start, _ in split_sections(data):
        if descriptor == PROPERTIES:
            fields = _decode_list(data, start, "properties")
        elif descriptor == APPLICATION_PROPERTIES:
            value, _ = decode(data, start)
            if not isinstance(value, dict):
                raise DecodeError("The application-properties section is not a map.")
            properties = value
        elif descriptor == VALUE:
            body, _ = decode(data, start)
    return Request(_item(fields, _MESSAGE_ID), _item(fields, _REPLY_TO), properties, body)


def encode_response(correlation_id: object, properties: Mapping[str, object], body: object) -> bytes:
    """A reply: ``correlation_id`` is the request's message id, of the same AMQP type."""
    return (
        _section(PROPERTIES, [None, None, None, None, None, correlation_id])
        + _section(APPLICATION_PROPERTIES, dict(properties))
        + _section(VALUE, body)
    )


def _section(descriptor: int, value: object) -> bytes:
    return b"\x00\x53" + bytes((descriptor,)) + encode(value)


def _with_added_properties(section: bytes, added: Mapping[str, object]) -> bytes:
    if not added:
        return section
    properties: dict[object, object] = {}
    if section:
        _, start = decode(section, 1)
        properties.update(decode_raw_map(section, start))
    properties.update(added)
    return _section(APPLICATION_PROPERTIES, properties)


def _decode_list(data: bytes, start: int, name: str) -> list[object]:
    value, _ = decode(data, start)
    if not isinstance(value, list):
        raise DecodeError(f"The {name} section is not a list.")
    return value


def _item(fields: list[object], index: int) -> object:
    return fields[index] if index < len(fields) else None


def _identifier(value: object) -> object:
    if isinstance(value, list | dict | Described):
        raise ArgumentError("The message id is neither a string, a binary, a UUID nor a number.")
    if isinstance(value, str | bytes) and len(value) > MAX_ID_LENGTH:
        raise ArgumentError(f"The message id has more than {MAX_ID_LENGTH} characters.")
    return value


def _session_id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ArgumentError("The session id (group-id) is not a string.")
    if value is not None and len(value) > MAX_ID_LENGTH:
        raise ArgumentError(f"The session id has more than {MAX_ID_LENGTH} characters.")
    return value


def _milliseconds(value: object, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ArgumentError(f"{name} is not a number of milliseconds.")
    return None if value is None else min(int(value), MAX_MILLISECONDS)


def _scheduled_enqueue_time(annotations: Mapping[object, Encoded]) -> int | None:
    encoded = annotations.get(_SCHEDULED_ENQUEUE_TIME)
    if encoded is None:
        return None
    value, _ = decode(encoded)
    return _milliseconds(value, _SCHEDULED_ENQUEUE_TIME)
