"""Messages as they come from a sender, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.service_bus.encoding import encode
from local.service_bus.message import HEADER, MESSAGE_ANNOTATIONS, PROPERTIES, parse_message
from local.service_bus.values import Described, Symbol, Timestamp, UInt, ULong

if TYPE_CHECKING:
    from local.service_bus.message import EncodedMessage

BODY = b"\x00\x53\x75\xa0\x02hi"


def sent(
    message_id: object = None,
    *,
    session_id: str | None = None,
    time_to_live_ms: int | None = None,
    scheduled_enqueue_time_ms: int | None = None,
) -> EncodedMessage:
    """A message of two bytes."""
    annotations: dict[object, object] = {}
    if scheduled_enqueue_time_ms is not None:
        annotations[Symbol("x-opt-scheduled-enqueue-time")] = Timestamp(scheduled_enqueue_time_ms)
    sections = {
        HEADER: [True, None, None if time_to_live_ms is None else UInt(time_to_live_ms)],
        MESSAGE_ANNOTATIONS: annotations,
        PROPERTIES: [message_id, *[None] * 9, session_id],
    }
    return parse_message(
        b"".join(encode(Described(ULong(code), value)) for code, value in sections.items()) + BODY
    )
