"""What every message queue does, in memory and on Service Bus, and what the latter makes of failures."""

from __future__ import annotations

import asyncio
import signal
import time
import traceback
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from shared.adapters.memory import MemoryQueue
from shared.adapters.service_bus import CLOSE_TIMEOUT_SECONDS, SEND_TIMEOUT_SECONDS, ServiceBusQueue
from shared.errors import UnavailableError
from shared.ports import QueueMessage
from tests.conformance.adapters.backends import OTHER_QUEUE, QUEUE, BrokerAddress
from tests.conformance.adapters.running_part import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from azure.servicebus.aio import ServiceBusReceiver

    from shared.ports import MessageQueue

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARRIVAL_TIMEOUT_SECONDS = 10
NOTHING_MORE_SECONDS = 0.2
PROMPTLY_SECONDS = 4


@dataclass(frozen=True)
class Received:
    message_id: str
    body: bytes
    properties: Mapping[str, str]


class QueueBackend(Protocol):
    """A queue, and the other end of it."""

    @property
    def queue(self) -> MessageQueue: ...

    async def receive(self, count: int) -> list[Received]:
        """The next ``count`` messages, and whatever else is there by then."""
        ...


@dataclass
class MemoryBackend:
    queue: MemoryQueue

    async def receive(self, count: int) -> list[Received]:
        now = datetime.now(UTC)
        due_times = sorted(message.not_before or now for message in self.queue.messages)
        await asyncio.sleep(max(0, (due_times[count - 1] - now).total_seconds()))
        now = datetime.now(UTC)
        due = [message for message in self.queue.messages if (message.not_before or now) <= now]
        self.queue.messages = [message for message in self.queue.messages if message not in due]
        return [Received(message.message_id, message.body, message.properties) for message in due]


@dataclass
class ServiceBusBackend:
    queue: ServiceBusQueue
    receiver: ServiceBusReceiver

    async def receive(self, count: int) -> list[Received]:
        received: list[Received] = []
        deadline_seconds = time.monotonic() + ARRIVAL_TIMEOUT_SECONDS
        while len(received) < count and time.monotonic() < deadline_seconds:
            received += await self._next(wait_seconds=1)
        while more := await self._next(wait_seconds=NOTHING_MORE_SECONDS):
            received += more
        return received

    async def _next(self, *, wait_seconds: float) -> list[Received]:
        messages = await self.receiver.receive_messages(max_message_count=100, max_wait_time=wait_seconds)
        for message in messages:
            await self.receiver.complete_message(message)
        return [
            Received(
                str(message.message_id),
                b"".join(message.body),
                {_text(name): _text(value) for name, value in (message.application_properties or {}).items()},
            )
            for message in messages
        ]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "service bus"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[QueueBackend]:
    """One for all tests, which leave nothing in it: links take half a second to open and one to close."""
    if request.param == "memory":
        yield MemoryBackend(MemoryQueue())
        return
    broker: BrokerAddress = request.getfixturevalue("broker")
    queue = ServiceBusQueue.connect(QUEUE, connection_string=broker.connection_string)
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        receiver = client.get_queue_receiver(QUEUE)
        await asyncio.gather(receiver.__aenter__(), queue.check())
        yield ServiceBusBackend(queue, receiver)
        await asyncio.gather(receiver.close(), queue.close())


def message(body: bytes = b"{}", *, not_before: datetime | None = None, **properties: str) -> QueueMessage:
    return QueueMessage(uuid.uuid4().hex, body, properties, not_before)


async def test_where_telemetry_is_set_up_the_trace_of_a_message_is_ours_alone(backend: QueueBackend) -> None:
    from shared.adapters.azure_monitor_export import Exporters  # as the exporting thread does, when it starts

    Exporters("InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:9/")
    told = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    await backend.queue.send([QueueMessage(str(uuid.uuid4()), b"ring", told)])
    (received,) = await backend.receive(1)
    assert dict(received.properties) == told


async def test_a_message_arrives_as_it_was_sent(backend: QueueBackend) -> None:
    sent = message('{"name":"é 漢字 \\n"}'.encode(), correlation_id="c-1", traceparent="00-ab-cd-01")
    await backend.queue.send([sent])
    assert await backend.receive(1) == [Received(sent.message_id, sent.body, sent.properties)]


async def test_a_message_id_counts_once(backend: QueueBackend) -> None:
    first, second = message(b"first"), message(b"second")
    again = QueueMessage(first.message_id, b"again")
    await backend.queue.send([first, again])
    await backend.queue.send([again, second])
    assert [received.body for received in await backend.receive(2)] == [b"first", b"second"]


async def test_a_scheduled_message_is_not_seen_before_its_time(backend: QueueBackend) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    later, now = message(b"later", not_before=at), message(b"now")
    await backend.queue.send([later, now])
    assert [received.body for received in await backend.receive(1)] == [b"now"]
    assert datetime.now(UTC) < at
    assert [received.body for received in await backend.receive(1)] == [b"later"]
    assert datetime.now(UTC) >= at


