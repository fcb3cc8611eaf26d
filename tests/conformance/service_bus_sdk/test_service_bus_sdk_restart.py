"""The broker as a process with a data folder: killed and started again, nothing is missing.

Each test has a queue of its own, so that none depends on what another one did before it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from azure.servicebus.aio import ServiceBusReceiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 5
QUEUES: dict[str, dict[str, Any]] = {
    "states": {},
    "duplicates": {"RequiresDuplicateDetection": True},
    "sessions": {"RequiresSession": True},
    "stream": {},
}


class BrokerProcess:
    """The broker as its users start it; on the same port each time."""

    def __init__(self, folder: Path) -> None:
        entities = [{"Name": name, "Properties": properties} for name, properties in QUEUES.items()]
        self._config = folder / "config.json"
        self._config.write_text(
            json.dumps({"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": entities}]}})
        )
        self._data_dir = folder / "data"
        self._port = 0

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local.service_bus", "--config", self._config),
            *("--data-dir", self._data_dir, "--port", str(self._port)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        self.connection_string = line.partition(" - ")[2].strip()
        self._port = int(line.split("127.0.0.1:")[1].split()[0])

    async def stop(self) -> int:
        self._process.terminate()
        return await self._process.wait()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    def client(self) -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(self.connection_string, retry_total=0)


@asynccontextmanager
async def opened(*handlers: Any) -> AsyncIterator[Any]:
    """Links, opened and closed all at the same time."""
    try:
        yield await asyncio.gather(*(handler.__aenter__() for handler in handlers))
    finally:
        await asyncio.gather(*(handler.close() for handler in handlers))


async def receive(receiver: ServiceBusReceiver, count: int) -> list[Any]:
    messages: list[Any] = []
    while len(messages) < count:
        more = await receiver.receive_messages(count - len(messages), WAIT_SECONDS)
        assert more, f"{count - len(messages)} messages are missing"
        messages += more
    return messages


@dataclass
class Lives:
    """What the first broker was told, and links to the second one."""

    soon: dt.datetime
    failed: Any = None
    deferred: int = 0
    planned: int = 0
    known: int = 0
    streamed: list[str] = field(default_factory=list)
    sender: Any = None
    receiver: Any = None
    dead_letters: Any = None
    duplicates_sender: Any = None
    duplicates_receiver: Any = None
    session_receiver: Any = None
    stream_receiver: Any = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lives(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lives]:
    """A broker that was killed in the middle of its work, and the next one."""
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    await broker.start()
    lives = Lives(soon=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1.5))
    await live_first(broker, lives)
    await broker.start()
    async with (
        broker.client() as client,
        opened(
            client.get_queue_sender("states"),
            client.get_queue_receiver("states"),
            client.get_queue_receiver("states", sub_queue=ServiceBusSubQueue.DEAD_LETTER),
            client.get_queue_sender("duplicates"),
            client.get_queue_receiver("duplicates"),
            client.get_queue_receiver("sessions", session_id="s"),
            client.get_queue_receiver("stream"),
        ) as links,
    ):
        lives.sender, lives.receiver, lives.dead_letters = links[:3]
        lives.duplicates_sender, lives.duplicates_receiver = links[3:5]
        lives.session_receiver, lives.stream_receiver = links[5:]
        yield lives
    assert await broker.stop() == 0


async def live_first(broker: BrokerProcess, lives: Lives) -> None:
    async with (
        broker.client() as client,
        opened(
            client.get_queue_sender("states"),
            client.get_queue_receiver("states"),
            client.get_queue_sender("duplicates"),
            client.get_queue_receiver("duplicates"),
            client.get_queue_sender("sessions"),
            client.get_queue_receiver("sessions", session_id="s"),
            client.get_queue_sender("stream"),
        ) as links,
    ):
        sender, receiver, duplicates_sender, duplicates_receiver = links[:4]
        session_sender, session_receiver, stream = links[4:]
        await duplicates_sender.send_messages(ServiceBusMessage("once", message_id="known"))
        (once,) = await receive(duplicates_receiver, 1)
        await duplicates_receiver.complete_message(once)
        lives.known = once.sequence_number
        names = ("completed", "deferred", "dead", "failed", "locked")
        await sender.send_messages([ServiceBusMessage(name, message_id=name) for name in names])
        completed, deferred, dead, lives.failed, _ = await receive(receiver, 5)
        await receiver.complete_message(completed)
        await receiver.defer_message(deferred)
        await receiver.dead_letter_message(dead, "why", "because")
        await receiver.abandon_message(lives.failed)
        lives.deferred = deferred.sequence_number
        await sender.schedule_messages(ServiceBusMessage("scheduled"), lives.soon)
        later = lives.soon + dt.timedelta(hours=1)
        (lives.planned,) = await sender.schedule_messages(ServiceBusMessage("planned"), later)
        await session_sender.send_messages(ServiceBusMessage("in a session", session_id="s"))
        await session_receiver.session.set_state("half way")
        await kill_while_sending(broker, stream, lives.streamed)


async def kill_while_sending(broker: BrokerProcess, sender: Any, accepted: list[str]) -> None:
    async def send() -> None:
        for number in range(100_000):
            await sender.send_messages(ServiceBusMessage(str(number)))
            accepted.append(str(number))

    sending = asyncio.create_task(send())
    while len(accepted) < 100 and not sending.done():  # noqa: ASYNC110 - the SDK tells of nothing
        await asyncio.sleep(0.01)
    await broker.kill()
    with pytest.raises(ServiceBusError):
        await sending


async def test_every_message_accepted_before_the_kill_is_there(lives: Lives) -> None:
    peeked = await lives.stream_receiver.peek_messages(len(lives.streamed))
    assert [str(message) for message in peeked] == lives.streamed


async def test_messages_of_every_state_are_there(lives: Lives) -> None:
    peeked = {str(message): message for message in await lives.receiver.peek_messages(9)}
    assert sorted(peeked) == ["deferred", "failed", "locked", "planned", "scheduled"]
    assert peeked["deferred"].state is ServiceBusMessageState.DEFERRED
    assert peeked["planned"].state is ServiceBusMessageState.SCHEDULED
    messages = {str(message): message for message in await receive(lives.receiver, 3)}
    assert sorted(messages) == ["failed", "locked", "scheduled"]
    assert [messages[name].sequence_number for name in ("failed", "locked")] == [4, 5]
    assert [messages[name].delivery_count for name in ("failed", "locked")] == [1, 0]
    assert messages["failed"].enqueued_time_utc == lives.failed.enqueued_time_utc
    assert messages["scheduled"].enqueued_time_utc >= lives.soon - dt.timedelta(milliseconds=1)
    (deferred,) = await lives.receiver.receive_deferred_messages(lives.deferred)
    for message in (*messages.values(), deferred):
        await lives.receiver.complete_message(message)
    await lives.sender.cancel_scheduled_messages(lives.planned)
    assert await lives.receiver.peek_messages(9, sequence_number=1) == []


async def test_a_dead_letter_is_there_with_its_reason(lives: Lives) -> None:
    (letter,) = await receive(lives.dead_letters, 1)
    assert str(letter) == "dead"
    assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("why", "because")
    assert letter.dead_letter_source == "states"


async def test_duplicates_are_known_and_sequence_numbers_go_on(lives: Lives) -> None:
    await lives.duplicates_sender.send_messages(ServiceBusMessage("again", message_id="known"))
    await lives.duplicates_sender.send_messages(ServiceBusMessage("new"))
    (new,) = await receive(lives.duplicates_receiver, 1)
    assert str(new) == "new"
    assert new.sequence_number > lives.known
    await lives.duplicates_receiver.complete_message(new)


async def test_a_session_has_its_messages_and_its_state(lives: Lives) -> None:
    (message,) = await receive(lives.session_receiver, 1)
    assert str(message) == "in a session"
    assert await lives.session_receiver.session.get_state() == b"half way"
