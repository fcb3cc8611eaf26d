"""What the SDKs do not do, or not on purpose: the broker against a client that talks raw AMQP."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from local.service_bus import parse_namespace, serve
from local.service_bus.errors import BrokerError
from local.service_bus.frames import AMQP_HEADER, EMPTY_FRAME, SASL_HEADER, FrameType, encode_frame
from local.service_bus.performatives import (
    ACCEPTED,
    REJECTED,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    SaslOutcome,
    Transfer,
    accepted,
    list_item,
)
from local.service_bus.stored import MessageState
from tests.unit.service_bus.amqp_peer import BODY, Peer, request, source, target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local.service_bus import Broker
    from local.service_bus.values import Described


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    queues = [{"Name": "q"}, {"Name": "sessions", "Properties": {"RequiresSession": True}}]
    topics = [
        {
            "Name": "t",
            "Subscriptions": [{"Name": "plain"}, {"Name": "strict", "Properties": {"RequiresSession": True}}],
        }
    ]
    document = {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": queues, "Topics": topics}]}}
    async with serve(parse_namespace(document)) as broker:
        yield broker


@pytest.fixture
async def peer(broker: Broker) -> AsyncIterator[Peer]:
    """A client that may do everything."""
    peer = await Peer.connect(broker)
    assert (await peer.put_token()).properties["status-code"] == 202
    yield peer
    peer.writer.close()


def condition(described: Described | None) -> object:
    """The condition of an error, after a look that all three fields of it are there."""
    assert described is not None
    assert isinstance(described.value, list)
    assert [type(field).__name__ for field in described.value] == ["Symbol", "str", "dict"]
    return described.value[0]


async def outcome(peer: Peer) -> tuple[object, object]:
    """Descriptor and error condition of the next disposition."""
    disposition = await peer.expect(Disposition)
    assert disposition.settled
    assert disposition.state is not None
    error = list_item(disposition.state, 0)
    return disposition.state.descriptor, list_item(error, 0)


# Opening and closing


async def read_all(broker: Broker, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    return answer


async def test_sasl_goes_before_amqp(broker: Broker) -> None:
    init = encode_frame(SaslInit(mechanism="ANONYMOUS"), frame_type=FrameType.SASL)
    answer = await read_all(
        broker,
        SASL_HEADER + init + AMQP_HEADER + encode_frame(Open(container_id="x")) + encode_frame(Close()),
    )
    assert answer.startswith(SASL_HEADER)
    assert b"ANONYMOUS" in answer
    assert encode_frame(SaslOutcome(code=0), frame_type=FrameType.SASL) + AMQP_HEADER in answer
    assert answer.endswith(encode_frame(Close()))


async def test_an_unknown_mechanism_is_refused(broker: Broker) -> None:
    init = encode_frame(SaslInit(mechanism="PLAIN"), frame_type=FrameType.SASL)
    answer = await read_all(broker, SASL_HEADER + init)
    assert answer.endswith(encode_frame(SaslOutcome(code=1), frame_type=FrameType.SASL))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x00\x09\x01", EMPTY_FRAME])
async def test_a_stranger_is_told_what_is_spoken_here(broker: Broker, data: bytes) -> None:
    assert await read_all(broker, data) == AMQP_HEADER


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x00\x00\x04\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (b"\xff\xff\xff\xff\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (b"\x00\x00\x00\x09\x02\x00\x00\x00\x3f", "amqp:decode-error"),
        (b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x99\x45", "amqp:invalid-field"),
        (b"\x00\x00\x00\x09\x02\x01\x00\x00\x40", "amqp:illegal-state"),
        (encode_frame(Open(container_id="again")), "amqp:illegal-state"),
        (encode_frame(Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1)), "amqp:illegal-state"),
        (encode_frame(Attach(name="x", handle=256, role=True)), "amqp:invalid-field"),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_told_and_closed(
    broker: Broker, data: bytes, expected: str
) -> None:
    peer = await Peer.connect(broker)
    peer.writer.write(data)
    assert condition((await peer.expect(Close)).error) == expected
    assert await peer.closed()


async def test_a_frame_size_below_the_minimum_is_refused(broker: Broker) -> None:
    answer = await read_all(broker, AMQP_HEADER + encode_frame(Open(container_id="x", max_frame_size=511)))
    assert b"max-frame-size" in answer


async def test_heartbeats_come_twice_in_the_time_the_client_allows(broker: Broker) -> None:
    peer = await Peer.connect(broker, opening=Open(container_id="x", idle_time_out_ms=400))
    started = time.monotonic()
    for _ in range(3):
        assert (await peer.next_frame()).body == b""
    assert time.monotonic() - started < 0.8
    peer.writer.close()


async def test_a_detach_after_the_end_of_its_session_is_ignored(peer: Peer) -> None:
    peer.send(End())
    await peer.expect(End)
    peer.send(Detach(handle=1, closed=True))
    peer.send(Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1))
    await peer.expect(Begin)


async def test_a_handle_in_use_ends_the_session_and_nothing_else(peer: Peer) -> None:
    await peer.sender(1, "q")
    peer.attach(1, role=True, source=source("q"), target=target("me"))
    assert condition((await peer.expect(End)).error) == "amqp:session:handle-in-use"
    peer.send(Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1))
    await peer.expect(Begin)


async def test_a_transfer_without_a_link_ends_the_session(peer: Peer) -> None:
    peer.transfer(9)
    assert condition((await peer.expect(End)).error) == "amqp:session:unattached-handle"


async def test_random_bytes_close_one_connection_and_no_other(broker: Broker, peer: Peer) -> None:
    generator = random.Random(5672)
    frame = bytearray(
        encode_frame(Attach(name="x", handle=1, role=True, source=source("q"), target=target("me")))
    )
    for _ in range(60):
        damaged = bytearray(frame)
        for _ in range(generator.randint(1, 6)):
            damaged[generator.randrange(4, len(damaged))] = generator.randrange(256)
        victim = await Peer.connect(broker)
        victim.writer.write(bytes(damaged) + generator.randbytes(50))
        victim.writer.write_eof()
        assert await victim.closed()
        victim.writer.close()
    await peer.sender(1, "q")
    peer.transfer(1)
    assert await outcome(peer) == (ACCEPTED, None)


# Tokens


async def test_without_a_token_nothing_can_be_attached(broker: Broker) -> None:
    peer = await Peer.connect(broker)
    for handle, (address, receives) in enumerate(
        [("q", True), ("q", False), ("q/$management", True), ("none", True)]
    ):
        peer.attach(handle, role=receives, source=source(address), target=target(address))
        answer = await peer.expect(Attach)
        assert (answer.source if receives else answer.target) is None
        detach = await peer.expect(Detach)
        assert detach.closed
        assert condition(detach.error) == "amqp:unauthorized-access"
    peer.writer.close()


async def test_a_token_opens_its_entity_only(broker: Broker) -> None:
    peer = await Peer.connect(broker)
    reply = await peer.put_token("sb://host/Q")
    assert (reply.message_id, type(reply.message_id).__name__) == (77, "ULong")
    assert reply.properties["status-code"] == 202
    assert (await peer.sender(1, "amqps://host:5672/q")).target is not None
    assert (await peer.receiver(2, "q/$DeadLetterQueue")).source is not None
    assert (await peer.receiver(3, "sessions")).source is None
    peer.writer.close()


@pytest.mark.parametrize(
    ("resource", "audience", "key", "expires_in_seconds", "status"),
    [
        ("sb://host/q", None, "wrong", 60, 401),
        ("sb://host/q", None, "SAS_KEY_VALUE", -1, 401),
        ("sb://host/q", "sb://host/sessions", "SAS_KEY_VALUE", 60, 401),
        ("sb://host/none", None, "SAS_KEY_VALUE", 60, 404),
        ("sb://host/", "sb://host/none/$management", "SAS_KEY_VALUE", 60, 404),
        ("sb://host/t/Subscriptions/none", None, "SAS_KEY_VALUE", 60, 202),
    ],
)
async def test_put_token_tells_what_is_wrong(
    broker: Broker, resource: str, audience: str | None, key: str, expires_in_seconds: int, status: int
) -> None:
    peer = await Peer.connect(broker)
    reply = await peer.put_token(resource, audience=audience, key=key, expires_in_seconds=expires_in_seconds)
    assert reply.properties["status-code"] == status
    peer.writer.close()


async def test_an_unknown_entity_is_not_found(peer: Peer) -> None:
    assert (await peer.receiver(1, "none")).source is None
    assert condition((await peer.expect(Detach)).error) == "amqp:not-found"


@pytest.mark.parametrize(
    ("address", "receives"),
    [("q/$DeadLetterQueue", False), ("t/Subscriptions/plain", False), ("t", True), ("sessions", True)],
)
async def test_an_entity_gives_and_takes_what_it_is_made_for(
    peer: Peer, address: str, receives: bool
) -> None:
    await (peer.receiver(1, address) if receives else peer.sender(1, address))
    assert condition((await peer.expect(Detach)).error) == "amqp:not-allowed"


# Sending


async def test_a_message_in_many_frames_is_one_message(broker: Broker) -> None:
    peer = await Peer.connect(broker, opening=Open(container_id="x", max_frame_size=512), window=1_000)
    await peer.put_token()
    await peer.sender(1, "q")
    body = b"\x00\x53\x75\xb0\x00\x00\x08\x00" + bytes(range(256)) * 8
    peer.transfer(1, body[:1000], more=True)
    peer.send(Transfer(handle=1, more=True), body[1000:2000])
    peer.send(Transfer(handle=1), body[2000:])
    assert await outcome(peer) == (ACCEPTED, None)
    await peer.receiver(2, "q")
    peer.grant(2, 1)
    received = b""
    more: bool | None = True
    while more:
        transfer, part = await peer.expect_payload(Transfer)
        received, more = received + part, transfer.more
    assert received.endswith(body)
    peer.writer.close()


async def test_an_aborted_message_is_dropped(broker: Broker, peer: Peer) -> None:
    await peer.sender(1, "q")
    peer.transfer(1, BODY, more=True)
    peer.send(Transfer(handle=1, aborted=True))
    peer.transfer(1)
    assert await outcome(peer) == (ACCEPTED, None)
    assert broker.queue("q").count()[MessageState.ACTIVE] == 1


async def test_a_message_that_is_too_large_is_refused_when_it_is_whole(broker: Broker, peer: Peer) -> None:
    attach = await peer.sender(1, "q")
    assert attach.max_message_size == 256 * 1024
    peer.transfer(1, bytes(60_000), more=True)
    for _ in range(10):
        peer.send(Transfer(handle=1, more=True), bytes(60_000))
    peer.send(Transfer(handle=1), b"")
    assert await outcome(peer) == (REJECTED, "amqp:link:message-size-exceeded")
    assert not any(broker.queue("q").count().values())


async def test_a_malformed_message_is_refused_and_the_link_goes_on(peer: Peer) -> None:
    await peer.sender(1, "q")
    peer.transfer(1, b"junk")
    assert await outcome(peer) == (REJECTED, "amqp:decode-error")
    peer.transfer(1, BODY, message_format=99)
    assert await outcome(peer) == (REJECTED, "amqp:decode-error")
    peer.transfer(1)
    assert await outcome(peer) == (ACCEPTED, None)


async def test_a_settled_message_is_not_answered(broker: Broker, peer: Peer) -> None:
    await peer.sender(1, "q")
    peer.transfer(1, settled=True)
    unsettled = peer.transfer(1)
    assert (await peer.expect(Disposition)).first == unsettled
    assert broker.queue("q").count()[MessageState.ACTIVE] == 2


async def test_a_message_that_a_subscription_cannot_hold_is_its_dead_letter(
    broker: Broker, peer: Peer
) -> None:
    await peer.sender(1, "t")
    peer.transfer(1)
    assert await outcome(peer) == (ACCEPTED, None)
    assert broker.queue("t/Subscriptions/plain").has_ready()
    (letter,) = broker.queue("t/Subscriptions/strict/$DeadLetterQueue").peek(0, 9)
    assert letter.added_properties["DeadLetterReason"] == "Session ID is null"


# Receiving


async def receive(peer: Peer, handle: int = 2) -> int:
    """Send a message and receive it; returns its delivery id."""
    await peer.sender(1, "q")
    peer.transfer(1)
    await peer.receiver(handle, "q")
    peer.grant(handle, 1)
    transfer = await peer.expect(Transfer)
    assert transfer.delivery_id is not None
    return transfer.delivery_id


async def test_a_javascript_client_names_the_queue_bare_and_its_target_not_at_all(peer: Peer) -> None:
    await peer.sender(1, "q")
    peer.transfer(1)
    peer.attach(2, role=True, source=source("q"), target=target())
    assert (await peer.expect(Attach)).target == target()
    peer.grant(2, 1)
    assert (await peer.expect_payload(Transfer))[1].endswith(BODY)


async def test_an_outcome_is_answered_with_the_same_outcome(broker: Broker, peer: Peer) -> None:
    delivery_id = await receive(peer)
    peer.send(Disposition(role=True, first=delivery_id, state=accepted()))
    assert await outcome(peer) == (ACCEPTED, None)
    assert not any(broker.queue("q").count().values())
    peer.send(Disposition(role=True, first=delivery_id, state=accepted()))
    assert await outcome(peer) == (REJECTED, "com.microsoft:message-lock-lost")


async def test_a_disposition_after_its_link_is_gone_changes_nothing(broker: Broker, peer: Peer) -> None:
    delivery_id = await receive(peer)
    peer.send(Detach(handle=2, closed=True))
    await peer.expect(Detach)
    peer.send(Disposition(role=True, first=delivery_id, state=accepted()))
    assert await outcome(peer) == (REJECTED, "com.microsoft:message-lock-lost")
    assert broker.queue("q").count()[MessageState.LOCKED] == 1


async def test_a_disposition_of_four_billion_deliveries_settles_what_there_is(
    broker: Broker, peer: Peer
) -> None:
    await receive(peer)
    peer.send(Disposition(role=True, first=0, last=0xFFFF_FFFF, state=accepted()))
    assert await outcome(peer) == (ACCEPTED, None)
    assert not any(broker.queue("q").count().values())


async def test_draining_uses_up_the_credit(peer: Peer) -> None:
    await peer.receiver(2, "q")
    peer.grant(2, 5, drain=True)
    flow = await peer.expect(Flow)
    while flow.handle != 2:
        flow = await peer.expect(Flow)
    assert (flow.delivery_count, flow.link_credit, flow.drain) == (5, 0, True)


async def test_nothing_is_sent_beyond_the_clients_window(broker: Broker) -> None:
    peer = await Peer.connect(broker, window=1)
    await peer.put_token()  # its reply uses up the window
    await peer.sender(1, "q")
    peer.transfer(1)
    await peer.receiver(2, "q")
    flow = Flow(
        incoming_window=0, next_outgoing_id=0, outgoing_window=9, handle=2, delivery_count=0, link_credit=1
    )
    peer.send(flow)
    peer.transfer(1)
    assert await outcome(peer) == (ACCEPTED, None)
    assert broker.queue("q").count()[MessageState.LOCKED] == 0
    flow.incoming_window, flow.handle, flow.delivery_count, flow.link_credit = 2, None, None, None
    peer.send(flow)
    await peer.expect(Transfer)
    peer.writer.close()


async def test_the_frames_of_one_message_wait_for_the_window_too(broker: Broker) -> None:
    peer = await Peer.connect(broker, opening=Open(container_id="x", max_frame_size=512))
    await peer.put_token()
    await peer.sender(1, "q")
    peer.transfer(1, b"\x00\x53\x75\xb0\x00\x00\x04\x00" + bytes(1024))
    await peer.receiver(2, "q")
    first_id = await _next_transfer_id(peer)
    flow = Flow(
        next_incoming_id=first_id,
        incoming_window=1,
        next_outgoing_id=0,
        outgoing_window=9,
        handle=2,
        delivery_count=0,
        link_credit=1,
    )
    peer.send(flow)
    assert (await peer.expect(Transfer)).more
    peer.transfer(1)
    assert isinstance(await peer.next_performative(), Disposition)  # and no second transfer
    flow.next_incoming_id, flow.incoming_window, flow.handle = first_id + 1, 9, None
    flow.delivery_count = flow.link_credit = None
    peer.send(flow)
    while (await peer.expect(Transfer)).more:
        pass
    peer.writer.close()


async def _next_transfer_id(peer: Peer) -> int:
    peer.send(
        Flow(next_incoming_id=None, incoming_window=1_000, next_outgoing_id=0, outgoing_window=9, echo=True)
    )
    flow = await peer.expect(Flow)
    while flow.handle is not None:
        flow = await peer.expect(Flow)
    return flow.next_outgoing_id


# Management


@pytest.mark.parametrize(
    ("operation", "body", "status", "expected"),
    [
        ("com.microsoft:add-rule", {}, 501, "amqp:not-implemented"),
        ("com.microsoft:peek-message", None, 400, "com.microsoft:argument-error"),
        ("com.microsoft:peek-message", {"message-count": 1}, 400, "com.microsoft:argument-error"),
        (
            "com.microsoft:peek-message",
            {"from-sequence-number": 1, "message-count": -1},
            400,
            "com.microsoft:argument-error",
        ),
        ("com.microsoft:peek-message", {"from-sequence-number": 1, "message-count": 1}, 204, None),
        ("com.microsoft:renew-lock", {"lock-tokens": ["x"]}, 400, "com.microsoft:argument-error"),
        ("com.microsoft:schedule-message", {"messages": [{"message": b"x"}]}, 400, "amqp:decode-error"),
        (
            "com.microsoft:schedule-message",
            {"messages": [{"message": bytes(300_000)}]},
            400,
            "amqp:link:message-size-exceeded",
        ),
        (
            "com.microsoft:cancel-scheduled-message",
            {"sequence-numbers": [1]},
            404,
            "com.microsoft:message-not-found",
        ),
        (
            "com.microsoft:update-disposition",
            {"disposition-status": "lost", "lock-tokens": []},
            400,
            "com.microsoft:argument-error",
        ),
        ("com.microsoft:get-session-state", {"session-id": "a"}, 410, "com.microsoft:session-lock-lost"),
    ],
)
async def test_a_request_that_cannot_be_done_is_answered(
    peer: Peer, operation: str, body: object, status: int, expected: str | None
) -> None:
    peer.attach(1, role=True, source=source("q/$management"), target=target("replies"))
    peer.attach(2, role=False, source=source("me"), target=target("q/$management"))
    peer.grant(1, 1)
    encoded = request("id", {"operation": operation}, body, reply_to="replies")
    peer.transfer(2, encoded[:60_000], more=len(encoded) > 60_000)
    for at in range(60_000, len(encoded), 60_000):
        peer.send(Transfer(handle=2, more=at + 60_000 < len(encoded)), encoded[at : at + 60_000])
    reply = await peer.reply()
    assert (reply.message_id, reply.properties["statusCode"]) == ("id", status)
    assert reply.properties.get("errorCondition") == expected


async def test_stopping_tells_the_clients(broker: Broker) -> None:
    peer = await Peer.connect(broker)
    broker.close()
    assert condition((await peer.expect(Close)).error) == "amqp:connection:forced"


async def test_a_client_that_reads_nothing_does_not_keep_the_broker_from_stopping() -> None:
    document = {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [{"Name": "q"}]}]}}
    async with serve(parse_namespace(document), max_message_bytes=1 << 20) as broker:
        peer = await Peer.connect(broker)
        await peer.put_token()
        await peer.sender(1, "q")
        for _ in range(20):
            peer.transfer(1, b"\x00\x53\x75\xb0\x00\x00\xe0\x00" + bytes(0xE000), settled=True)
        peer.attach(2, role=True, source=source("q/$management"), target=target("replies"))
        peer.attach(3, role=False, source=source("me"), target=target("q/$management"))
        peer.grant(2, 1_000)
        everything = {"from-sequence-number": 1, "message-count": 100}
        for _ in range(20):
            peer.transfer(3, request("id", {"operation": "com.microsoft:peek-message"}, everything))
        await peer.expect(Transfer)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    peer.writer.close()


def test_every_error_has_a_condition_and_a_status() -> None:
    def all_errors(kind: type[BrokerError]) -> list[type[BrokerError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in all_errors(child))]

    for kind in all_errors(BrokerError):
        assert kind.condition.startswith(("amqp:", "com.microsoft:"))
        assert 400 <= kind.status <= 599