async def test_more_messages_than_fit_into_one_transfer(backend: QueueBackend) -> None:
    sent = [message(bytes([number % 256]) * 4096) for number in range(300)]
    await backend.queue.send(sent)
    received = await backend.receive(len(sent))
    assert [one.message_id for one in received] == [one.message_id for one in sent]
    assert [one.body for one in received] == [one.body for one in sent]


async def test_a_message_that_fits_nowhere_is_refused_and_nothing_is_sent(backend: QueueBackend) -> None:
    many = [message(bytes(4096)) for _ in range(100)]
    with pytest.raises(ValueError, match="too large"):
        await backend.queue.send([*many, message(bytes(300_000))])
    await backend.queue.send([message(b"next")])
    assert [received.body for received in await backend.receive(1)] == [b"next"]


async def test_nothing_to_send_is_no_error(backend: QueueBackend) -> None:
    await backend.queue.send([])


async def test_many_send_at_once(backend: QueueBackend) -> None:
    sent = [message(str(number).encode()) for number in range(40)]
    await asyncio.gather(*(backend.queue.send([one]) for one in sent))
    received = await backend.receive(len(sent))
    assert {one.message_id for one in received} == {one.message_id for one in sent}
    assert len(received) == len(sent)


async def test_a_cancelled_send_does_not_disturb_the_next(backend: QueueBackend) -> None:
    await backend.queue.send([message()])
    with suppress(TimeoutError):  # a twin that needs no time is not cancelled
        async with asyncio.timeout(0.005):
            await backend.queue.send([message(bytes(4096)) for _ in range(200)])
    await backend.queue.send([message(b"next")])
    assert b"next" in [received.body for received in await backend.receive(2)]


async def test_a_new_queue_takes_many_sends_at_once(broker: BrokerAddress) -> None:
    queue = ServiceBusQueue.connect(OTHER_QUEUE, connection_string=broker.connection_string)
    await asyncio.gather(*(queue.send([message()]) for _ in range(20)))
    await queue.close()


@pytest.fixture
def own_broker(broker_config: Path) -> Iterator[OwnBroker]:
    """A broker that the test may stop."""
    broker = OwnBroker(BrokerAddress(unused_port()), broker_config)
    yield broker
    broker.part.stop()


class OwnBroker:
    def __init__(self, address: BrokerAddress, config: Path) -> None:
        self.address = address
        self.part = address.process(config)

    def connect(self, send_timeout_seconds: float = SEND_TIMEOUT_SECONDS) -> ServiceBusQueue:
        return ServiceBusQueue.connect(
            QUEUE,
            connection_string=self.address.connection_string,
            send_timeout_seconds=send_timeout_seconds,
        )

    def signal(self, number: signal.Signals) -> None:
        assert self.part.process is not None
        self.part.process.send_signal(number)


async def test_a_broker_that_is_down_is_reported_promptly_and_comes_back(own_broker: OwnBroker) -> None:
    queue = own_broker.connect()
    await reports_unavailable(queue, within_seconds=PROMPTLY_SECONDS)
    own_broker.part.start()
    await queue.send([message()])
    own_broker.part.stop()
    own_broker.part.start()
    await queue.send([message()])  # the link of before is broken; another one is opened
    own_broker.part.stop()
    await reports_unavailable(queue, within_seconds=PROMPTLY_SECONDS)
    await queue.close()


async def test_a_silent_broker_is_not_waited_for_without_end(own_broker: OwnBroker) -> None:
    send_timeout_seconds = 1.5
    queue = own_broker.connect(send_timeout_seconds)
    own_broker.part.start()
    await queue.send([message()])
    own_broker.signal(signal.SIGSTOP)
    try:
        limit_seconds = send_timeout_seconds + CLOSE_TIMEOUT_SECONDS + 1
        async with asyncio.TaskGroup() as sends:  # also those that wait for their turn
            for _ in range(3):
                sends.create_task(reports_unavailable(queue, within_seconds=limit_seconds))
    finally:
        own_broker.signal(signal.SIGCONT)
    await queue.send([message()])
    await queue.close()


async def test_a_missing_queue_and_a_wrong_key_are_unavailable(broker: BrokerAddress) -> None:
    wrong_key = replace(broker, key="wrong-key-value")
    strangers = {
        broker.key: ServiceBusQueue.connect("no-such-queue", connection_string=broker.connection_string),
        wrong_key.key: ServiceBusQueue.connect(QUEUE, connection_string=wrong_key.connection_string),
    }
    async with asyncio.TaskGroup() as tries:
        for secret, queue in strangers.items():
            tries.create_task(
                reports_unavailable(queue, within_seconds=SEND_TIMEOUT_SECONDS + 1, secret=secret)
            )
    for queue in strangers.values():
        await queue.close()


async def reports_unavailable(
    queue: ServiceBusQueue, *, within_seconds: float, secret: str = BrokerAddress.key
) -> None:
    started_seconds = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        await queue.send([message()])
    assert time.monotonic() - started_seconds < within_seconds
    assert secret not in "".join(traceback.format_exception(raised.value))
    assert "127.0.0.1" not in raised.value.detail
