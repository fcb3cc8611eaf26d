"""Frames on a byte stream (OASIS AMQP 1.0, part 2, section 2.3): size, data offset, type, channel, body."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from local.service_bus.errors import FramingError
from local.service_bus.performatives import encode_performative

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.service_bus.performatives import Performative

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
"""Keeps a connection with an idle time-out alive."""
MIN_MAX_FRAME_BYTES = 512
"""Every peer must take frames of this size."""

_PREFIX = struct.Struct(">IBBH")


class FrameType(IntEnum):
    """What the body of a frame is."""

    AMQP = 0
    SASL = 1


@dataclass(frozen=True, slots=True)
class ProtocolHeader:
    """The eight bytes that name a protocol and its version."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; an empty ``body`` is a heartbeat."""

    frame_type: int
    channel: int
    body: bytes


class FrameReader:
    """Cuts a byte stream into protocol headers and frames."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[ProtocolHeader | Frame]:
        """Take bytes as they come; yields what is complete and keeps the rest for the next call.

        Raises:
            FramingError: the bytes cannot be the start of a frame; nothing after them can be read.
        """
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _PREFIX.size:
                if self._buffer[at : at + 4] == b"AMQP":
                    at += 8
                    yield ProtocolHeader(bytes(self._buffer[at - 8 : at]))
                    continue
                size, data_offset, frame_type, channel = _PREFIX.unpack_from(self._buffer, at)
                self._check(size, data_offset * 4)
                if len(self._buffer) - at < size:
                    return
                body = bytes(self._buffer[at + data_offset * 4 : at + size])
                at += size
                yield Frame(frame_type, channel, body)
        finally:
            del self._buffer[:at]

    def _check(self, size: int, body_offset: int) -> None:
        if size > self._max_frame_bytes:
            raise FramingError(f"A frame of {size} bytes exceeds the limit of {self._max_frame_bytes}.")
        if not _PREFIX.size <= body_offset <= size:
            raise FramingError("The data offset of a frame points outside of it.")


def encode_frame(
    performative: Performative,
    *,
    channel: int = 0,
    payload: bytes = b"",
    frame_type: FrameType = FrameType.AMQP,
) -> bytes:
    """One frame with ``performative`` and ``payload``."""
    body = encode_performative(performative)
    return _PREFIX.pack(_PREFIX.size + len(body) + len(payload), 2, frame_type, channel) + body + payload
