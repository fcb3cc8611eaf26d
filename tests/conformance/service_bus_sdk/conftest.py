"""One broker for all tests of the SDK, and links that are opened and closed together.

The broker has a thread of its own, since the synchronous SDK blocks its caller. The SDK takes half a
second to open a link and up to two to close it, whatever the server does; so tests share a client and
close nothing.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient

from local.service_bus import Broker, parse_namespace, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

# Every test has a queue of its own, so that nothing one leaves behind can meet another.
QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "settling": {},
    "annotated": {},
    "dead": {},
    "dead-twice": {},
    "lost-lock": {"LockDuration": "PT0.5S"},
    "exhausted": {"MaxDeliveryCount": 2},
    "deferred": {},
    "short-lock": {"LockDuration": "PT0.5S"},
    "renewed": {"LockDuration": "PT0.8S"},
    "auto-renewed": {"LockDuration": "PT0.8S"},
    "deleted": {},
    "batch": {},
    "scheduled": {},
    "cancelled": {},
    "peeked": {},
    "expiring": {"DefaultMessageTimeToLive": "PT0.4S", "DeadLetteringOnMessageExpiration": True},
    "vanishing": {"LockDuration": "PT0.5S"},
    "closing": {"LockDuration": "PT1S"},
    "prefetched": {},
    "competing": {},
    "duplicates": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT20S"},
    "large": {},
    "refused": {},
    "sync": {},
    "sync-renewed": {"LockDuration": "PT0.8S"},
    "sessions": {"RequiresSession": True},
    "sessions-next": {"RequiresSession": True},
    "sessions-state": {"RequiresSession": True},
    "sessions-lost": {"RequiresSession": True, "LockDuration": "PT0.8S"},
    "sessions-renewed": {"RequiresSession": True, "LockDuration": "PT0.8S"},
    "sync-sessions": {"RequiresSession": True},
}


def _document() -> dict[str, Any]:
    queues = [{"Name": name, "Properties": properties} for name, properties in QUEUES.items()]
    topics = [{"Name": "news", "Subscriptions": [{"Name": "first"}, {"Name": "second"}]}]
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": queues, "Topics": topics}]}}


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    started: list[Broker] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(parse_namespace(_document())) as broker:
            started.append(broker)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="broker")
    thread.start()
    assert ready.wait(10)
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


class Links:
    """Senders and receivers, many of them opened in advance, all closed at the same time."""

    def __init__(self, client: ServiceBusClient) -> None:
        self.client = client
        self._opened: list[ServiceBusSender | ServiceBusReceiver] = []
        self._pairs: dict[str, tuple[ServiceBusSender, ServiceBusReceiver]] = {}
        self._dead: dict[str, ServiceBusReceiver] = {}

    async def open[Handler: ServiceBusSender | ServiceBusReceiver](self, handler: Handler) -> Handler:
        await handler.__aenter__()
        self._opened.append(handler)
        return handler

    async def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        return await self.open(self.client.get_queue_receiver(queue, **options))

    async def sender(self, queue: str) -> ServiceBusSender:
        return await self.open(self.client.get_queue_sender(queue))

    async def open_pair(self, queue: str, **options: Any) -> None:
        self._pairs[queue] = await asyncio.gather(self.sender(queue), self.receiver(queue, **options))

    async def open_dead_letters(self, queue: str) -> None:
        self._dead[queue] = await self.receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def pair(self, queue: str) -> tuple[ServiceBusSender, ServiceBusReceiver]:
        """A sender and a receiver that were opened in advance."""
        return self._pairs[queue]

    def dead_letters(self, queue: str) -> ServiceBusReceiver:
        """A receiver of dead letters that was opened in advance."""
        return self._dead[queue]

    async def close(self) -> None:
        await asyncio.gather(*(handler.close() for handler in self._opened))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def links(broker: Broker, request: pytest.FixtureRequest) -> AsyncIterator[Links]:
    """Links of the module's own; it names what to open in advance.

    ``PAIRS`` are queues to send to and to receive from, with options of the receiver; ``DEAD_LETTERS`` are
    queues whose dead letters are received.
    """
    async with ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0) as client:
        links = Links(client)
        pairs: dict[str, dict[str, Any]] = request.module.PAIRS
        await asyncio.gather(
            *(links.open_pair(queue, **options) for queue, options in pairs.items()),
            *(links.open_dead_letters(queue) for queue in request.module.DEAD_LETTERS),
        )
        yield links
        await links.close()
