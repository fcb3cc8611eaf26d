from __future__ import annotations

import math
import struct
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.service_bus.decoding import MAX_EMPTY_ELEMENTS, decode, decode_raw_map, skip
from local.service_bus.encoding import encode
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


def integers(bits: int, kind: Callable[[int], int], *, signed: bool) -> st.SearchStrategy[int]:
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, low + 2**bits - 1).map(kind)


ASCII = st.text(st.characters(max_codepoint=127), max_size=300)
SCALARS: list[st.SearchStrategy[object]] = [
    st.none(),
    st.booleans(),
    integers(8, UByte, signed=False),
    integers(16, UShort, signed=False),
    integers(32, UInt, signed=False),
    integers(64, ULong, signed=False),
    integers(8, Byte, signed=True),
    integers(16, Short, signed=True),
    integers(32, Int, signed=True),
    integers(64, int, signed=True),
    integers(64, Timestamp, signed=True),
    st.floats(width=32, allow_nan=False).map(Float),
    st.floats(allow_nan=False),
    st.binary(min_size=4, max_size=4).map(Decimal32),
    st.binary(min_size=8, max_size=8).map(Decimal64),
    st.binary(min_size=16, max_size=16).map(Decimal128),
    st.characters(codec="utf-8").map(Char),
    st.uuids(),
    st.binary(max_size=300),
    st.text(max_size=300),
    ASCII.map(Symbol),
]
KEYS = st.text(max_size=8) | ASCII.map(Symbol)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(Described, integers(64, ULong, signed=False), inner),
    ),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    """Equal and of the same AMQP types, which ``==`` does not tell apart."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return same(list(left), list(right)) and same(list(left.values()), list(right.values()))
    if isinstance(left, Described) and isinstance(right, Described):
        return same(left.descriptor, right.descriptor) and same(left.value, right.value)
    return left == right


@given(VALUES)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    data = encode(value)
    decoded, end = decode(data)
    assert same(decoded, value)
    assert end == skip(data) == len(data)


@given(st.data())
def test_an_array_of_any_type_comes_back_as_it_was(data: st.DataObject) -> None:
    elements = data.draw(st.one_of([st.lists(scalar, max_size=300) for scalar in SCALARS]))
    array = Array(elements)
    assert same(decode(encode(array))[0], array)


@pytest.mark.parametrize(
    "array",
    [
        Array([[1, "a"], []]),
        Array([{"a": 1}, {}]),
        Array([Array([UInt(1)]), Array()]),
        Array([Described(Symbol("x"), 1), Described(Symbol("x"), 2)]),
    ],
    ids=["lists", "maps", "arrays", "described"],
)
def test_an_array_of_compounds_comes_back_as_it_was(array: Array) -> None:
    assert same(decode(encode(array))[0], array)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("94" + "00" * 15 + "07", Decimal128(b"\x00" * 15 + b"\x07")),
        ("73" + "0001f514", Char("🔔")),
        ("54ff", Int(-1)),
        ("4142"[:2], True),
        ("5601", True),
        ("8300000001 8bcfe568 00".replace(" ", "")[:18], Timestamp(0x00000001_8BCFE568)),
        ("a303616263", Symbol("abc")),
        ("e0 06 02 a1 01 61 01 62".replace(" ", ""), Array(["a", "b"])),
        ("0053244 5".replace(" ", ""), Described(ULong(0x24), [])),
    ],
)
def test_wire_forms_of_the_specification(data: str, value: object) -> None:
    assert same(decode(bytes.fromhex(data))[0], value)


def test_not_a_number_survives() -> None:
    decoded, _ = decode(encode(math.nan))
    assert isinstance(decoded, float)
    assert math.isnan(decoded)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x70\x00",
        b"\xa1\x05ab",
        b"\xa1\x01\xff",
        b"\xa3\x01\xff",
        b"\x3f",
        b"\x56\x02",
        b"\x73\xff\xff\xff\xff",
        b"\x73\x00\x00\xd8\x00",
        b"\xc0\x02\x01",
        b"\xc0\x03\x01\x41\x41",
        b"\xc1\x02\x01\x41",
        b"\xc1\x03\x02\x45\x41",
        b"\xd0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xf0\x00\x00\x00\x05" + struct.pack(">I", MAX_EMPTY_ELEMENTS + 1) + b"\x40",
        b"\x00" * 5000,
        b"\xc0\xff\x01" * 100,
    ],
)
def test_malformed_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        _, end = decode(data)
    except DecodeError:
        return
    assert end <= len(data)


def test_a_raw_map_keeps_the_bytes_of_its_values() -> None:
    entries = {Symbol("a"): Encoded(b"\x80\x00\x00\x00\x00\x00\x00\x00\x07"), "b": Encoded(encode("x" * 300))}
    assert decode_raw_map(encode(dict(entries))) == entries


@pytest.mark.parametrize("value", [object(), Array([1, "a"]), Array([object()])])
def test_what_amqp_has_no_type_for_is_not_encoded(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_a_uuid_is_sixteen_bytes() -> None:
    value = uuid.uuid4()
    assert encode(value) == b"\x98" + value.bytes
