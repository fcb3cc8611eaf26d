"""What every dead-letter queue does, in memory and on Service Bus, and what the latter makes of failures."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient

from shared.adapters.dead_letters import ServiceBusDeadLetters
from shared.adapters.memory_dead_letters import MemoryDeadLetters
from shared.errors import UnavailableError
from tests.conformance.adapters.backends import QUEUE, BrokerAddress
from tests.conformance.adapters.running_part import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from azure.servicebus.aio import ServiceBusReceiver

    from shared.ports import DeadLetter, DeadLetterQueue

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASON = "as the test wants it"
ARRIVAL_TIMEOUT_SECONDS = 20


class Backend(Protocol):
    """A dead-letter queue, and what else can be done to it."""

    @property
    def dead(self) -> DeadLetterQueue: ...

    async def add(self, bodies: Sequence[bytes], **properties: str) -> list[str]:
        """Dead-letter a message for each body; returns their ids."""

    async def hold_first(self, count: int) -> Callable[[], Awaitable[None]]:
        """Lock the first messages as somebody else; the answer unlocks them."""

    async def refuse_first(self, times: int) -> None:
        """Take the first message and give it back, as somebody else."""

    async def left(self) -> dict[int, str]:
        """What is there by another's eyes: ids by sequence number."""


@dataclass
class MemoryBackend:
    dead: MemoryDeadLetters

    async def add(self, bodies: Sequence[bytes], **properties: str) -> list[str]:
        ids = [uuid.uuid4().hex for _ in bodies]
        for id_, body in zip(ids, bodies, strict=True):
            self.dead.add(id_, body, enqueued_at=datetime.now(UTC), reason=REASON, properties=properties)
        return ids

    async def hold_first(self, count: int) -> Callable[[], Awaitable[None]]:
        self.dead.held_elsewhere |= set(sorted(self.dead.letters)[:count])

        async def let_go() -> None:
            self.dead.held_elsewhere.clear()

        return let_go

    async def refuse_first(self, times: int) -> None:
        for _ in range(times):
            await self.dead.take({min(self.dead.letters)}, no)

    async def left(self) -> dict[int, str]:
        return {number: letter.message_id for number, letter in sorted(self.dead.letters.items())}


@dataclass
class ServiceBusBackend:
    dead: ServiceBusDeadLetters
    client: ServiceBusClient
    receiver: ServiceBusReceiver
    looker: ServiceBusReceiver
    """Looks at the dead letters and takes none."""

    async def add(self, bodies: Sequence[bytes], **properties: str) -> list[str]:
        ids = [uuid.uuid4().hex for _ in bodies]
        told: dict[str | bytes, Any] = dict(properties.items())
        async with self.client.get_queue_sender(QUEUE) as sender:
            batch = await sender.create_message_batch()
            for id_, body in zip(ids, bodies, strict=True):
                batch.add_message(ServiceBusMessage(body, message_id=id_, application_properties=told))
            await sender.send_messages(batch)
        left, deadline = set(ids), time.monotonic() + ARRIVAL_TIMEOUT_SECONDS
        while left:
            assert time.monotonic() < deadline, f"{len(left)} messages did not arrive"
            for message in await self.receiver.receive_messages(100, max_wait_time=1):
                left.discard(str(message.message_id))
                await self.receiver.dead_letter_message(message, reason=REASON)
        return ids

    async def hold_first(self, count: int) -> Callable[[], Awaitable[None]]:
        receiver = self.client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        await receiver.__aenter__()
        held = await receiver.receive_messages(count, max_wait_time=5)
        assert len(held) == count

        async def let_go() -> None:
            for message in held:
                await receiver.abandon_message(message)
            await receiver.close()

        return let_go

    async def refuse_first(self, times: int) -> None:
        async with self.client.get_queue_receiver(
            QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ) as receiver:
            for _ in range(times):
                (message,) = await receiver.receive_messages(1, max_wait_time=5)
                await receiver.abandon_message(message)

    async def left(self) -> dict[int, str]:
        found = await self.looker.peek_messages(1000, sequence_number=1)
        return {message.sequence_number or 0: str(message.message_id) for message in found}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "service bus"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """One for all tests, which leave nothing in it."""
    if request.param == "memory":
        yield MemoryBackend(MemoryDeadLetters())
        return
    broker: BrokerAddress = request.getfixturevalue("broker")
    dead = ServiceBusDeadLetters.connect(QUEUE, connection_string=broker.connection_string)
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        looker = client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        async with client.get_queue_receiver(QUEUE) as receiver, looker:
            yield ServiceBusBackend(dead, client, receiver, looker)
        await dead.close()


async def yes(_: DeadLetter) -> bool:
    return True


async def no(_: DeadLetter) -> bool:
    return False


async def take_all(backend: Backend) -> None:
    """Nothing is left, nor locked."""
    left = await backend.left()
    assert await backend.dead.take(left.keys(), yes) == len(left)
    assert await backend.left() == {}


