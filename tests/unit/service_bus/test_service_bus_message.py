from __future__ import annotations

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.service_bus.decoding import decode
from local.service_bus.encoding import encode
from local.service_bus.errors import ArgumentError, BrokerError, DecodeError
from local.service_bus.message import (
    APPLICATION_PROPERTIES,
    DELIVERY_ANNOTATIONS,
    FOOTER,
    HEADER,
    MAX_MILLISECONDS,
    MESSAGE_ANNOTATIONS,
    PROPERTIES,
    BrokerProperties,
    encode_message,
    encode_sent_message,
    parse_message,
    split_batch,
    split_sections,
)
from local.service_bus.values import Decimal128, Described, Symbol, Timestamp, UByte, UInt, ULong

BODY = b"\x00\x53\x75\xa0\x02hi"
BROKER = BrokerProperties(
    sequence_number=7, enqueued_sequence_number=3, enqueued_at_ms=1_000, state=0, delivery_count=2
)


def section(descriptor: int, value: object) -> bytes:
    return encode(Described(ULong(descriptor), value))


def sections(data: bytes) -> dict[int, object]:
    return {descriptor: decode(data, start)[0] for descriptor, start, _ in split_sections(data)}


def test_what_the_queue_decides_by_is_read() -> None:
    data = (
        section(HEADER, [True, None, UInt(5_000)])
        + section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(9_000)})
        + section(PROPERTIES, ["id", None, None, None, None, None, None, None, None, None, "session"])
        + BODY
    )
    message = parse_message(data)
    assert (message.message_id, message.session_id) == ("id", "session")
    assert (message.time_to_live_ms, message.scheduled_enqueue_time_ms) == (5_000, 9_000)


def test_an_empty_session_id_is_a_session_id() -> None:
    assert parse_message(section(PROPERTIES, [None] * 10 + [""]) + BODY).session_id == ""


def test_the_senders_sections_go_through_untouched() -> None:
    properties = section(PROPERTIES, [ULong(5)])
    application = section(APPLICATION_PROPERTIES, {"price": Decimal128(bytes(16)), "n": UInt(1)})
    data = section(DELIVERY_ANNOTATIONS, {Symbol("mine"): "kept"}) + properties + application + BODY
    token = uuid.uuid4()
    out = encode_message(
        parse_message(data), BrokerProperties(7, 3, 1_000, 0, 2, lock_token=token, locked_until_ms=2_000)
    )
    assert out.endswith(properties + application + BODY)
    read = sections(out)
    assert read[DELIVERY_ANNOTATIONS] == {"mine": "kept", "x-opt-lock-token": token}
    assert read[HEADER] == [None, None, None, None, 2]
    assert read[MESSAGE_ANNOTATIONS] == {
        "x-opt-sequence-number": 7,
        "x-opt-enqueue-sequence-number": 3,
        "x-opt-enqueued-time": 1_000,
        "x-opt-message-state": 0,
        "x-opt-locked-until": 2_000,
    }


def test_a_message_that_is_kept_is_the_same_again() -> None:
    data = (
        section(HEADER, [True, UByte(4), UInt(5_000)])
        + section(DELIVERY_ANNOTATIONS, {Symbol("mine"): "kept"})
        + section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(9_000), "own": [1]})
        + section(PROPERTIES, [ULong(5), *[None] * 9, "session"])
        + section(APPLICATION_PROPERTIES, {"price": Decimal128(bytes(16))})
        + BODY
        + section(FOOTER, {"f": 1})
    )
    message = parse_message(data)
    assert parse_message(encode_sent_message(message)) == message


def test_times_beyond_all_measure_are_cut() -> None:
    annotations = {Symbol("x-opt-scheduled-enqueue-time"): ULong(2**64 - 1)}
    data = section(HEADER, [None, None, ULong(2**64 - 1)]) + section(MESSAGE_ANNOTATIONS, annotations) + BODY
    message = parse_message(data)
    assert message.time_to_live_ms == message.scheduled_enqueue_time_ms == MAX_MILLISECONDS


def test_a_sender_cannot_make_up_the_brokers_annotations() -> None:
    data = section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-sequence-number"): 99, Symbol("own"): 1}) + BODY
    annotations = sections(encode_message(parse_message(data), BROKER))[MESSAGE_ANNOTATIONS]
    assert isinstance(annotations, dict)
    assert (annotations["x-opt-sequence-number"], annotations["own"]) == (7, 1)


def test_properties_are_added_to_those_the_sender_set() -> None:
    data = section(APPLICATION_PROPERTIES, {"a": UInt(1), "b": 2}) + BODY
    broker = BrokerProperties(7, 3, 1_000, 0, 2, added_properties={"b": 3, "DeadLetterReason": "why"})
    assert sections(encode_message(parse_message(data), broker))[APPLICATION_PROPERTIES] == {
        "a": 1,
        "b": 3,
        "DeadLetterReason": "why",
    }


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DecodeError),
        (section(HEADER, []), DecodeError),
        (b"text", DecodeError),
        (section(0x99, []) + BODY, DecodeError),
        (section(HEADER, "no list") + BODY, DecodeError),
        (section(PROPERTIES, {}) + BODY, DecodeError),
        (section(MESSAGE_ANNOTATIONS, []) + BODY, DecodeError),
        (BODY[:-1], DecodeError),
        (section(PROPERTIES, ["x" * 129]) + BODY, ArgumentError),
        (section(PROPERTIES, [[]]) + BODY, ArgumentError),
        (section(PROPERTIES, [None] * 10 + [5]) + BODY, ArgumentError),
        (section(PROPERTIES, [None] * 10 + ["x" * 129]) + BODY, ArgumentError),
        (section(HEADER, [None, None, "soon"]) + BODY, ArgumentError),
        (
            section(MESSAGE_ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): "soon"}) + BODY,
            ArgumentError,
        ),
    ],
)
def test_malformed_messages_are_refused(data: bytes, error: type[BrokerError]) -> None:
    with pytest.raises(error):
        parse_message(data)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_a_message_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(BrokerError):  # any other exception fails the test
        message = parse_message(data)
        kept = parse_message(encode_sent_message(message))
        assert encode_message(kept, BROKER) == encode_message(message, BROKER)


def test_a_batch_holds_whole_messages() -> None:
    assert split_batch(section(0x75, BODY) + section(0x75, BODY)) == [BODY, BODY]
    for malformed in (b"", section(HEADER, []), section(0x75, "text")):
        with pytest.raises(DecodeError):
            split_batch(malformed)
