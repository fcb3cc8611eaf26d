"""The unchanged asynchronous SDK against the broker."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
)
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusError,
)

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

    from local.service_bus import Broker
    from tests.conformance.service_bus_sdk.conftest import Links

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 5
QUIET_SECONDS = 0.3
"""How long a receiver looks before we believe that there is nothing."""
DEAD_LETTERS = ("dead", "dead-twice", "exhausted", "expiring")
PAIRS: dict[str, dict[str, Any]] = {
    "deleted": {"receive_mode": ServiceBusReceiveMode.RECEIVE_AND_DELETE},
    **{
        queue: {}
        for queue in (
            *("plain", "annotated", "settling", "dead", "dead-twice", "exhausted", "deferred", "short-lock"),
            *("lost-lock", "renewed", "auto-renewed", "batch", "scheduled", "cancelled", "peeked"),
            *("expiring", "duplicates", "competing", "closing", "vanishing", "large"),
        )
    },
}


async def receive_one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = await receiver.receive_messages(1, WAIT_SECONDS)
    return message


async def receive_all(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    received: list[ServiceBusReceivedMessage] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(received) < count and time.monotonic() < deadline:
        received += await receiver.receive_messages(count - len(received), 1)
    return received


async def assert_empty(receiver: ServiceBusReceiver) -> None:
    assert await receiver.receive_messages(1, QUIET_SECONDS) == []


def texts(messages: list[ServiceBusReceivedMessage]) -> list[str]:
    return [str(message) for message in messages]


async def test_a_message_arrives_with_all_it_was_sent_with(links: Links) -> None:
    sender, receiver = links.pair("plain")
    properties: dict[str | bytes, Any] = {"text": "é", "number": 7, "real": 1.5, "flag": True}
    await sender.send_messages(
        ServiceBusMessage(
            b"body",
            application_properties=properties,
            message_id="id",
            correlation_id="correlation",
            subject="subject",
            content_type="text/plain",
            to="to",
            reply_to="reply",
            partition_key="key",
            time_to_live=dt.timedelta(minutes=5),
        )
    )
    got = await receive_one(receiver)
    assert b"".join(got.body) == b"body"
    assert got.application_properties == {b"text": "é".encode(), b"number": 7, b"real": 1.5, b"flag": True}
    assert (got.message_id, got.correlation_id, got.subject) == ("id", "correlation", "subject")
    assert (got.content_type, got.to, got.reply_to) == ("text/plain", "to", "reply")
    assert (got.partition_key, got.time_to_live) == ("key", dt.timedelta(minutes=5))
    assert (got.delivery_count, got.state) == (0, ServiceBusMessageState.ACTIVE)
    assert got.sequence_number == got.enqueued_sequence_number == 1
    now = dt.datetime.now(dt.UTC)
    assert got.enqueued_time_utc is not None
    assert abs(now - got.enqueued_time_utc) < dt.timedelta(seconds=5)
    assert got.locked_until_utc is not None
    assert dt.timedelta(seconds=50) < got.locked_until_utc - now < dt.timedelta(seconds=61)
    assert got.lock_token == (got.raw_amqp_message.delivery_annotations or {})[b"x-opt-lock-token"]
    await receiver.complete_message(got)


async def test_a_body_of_any_type_and_annotations_of_the_sender_arrive(links: Links) -> None:
    sender, receiver = links.pair("annotated")
    await sender.send_messages(
        AmqpAnnotatedMessage(value_body={"a": [1, None]}, delivery_annotations={"mine": "kept"})
    )
    raw = (await receive_one(receiver)).raw_amqp_message
    assert raw.body_type is AmqpMessageBodyType.VALUE
    assert raw.body == {b"a": [1, None]}
    assert (raw.delivery_annotations or {})[b"mine"] == b"kept"


async def test_settling_decides_what_comes_next(links: Links) -> None:
    sender, receiver = links.pair("settling")
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    await receiver.abandon_message(await receive_one(receiver))
    again = await receive_one(receiver)
    assert (str(again), again.delivery_count) == ("a", 1)
    await receiver.complete_message(again)
    await receiver.complete_message(await receive_one(receiver))
    await assert_empty(receiver)


async def test_a_dead_letter_tells_why_and_can_be_received(links: Links) -> None:
    sender, receiver = links.pair("dead")
    dead = links.dead_letters("dead")
    await sender.send_messages(ServiceBusMessage("x", application_properties={"mine": 1}, message_id="id"))
    await receiver.dead_letter_message(await receive_one(receiver), "why", "because")
    letter = await receive_one(dead)
    assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("why", "because")
    assert (letter.dead_letter_source, letter.message_id) == ("dead", "id")
    assert (letter.application_properties or {})[b"mine"] == 1
    await dead.abandon_message(letter)
    await dead.complete_message(await receive_one(dead))
    await assert_empty(dead)


async def test_a_dead_letter_cannot_be_dead_lettered(broker: Broker, links: Links) -> None:
    sender, receiver = links.pair("dead-twice")
    dead = links.dead_letters("dead-twice")
    await sender.send_messages(ServiceBusMessage("x"))
    await receiver.dead_letter_message(await receive_one(receiver))
    with pytest.raises(ServiceBusError, match="cannot be dead-lettered"):
        await dead.dead_letter_message(await receive_one(dead))
    assert sum(broker.queue("dead-twice/$DeadLetterQueue").count().values()) == 1


async def test_a_message_that_always_fails_becomes_a_dead_letter(links: Links) -> None:
    sender, receiver = links.pair("exhausted")
    dead = links.dead_letters("exhausted")
    await sender.send_messages(ServiceBusMessage("x"))
    for _ in range(2):
        await receiver.abandon_message(await receive_one(receiver))
    letter = await receive_one(dead)
    assert (letter.dead_letter_reason, letter.delivery_count) == ("MaxDeliveryCountExceeded", 2)
    await assert_empty(receiver)


async def test_a_deferred_message_is_received_by_its_number(links: Links) -> None:
    sender, receiver = links.pair("deferred")
    await sender.send_messages([ServiceBusMessage(text) for text in "abcd"])
    messages = await receive_all(receiver, 4)
    for message in messages:
        await receiver.defer_message(message)
    await assert_empty(receiver)
    numbers = [message.sequence_number or 0 for message in messages]
    deferred = await receiver.receive_deferred_messages(numbers)
    assert [message.state for message in deferred] == [ServiceBusMessageState.DEFERRED] * 4
    completed, abandoned, dead, again = deferred
    await receiver.complete_message(completed)
    await receiver.abandon_message(abandoned)
    await receiver.dead_letter_message(dead, "why")
    await receiver.defer_message(again)
    with pytest.raises(MessageNotFoundError):
        await receiver.receive_deferred_messages(numbers[0])
    assert len(await receiver.receive_deferred_messages([numbers[1], numbers[3]])) == 2


async def test_a_lock_expires_and_the_message_comes_again(links: Links) -> None:
    sender, receiver = links.pair("short-lock")
    await sender.send_messages(ServiceBusMessage("x"))
    lost = await receive_one(receiver)
    again = await receive_one(receiver)
    assert again.delivery_count == 1
    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(lost)
    with pytest.raises(MessageLockLostError):
        await receiver.renew_message_lock(lost)
    await receiver.complete_message(again)


async def test_the_broker_itself_refuses_to_settle_without_a_lock(links: Links) -> None:
    sender, receiver = links.pair("lost-lock")
    await sender.send_messages(ServiceBusMessage("x"))
    lost = await receive_one(receiver)
    message_annotations: Any = lost.raw_amqp_message.annotations
    message_annotations[b"x-opt-locked-until"] += 60_000  # the SDK believes it holds the lock
    lost._expiry = None
    await asyncio.sleep(0.6)
    with pytest.raises(MessageLockLostError, match="The lock supplied is invalid"):
        await receiver.complete_message(lost)


async def test_a_renewed_lock_lasts_longer(links: Links) -> None:
    sender, receiver = links.pair("renewed")
    await sender.send_messages(ServiceBusMessage("x"))
    message = await receive_one(receiver)
    before = message.locked_until_utc
    await asyncio.sleep(0.5)
    after = await receiver.renew_message_lock(message)
    assert before is not None
    assert after > before
    await asyncio.sleep(0.5)
    await receiver.complete_message(message)


async def test_the_sdks_renewer_keeps_a_lock(links: Links) -> None:
    sender, receiver = links.pair("auto-renewed")
    await sender.send_messages(ServiceBusMessage("x"))
    async with AutoLockRenewer() as renewer:
        vars(renewer)["_sleep_time"] = 0.2  # its second is longer than the lock
        message = await receive_one(receiver)
        renewer.register(receiver, message, max_lock_renewal_duration=10)
        await asyncio.sleep(1)
        await receiver.complete_message(message)


async def test_receive_and_delete_leaves_nothing(links: Links) -> None:
    sender, receiver = links.pair("deleted")
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    assert texts(await receive_all(receiver, 2)) == ["a", "b"]
    assert await receiver.peek_messages(5, sequence_number=1) == []


async def test_a_batch_arrives_as_its_messages(links: Links) -> None:
    sender, receiver = links.pair("batch")
    batch = await sender.create_message_batch()
    for number in range(20):
        batch.add_message(ServiceBusMessage(str(number), message_id=f"id-{number}"))
    await sender.send_messages(batch)
    await sender.send_messages([ServiceBusMessage(str(number)) for number in range(20, 25)])
    assert texts(await receive_all(receiver, 25)) == [str(number) for number in range(25)]


async def test_scheduled_messages_come_when_they_are_due(links: Links) -> None:
    sender, receiver = links.pair("scheduled")
    due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.8)
    await sender.send_messages(ServiceBusMessage("by annotation", scheduled_enqueue_time_utc=due))
    assert len(await sender.schedule_messages(ServiceBusMessage("by request"), due)) == 1
    peeked = await receiver.peek_messages(5)
    assert [message.state for message in peeked] == [ServiceBusMessageState.SCHEDULED] * 2
    messages = await receive_all(receiver, 2)
    assert sorted(texts(messages)) == ["by annotation", "by request"]
    for message in messages:
        assert message.enqueued_time_utc is not None
        assert message.enqueued_time_utc >= due - dt.timedelta(milliseconds=1)


async def test_a_cancelled_schedule_never_comes(links: Links) -> None:
    sender, receiver = links.pair("cancelled")
    due = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    numbers = await sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], due)
    await sender.cancel_scheduled_messages(numbers)
    assert await receiver.peek_messages(5) == []
    with pytest.raises(MessageNotFoundError):
        await sender.cancel_scheduled_messages(numbers[0])


async def test_peeking_goes_on_from_where_it_was_and_locks_nothing(links: Links) -> None:
    sender, receiver = links.pair("peeked")
    await sender.send_messages([ServiceBusMessage(text) for text in "abc"])
    assert texts(await receiver.peek_messages(2)) == ["a", "b"]
    assert texts(await receiver.peek_messages(2)) == ["c"]
    assert texts(await receiver.peek_messages(1, sequence_number=2)) == ["b"]
    assert len(await receive_all(receiver, 3)) == 3


async def test_an_expired_message_becomes_a_dead_letter(links: Links) -> None:
    (sender, _), dead = links.pair("expiring"), links.dead_letters("expiring")
    await sender.send_messages(ServiceBusMessage("x"))
    await sender.send_messages(ServiceBusMessage("y", time_to_live=dt.timedelta(milliseconds=100)))
    letters = await receive_all(dead, 2)
    assert texts(letters) == ["y", "x"]
    assert {letter.dead_letter_reason for letter in letters} == {"TTLExpiredException"}


async def test_a_repeated_message_id_is_accepted_and_dropped(links: Links) -> None:
    sender, receiver = links.pair("duplicates")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    await sender.send_messages(ServiceBusMessage("first", message_id="a"))
    await sender.send_messages(ServiceBusMessage("second", message_id="a"))
    await sender.schedule_messages(ServiceBusMessage("planned", message_id="b"), later)
    await sender.send_messages(ServiceBusMessage("planned again", message_id="b"))
    assert texts(await receiver.peek_messages(9)) == ["first", "planned"]


async def test_competing_receivers_share_no_message(links: Links) -> None:
    total = 100
    sender, one = links.pair("competing")
    two = await links.receiver("competing")
    await sender.send_messages([ServiceBusMessage(str(number)) for number in range(total)])
    done: list[str] = []

    async def work(receiver: ServiceBusReceiver) -> int:
        count = 0
        while len(done) < total:
            for message in await receiver.receive_messages(5, 0.5):
                done.append(str(message))
                count += 1
                await receiver.complete_message(message)
        return count

    counts = await asyncio.gather(work(one), work(two))
    assert sorted(map(int, done)) == list(range(total))
    assert all(counts)


async def test_messages_prefetched_and_not_used_come_back_at_once(links: Links) -> None:
    sender, receiver = await asyncio.gather(
        links.sender("prefetched"), links.receiver("prefetched", prefetch_count=10)
    )
    await sender.send_messages([ServiceBusMessage(text) for text in "abc"])
    await receiver.complete_message(await receive_one(receiver))
    _, other = await asyncio.gather(receiver.close(), links.receiver("prefetched"))
    messages = await receive_all(other, 2)
    assert [(str(message), message.delivery_count) for message in messages] == [("b", 0), ("c", 0)]


@pytest.mark.parametrize("queue", ["closing", "vanishing"])
async def test_what_a_client_leaves_behind_stays_locked_until_the_lock_expires(
    broker: Broker, links: Links, queue: str
) -> None:
    sender, other = links.pair(queue)
    leaver = ServiceBusClient.from_connection_string(broker.connection_string)
    receiver = leaver.get_queue_receiver(queue)
    await receiver.__aenter__()
    await sender.send_messages([ServiceBusMessage("for both"), ServiceBusMessage("of them")])
    left = await receive_one(receiver)
    await other.complete_message(await receive_one(other))
    if queue == "vanishing":
        handler: Any = receiver._handler
        handler._connection._transport.writer.transport.abort()
    else:
        await receiver.close()
    message = await receive_one(other)
    assert left.locked_until_utc is not None
    assert dt.datetime.now(dt.UTC) >= left.locked_until_utc
    assert (str(message), message.delivery_count) == (str(left), 1)
    await other.complete_message(message)
    await leaver.close()


async def test_a_message_that_is_too_large_is_refused(links: Links) -> None:
    sender, receiver = links.pair("large")
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * (256 * 1024)))
    fits = b"x" * (255 * 1024)
    await sender.send_messages(ServiceBusMessage(fits))
    message = await receive_one(receiver)
    assert b"".join(message.body) == fits
    await receiver.complete_message(message)


async def test_a_topic_gives_every_subscription_a_copy(links: Links) -> None:
    sender, one, two = await asyncio.gather(
        links.open(links.client.get_topic_sender("news")),
        links.open(links.client.get_subscription_receiver("news", "first")),
        links.open(links.client.get_subscription_receiver("news", "second")),
    )
    await sender.send_messages(ServiceBusMessage("x"))
    for receiver in (one, two):
        message = await receive_one(receiver)
        assert str(message) == "x"
        await receiver.complete_message(message)