async def test_nothing_is_there_and_nothing_is_taken(backend: Backend) -> None:
    assert await backend.dead.peek(limit=10) == []
    assert await backend.dead.take(set(), yes) == 0
    assert await backend.dead.take({1, 99_999}, yes) == 0


async def test_letters_are_shown_as_they_were_sent_page_by_page_and_stay(backend: Backend) -> None:
    bodies = [b"", b"\xff\x00 not JSON", b"{}"]
    ids = await backend.add(bodies, delivery_id="d-1", file_id="f-1")
    first_page = await backend.dead.peek(limit=2)
    following = first_page[-1].sequence_number + 1
    letters = [*first_page, *await backend.dead.peek(from_sequence_number=following, limit=2)]
    assert [letter.message_id for letter in letters] == ids
    assert [letter.body for letter in letters] == bodies
    for letter in letters:
        assert letter.reason == REASON
        assert {"delivery_id": "d-1", "file_id": "f-1"}.items() <= letter.properties.items()
        assert abs(datetime.now(UTC) - letter.enqueued_at) < timedelta(minutes=1)
    assert list((await backend.left()).values()) == ids
    await take_all(backend)


async def test_only_what_is_wanted_and_settled_goes(backend: Backend) -> None:
    ids = await backend.add([b"%d" % number for number in range(6)])
    numbers = {id_: number for number, id_ in (await backend.left()).items()}
    asked: list[str] = []

    async def settle(letter: DeadLetter) -> bool:
        asked.append(letter.message_id)
        return letter.message_id != ids[3]

    wanted = {numbers[ids[index]] for index in (1, 3, 5)}
    assert await backend.dead.take(wanted, settle) == 2
    assert sorted(asked) == sorted([ids[1], ids[3], ids[5]])
    assert list((await backend.left()).values()) == [ids[0], ids[2], ids[3], ids[4]]
    await take_all(backend)


async def test_a_letter_whose_settling_fails_stays_and_the_failure_is_told(backend: Backend) -> None:
    ids = await backend.add([b"bad"])

    async def fail(_: DeadLetter) -> bool:
        raise UnavailableError("the table does not answer")

    with pytest.raises(UnavailableError, match="the table does not answer"):
        await backend.dead.take((await backend.left()).keys(), fail)
    assert list((await backend.left()).values()) == ids
    await take_all(backend)


async def test_a_letter_that_is_refused_many_times_is_not_lost(backend: Backend) -> None:
    """More often than the queue itself delivers a message before it makes a dead letter of it."""
    ids = await backend.add([b"stays", b"stays, too"])
    await backend.refuse_first(times=12)
    assert await backend.dead.take({min(await backend.left())}, no) == 0
    assert list((await backend.left()).values()) == ids
    await take_all(backend)


async def test_what_somebody_else_holds_is_passed_over(backend: Backend) -> None:
    ids = await backend.add([b"held", b"held", b"free"])
    let_go = await backend.hold_first(2)
    assert await backend.dead.take((await backend.left()).keys(), yes) == 1
    assert list((await backend.left()).values()) == ids[:2]
    await let_go()
    await take_all(backend)


async def test_two_who_take_at_once_do_not_take_the_same(backend: Backend) -> None:
    await backend.add([b"%d" % number for number in range(20)])
    wanted = (await backend.left()).keys()
    taken: list[int] = []

    async def settle(letter: DeadLetter) -> bool:
        taken.append(letter.sequence_number)
        await asyncio.sleep(0.01)
        return True

    counts = await asyncio.gather(*(backend.dead.take(wanted, settle) for _ in range(2)))
    assert sum(counts) == len(wanted)
    assert sorted(taken) == sorted(wanted)
    assert await backend.left() == {}


async def test_five_hundred_letters(backend: Backend) -> None:
    ids = await backend.add([bytes(100) for _ in range(500)])
    letters = await backend.dead.peek(limit=1000)
    assert [letter.message_id for letter in letters] == ids
    last_hundred = {letter.sequence_number for letter in letters[400:]}
    assert await backend.dead.take(last_hundred, yes) == 100
    assert list((await backend.left()).values()) == ids[:400]
    await take_all(backend)


async def test_a_broker_that_is_not_there_is_told_of_soon() -> None:
    address = BrokerAddress(unused_port())
    dead = ServiceBusDeadLetters.connect(
        QUEUE,
        connection_string=address.connection_string,
        peek_timeout_seconds=0.5,
        take_timeout_seconds=0.5,
    )
    for call in (dead.peek(limit=1), dead.take({1}, yes)):
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await call
        assert time.monotonic() - began < 4
    await dead.close()


async def test_a_queue_that_does_not_exist_is_unavailable(broker: BrokerAddress) -> None:
    dead = ServiceBusDeadLetters.connect("nobody", connection_string=broker.connection_string)
    with pytest.raises(UnavailableError):
        await dead.peek(limit=1)
    await dead.close()


async def test_without_a_connection_string_the_namespace_needs_a_credential() -> None:
    with pytest.raises(ValueError, match="credential"):
        ServiceBusDeadLetters.connect(QUEUE, namespace="dropbell.servicebus.windows.net")
