"""Bytes to AMQP 1.0 values (OASIS AMQP 1.0, part 1: Types); ``encoding`` is the way back.

``values`` says which Python type stands for which AMQP type.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING

from local.service_bus.errors import DecodeError
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

MAX_NESTING = 32
"""Deepest nesting of lists, maps, arrays and descriptors that is decoded."""
MAX_EMPTY_ELEMENTS = 65_536
"""Most elements of an array whose elements take no bytes; all other arrays are bounded by their bytes."""

_U8, _U16, _U32, _U64 = (struct.Struct(code) for code in (">B", ">H", ">I", ">Q"))
_I8, _I16, _I32, _I64 = (struct.Struct(code) for code in (">b", ">h", ">i", ">q"))
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")


def decode(data: bytes, offset: int = 0) -> tuple[object, int]:
    """The value that starts at ``offset``, and the offset after it.

    Raises:
        DecodeError: the bytes there are not one AMQP value.
    """
    try:
        return _decode(data, offset, 0)
    except (IndexError, struct.error, ValueError) as error:
        raise DecodeError(f"The bytes at offset {offset} are not an AMQP value.") from error


def skip(data: bytes, offset: int = 0) -> int:
    """The offset after the value that starts at ``offset``, found without decoding it.

    Raises:
        DecodeError: the value does not end inside ``data``.
    """
    try:
        end = _skip(data, offset, 0)
    except (IndexError, struct.error) as error:
        raise DecodeError(f"The value at offset {offset} is cut off.") from error
    if end > len(data):
        raise DecodeError(f"The value at offset {offset} is cut off.")
    return end


def decode_raw_map(data: bytes, offset: int = 0) -> dict[object, Encoded]:
    """The map that starts at ``offset``, its values left encoded, so that passing them on loses nothing.

    Raises:
        DecodeError: the bytes there are neither a map nor null.
    """
    code = data[offset] if offset < len(data) else -1
    if code == 0x40:
        return {}
    if code not in (0xC1, 0xD1):
        raise DecodeError(f"The value at offset {offset} is not a map.")
    decode(data, offset)  # refuses what is malformed inside, before it is stored and handed to receivers
    count = data[offset + 2] if code == 0xC1 else _U32.unpack_from(data, offset + 5)[0]
    at = offset + (3 if code == 0xC1 else 9)
    entries: dict[object, Encoded] = {}
    for _ in range(count // 2):
        key, at = decode(data, at)
        end = skip(data, at)
        entries[key] = Encoded(data[at:end])
        at = end
    return entries


def _decode(data: bytes, offset: int, depth: int) -> tuple[object, int]:
    code = data[offset]
    if code != 0:
        return _decode_body(code, data, offset + 1, depth)
    if depth >= MAX_NESTING:
        raise DecodeError("AMQP values are nested too deeply.")
    descriptor, offset = _decode(data, offset + 1, depth + 1)
    value, offset = _decode(data, offset, depth + 1)
    return Described(descriptor, value), offset


def _decode_body(code: int, data: bytes, offset: int, depth: int) -> tuple[object, int]:
    """The value of constructor ``code`` whose bytes follow at ``offset``."""
    if code in _CONSTANTS:
        return _CONSTANTS[code], offset
    if code in _FIXED:
        layout, convert = _FIXED[code]
        return convert(layout.unpack_from(data, offset)[0]), offset + layout.size
    if code in _VARIABLE:
        size_layout, read = _VARIABLE[code]
        start = offset + size_layout.size
        end = start + size_layout.unpack_from(data, offset)[0]
        if end > len(data):
            raise DecodeError("A binary, string or symbol is cut off.")
        return read(bytes(data[start:end])), end
    if code in _COMPOUND:
        if depth >= MAX_NESTING:
            raise DecodeError("AMQP values are nested too deeply.")
        size_layout, read_items = _COMPOUND[code]
        end = offset + size_layout.size + size_layout.unpack_from(data, offset)[0]
        count = size_layout.unpack_from(data, offset + size_layout.size)[0]
        if end > len(data):
            raise DecodeError("A list, map or array is cut off.")
        items, at = read_items(data, offset + 2 * size_layout.size, count, depth + 1)
        if at != end:
            raise DecodeError("The size of a list, map or array contradicts its items.")
        return items, end
    if code == 0x45:
        return [], offset
    raise DecodeError(f"0x{code:02x} is not the constructor of an AMQP type.")


def _read_list(data: bytes, offset: int, count: int, depth: int) -> tuple[object, int]:
    items: list[object] = []
    for _ in range(count):  # every item takes a byte at least, so the end of the data bounds this loop
        item, offset = _decode(data, offset, depth)
        items.append(item)
    return items, offset


def _read_map(data: bytes, offset: int, count: int, depth: int) -> tuple[object, int]:
    if count % 2:
        raise DecodeError("A map has a key without a value.")
    entries: dict[object, object] = {}
    for _ in range(count // 2):
        key, offset = _decode(data, offset, depth)
        if isinstance(key, list | dict | Described):
            raise DecodeError("The key of a map is a list, a map, an array or a described value.")
        entries[key], offset = _decode(data, offset, depth)
    return entries, offset


def _read_array(data: bytes, offset: int, count: int, depth: int) -> tuple[object, int]:
    descriptors: list[object] = []
    while data[offset] == 0:
        if depth + len(descriptors) >= MAX_NESTING:
            raise DecodeError("AMQP values are nested too deeply.")
        descriptor, offset = _decode(data, offset + 1, depth)
        descriptors.append(descriptor)
    code, offset = data[offset], offset + 1
    if (code in _CONSTANTS or code == 0x45) and count > MAX_EMPTY_ELEMENTS:
        raise DecodeError(f"An array of empty values has more than {MAX_EMPTY_ELEMENTS} of them.")
    elements = Array()
    for _ in range(count):
        element, offset = _decode_body(code, data, offset, depth)
        for descriptor in reversed(descriptors):
            element = Described(descriptor, element)
        elements.append(element)
    return elements, offset


def _read_boolean(octet: int) -> bool:
    if octet > 1:
        raise DecodeError("A boolean is neither true nor false.")
    return octet == 1


def _read_char(code_point: int) -> Char:
    if 0xD800 <= code_point < 0xE000:
        raise DecodeError("A char is half of a surrogate pair.")
    return Char(chr(code_point))


_CONSTANTS: dict[int, object] = {0x40: None, 0x41: True, 0x42: False, 0x43: UInt(0), 0x44: ULong(0)}

_FIXED: dict[int, tuple[struct.Struct, Callable[..., object]]] = {
    0x50: (_U8, UByte),
    0x51: (_I8, Byte),
    0x52: (_U8, UInt),
    0x53: (_U8, ULong),
    0x54: (_I8, Int),
    0x55: (_I8, int),
    0x56: (_U8, _read_boolean),
    0x60: (_U16, UShort),
    0x61: (_I16, Short),
    0x70: (_U32, UInt),
    0x71: (_I32, Int),
    0x72: (_F32, Float),
    0x73: (_U32, _read_char),
    0x74: (struct.Struct("4s"), Decimal32),
    0x80: (_U64, ULong),
    0x81: (_I64, int),
    0x82: (_F64, float),
    0x83: (_I64, Timestamp),
    0x84: (struct.Struct("8s"), Decimal64),
    0x94: (struct.Struct("16s"), Decimal128),
    0x98: (struct.Struct("16s"), lambda value: uuid.UUID(bytes=value)),
}

_VARIABLE: dict[int, tuple[struct.Struct, Callable[[bytes], object]]] = {
    0xA0: (_U8, bytes),
    0xA1: (_U8, bytes.decode),
    0xA3: (_U8, lambda data: Symbol(data.decode("ascii"))),
    0xB0: (_U32, bytes),
    0xB1: (_U32, bytes.decode),
    0xB3: (_U32, lambda data: Symbol(data.decode("ascii"))),
}

_COMPOUND: dict[int, tuple[struct.Struct, Callable[[bytes, int, int, int], tuple[object, int]]]] = {
    0xC0: (_U8, _read_list),
    0xD0: (_U32, _read_list),
    0xC1: (_U8, _read_map),
    0xD1: (_U32, _read_map),
    0xE0: (_U8, _read_array),
    0xF0: (_U32, _read_array),
}

# The high four bits of a constructor say how wide its value is (part 1, section 1.2).
_FIXED_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def _skip(data: bytes, offset: int, depth: int) -> int:
    code = data[offset]
    if code == 0:
        if depth >= MAX_NESTING:
            raise DecodeError("AMQP values are nested too deeply.")
        return _skip(data, _skip(data, offset + 1, depth + 1), depth + 1)
    category = code >> 4
    if category in _FIXED_WIDTHS:
        return offset + 1 + _FIXED_WIDTHS[category]
    if category in (0xA, 0xC, 0xE):
        return offset + 2 + data[offset + 1]
    if category in (0xB, 0xD, 0xF):
        return int(offset + 5 + _U32.unpack_from(data, offset + 1)[0])
    raise DecodeError(f"0x{code:02x} is not the constructor of an AMQP type.")
