"""One Python type for each AMQP 1.0 type (OASIS AMQP 1.0, part 1: Types).

AMQP has more scalar types than Python, and peers compare them exactly. ``None``, ``bool``, ``int`` (a long),
``float`` (a double), ``bytes``, ``str``, ``list``, ``dict`` and ``uuid.UUID`` stand for themselves; the other
types are the small classes below. Decimals stay bits: a broker carries them and never computes with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class UByte(int):
    """8-bit unsigned integer."""


class UShort(int):
    """16-bit unsigned integer."""


class UInt(int):
    """32-bit unsigned integer."""


class ULong(int):
    """64-bit unsigned integer."""


class Byte(int):
    """8-bit signed integer."""


class Short(int):
    """16-bit signed integer."""


class Int(int):
    """32-bit signed integer."""


class Timestamp(int):
    """Milliseconds since the Unix epoch."""


class Float(float):
    """32-bit IEEE 754 number."""


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class Symbol(str):
    """ASCII name from a constrained domain; equal to the string of the same characters."""

    __slots__ = ()


class Encoded(bytes):
    """A value that is encoded already and goes out as it is."""


@dataclass(frozen=True, slots=True)
class Decimal32:
    """IEEE 754-2008 decimal32, as its 4 bytes."""

    bits: bytes
    width_bytes: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Decimal64:
    """IEEE 754-2008 decimal64, as its 8 bytes."""

    bits: bytes
    width_bytes: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class Decimal128:
    """IEEE 754-2008 decimal128, as its 16 bytes."""

    bits: bytes
    width_bytes: ClassVar[int] = 16


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor that says what it means."""

    descriptor: object
    value: object


class Array(list[object]):
    """Values of one AMQP type, encoded with one constructor."""
