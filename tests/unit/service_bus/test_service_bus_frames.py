from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.service_bus.encoding import encode
from local.service_bus.errors import BrokerError, FramingError, InvalidFieldError
from local.service_bus.frames import (
    AMQP_HEADER,
    EMPTY_FRAME,
    Frame,
    FrameReader,
    ProtocolHeader,
    encode_frame,
)
from local.service_bus.performatives import Attach, Flow, decode_performative, encode_performative
from local.service_bus.values import Described, Symbol, UInt, ULong


def test_a_stream_is_cut_the_same_way_however_it_arrives() -> None:
    flow = Flow(incoming_window=1, next_outgoing_id=2, outgoing_window=3)
    stream = AMQP_HEADER + EMPTY_FRAME + encode_frame(flow, channel=7, payload=b"rest")
    whole = list(FrameReader(65_536).feed(stream))
    reader = FrameReader(65_536)
    assert [item for octet in stream for item in reader.feed(bytes((octet,)))] == whole
    assert whole == [
        ProtocolHeader(AMQP_HEADER),
        Frame(0, 0, b""),
        Frame(0, 7, encode_performative(flow) + b"rest"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x00\x00\x00\x07\x02\x00\x00\x00",
        b"\x00\x00\x00\x08\x01\x00\x00\x00",
        b"\x00\x00\x00\x08\x03\x00\x00\x00",
    ],
    ids=["http", "size too small", "data offset too small", "data offset too large"],
)
def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        list(FrameReader(512).feed(data))


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_arbitrary_streams_are_cut_or_refused(chunks: list[bytes]) -> None:
    reader = FrameReader(4096)
    try:
        for chunk in chunks:
            for item in reader.feed(chunk):
                if isinstance(item, Frame):
                    decode_performative(item.body)
    except BrokerError:
        pass  # any other exception fails the test


def test_a_performative_comes_back_as_it_was() -> None:
    attach = Attach(
        name="link",
        handle=3,
        role=True,
        source=Described(ULong(0x28), ["q"]),
        properties={Symbol("a"): UInt(1)},
    )
    data = encode_performative(attach)
    assert decode_performative(data) == (attach, len(data))


@pytest.mark.parametrize(
    "value",
    [
        "text",
        Described(ULong(0x99), []),
        Described(ULong(0x17), "no list"),
        Described(ULong(0x12), []),
        Described(ULong(0x12), ["link", "no handle", True]),
        Described(ULong(0x12), ["link", -1, True]),
        Described(ULong(0x17), [None, None]),
    ],
)
def test_malformed_performatives_are_refused(value: object) -> None:
    with pytest.raises(InvalidFieldError):
        decode_performative(encode(value))
