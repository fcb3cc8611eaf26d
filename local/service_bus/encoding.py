"""AMQP 1.0 values to bytes (OASIS AMQP 1.0, part 1: Types); ``decoding`` is the way back.

``values`` says which Python type stands for which AMQP type.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING

from local.service_bus.values import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Encoded,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_U8, _U16, _U32, _U64 = (struct.Struct(code) for code in (">B", ">H", ">I", ">Q"))
_I8, _I16, _I32, _I64 = (struct.Struct(code) for code in (">b", ">h", ">i", ">q"))
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")


def encode(value: object) -> bytes:
    """The shortest encoding of ``value``.

    Raises:
        TypeError: ``value`` is of no AMQP type.
        struct.error: a number does not fit its type.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"{type(value).__name__} is not an AMQP type.")
    return encoder(value)


def _encode_variable(short: int, long: int, data: bytes) -> bytes:
    size = len(data)
    return bytes((short, size)) + data if size < 256 else bytes((long,)) + _U32.pack(size) + data


def _encode_compound(short: int, long: int, count: int, body: bytes) -> bytes:
    if len(body) < 255 and count < 256:
        return bytes((short, len(body) + 1, count)) + body
    return bytes((long,)) + _U32.pack(len(body) + 4) + _U32.pack(count) + body


def _encode_uint(value: UInt) -> bytes:
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if 0 < value < 256 else b"\x70" + _U32.pack(value)


def _encode_ulong(value: ULong) -> bytes:
    if value == 0:
        return b"\x44"
    return bytes((0x53, value)) if 0 < value < 256 else b"\x80" + _U64.pack(value)


def _encode_int(value: Int) -> bytes:
    return b"\x54" + _I8.pack(value) if -128 <= value < 128 else b"\x71" + _I32.pack(value)


def _encode_long(value: int) -> bytes:
    return b"\x55" + _I8.pack(value) if -128 <= value < 128 else b"\x81" + _I64.pack(value)


def _encode_list(value: list[object]) -> bytes:
    return _encode_compound(0xC0, 0xD0, len(value), b"".join(map(encode, value))) if value else b"\x45"


def _encode_map(value: dict[object, object]) -> bytes:
    body = b"".join(encode(key) + encode(item) for key, item in value.items())
    return _encode_compound(0xC1, 0xD1, 2 * len(value), body)


def _encode_array(value: Array) -> bytes:
    if not value:
        return b"\xe0\x02\x00\x40"
    constructor, bodies = _array_parts(value)
    body = constructor + b"".join(bodies)
    return _encode_compound(0xE0, 0xF0, len(value), body)


def _array_parts(elements: list[object]) -> tuple[bytes, list[bytes]]:
    """The constructor that all elements share, and each element without it."""
    kind = type(elements[0])
    if any(type(element) is not kind for element in elements):
        raise TypeError("The elements of an AMQP array are of one type.")
    if kind is Described:
        described = [element for element in elements if isinstance(element, Described)]
        descriptor = described[0].descriptor
        if any(element.descriptor != descriptor for element in described):
            raise TypeError("The elements of an AMQP array share one descriptor.")
        constructor, bodies = _array_parts([element.value for element in described])
        return b"\x00" + encode(descriptor) + constructor, bodies
    if kind not in _WIDEST:
        raise TypeError(f"{kind.__name__} is not an AMQP type.")
    code, widest = _WIDEST[kind]
    return bytes((code,)), [widest(element) for element in elements]


def _sized(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


def _sized_compound(count: int, body: bytes) -> bytes:
    return _U32.pack(len(body) + 4) + _U32.pack(count) + body


def _sized_array(value: Array) -> bytes:
    constructor, bodies = _array_parts(value) if value else (b"\x40", [])
    return _sized_compound(len(value), constructor + b"".join(bodies))


_ENCODERS: dict[type, Callable[..., bytes]] = {
    type(None): lambda _: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    UByte: lambda value: b"\x50" + _U8.pack(value),
    UShort: lambda value: b"\x60" + _U16.pack(value),
    UInt: _encode_uint,
    ULong: _encode_ulong,
    Byte: lambda value: b"\x51" + _I8.pack(value),
    Short: lambda value: b"\x61" + _I16.pack(value),
    Int: _encode_int,
    int: _encode_long,
    Float: lambda value: b"\x72" + _F32.pack(value),
    float: lambda value: b"\x82" + _F64.pack(value),
    Decimal32: lambda value: b"\x74" + value.bits,
    Decimal64: lambda value: b"\x84" + value.bits,
    Decimal128: lambda value: b"\x94" + value.bits,
    Char: lambda value: b"\x73" + _U32.pack(ord(value)),
    Timestamp: lambda value: b"\x83" + _I64.pack(value),
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    bytes: lambda value: _encode_variable(0xA0, 0xB0, value),
    str: lambda value: _encode_variable(0xA1, 0xB1, value.encode()),
    Symbol: lambda value: _encode_variable(0xA3, 0xB3, value.encode("ascii")),
    list: _encode_list,
    dict: _encode_map,
    Array: _encode_array,
    Described: lambda value: b"\x00" + encode(value.descriptor) + encode(value.value),
    Encoded: bytes,
}

# Inside an array every element has the same width of constructor, so the widest of each type is used.
_WIDEST: dict[type, tuple[int, Callable[..., bytes]]] = {
    type(None): (0x40, lambda _: b""),
    bool: (0x56, lambda value: b"\x01" if value else b"\x00"),
    UByte: (0x50, _U8.pack),
    UShort: (0x60, _U16.pack),
    UInt: (0x70, _U32.pack),
    ULong: (0x80, _U64.pack),
    Byte: (0x51, _I8.pack),
    Short: (0x61, _I16.pack),
    Int: (0x71, _I32.pack),
    int: (0x81, _I64.pack),
    Float: (0x72, _F32.pack),
    float: (0x82, _F64.pack),
    Decimal32: (0x74, lambda value: value.bits),
    Decimal64: (0x84, lambda value: value.bits),
    Decimal128: (0x94, lambda value: value.bits),
    Char: (0x73, lambda value: _U32.pack(ord(value))),
    Timestamp: (0x83, _I64.pack),
    uuid.UUID: (0x98, lambda value: value.bytes),
    bytes: (0xB0, _sized),
    str: (0xB1, lambda value: _sized(value.encode())),
    Symbol: (0xB3, lambda value: _sized(value.encode("ascii"))),
    list: (0xD0, lambda value: _sized_compound(len(value), b"".join(map(encode, value)))),
    dict: (
        0xD1,
        lambda value: _sized_compound(
            2 * len(value), b"".join(encode(key) + encode(item) for key, item in value.items())
        ),
    ),
    Array: (0xF0, _sized_array),
}
