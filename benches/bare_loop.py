"""What a delivery cannot do without and nothing else: the SDK calls that Dropbell makes, in a loop."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.part import LOOPBACK
from local.ports import Ports
from local.process import PartProcess
from local.up import SERVICE_BUS_CONFIG, SERVICE_BUS_KEY, SERVICE_BUS_KEY_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

QUEUE = json.loads(SERVICE_BUS_CONFIG.read_text())["UserConfig"]["Namespaces"][0]["Queues"][0]["Name"]
TABLE = "benchdeliveries"
PARTITION = "bench"
MAX_WAIT_SECONDS = 10


@dataclass(frozen=True)
class Post:
    """The request that each delivery makes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@asynccontextmanager
async def broker(log_folder: Path) -> AsyncIterator[str]:
    """Another broker like the stack's, whose queue nobody else reads; its connection string."""
    port = Ports.free().service_bus
    arguments = ["local.service_bus", "--port", str(port), "--config", str(SERVICE_BUS_CONFIG)]
    part = PartProcess("bare broker", arguments, log_folder / "bare_broker.log", health_ports=[port])
    await part.start()
    try:
        async with aiohttp.ClientSession() as session:
            await part.healthy(session)
        yield (
            f"Endpoint=sb://{LOOPBACK}:{port};SharedAccessKeyName={SERVICE_BUS_KEY_NAME};"
            f"SharedAccessKey={SERVICE_BUS_KEY};UseDevelopmentEmulator=true;"
        )
    finally:
        await part.stop()


class BareLoop:
    """Receive, claim, POST, settle, complete: ``at_a_time`` deliveries side by side, in this process."""

    def __init__(self, table: TableClient, bus: ServiceBusClient, post: Post, *, at_a_time: int) -> None:
        self._table = table
        self._bus = bus
        self._post = post
        self._at_a_time = at_a_time

    async def seconds(self, deliveries: int) -> float:
        """How long so many deliveries take, from the first message received to the last completed."""
        rows = [_row(self._post.body) for _ in range(deliveries)]
        await asyncio.gather(*(self._insert(some) for some in _chunks(rows, 100)))
        await self._send(rows)
        slots = asyncio.Semaphore(self._at_a_time)
        async with (
            aiohttp.ClientSession() as session,
            self._bus.get_queue_receiver(QUEUE) as receiver,
            asyncio.TaskGroup() as tasks,
        ):
            started = time.perf_counter()
            for _ in rows:
                await slots.acquire()
                # One at a time, as the Functions host does; the SDK would wait for a batch to be full.
                (message,) = await receiver.receive_messages(1, max_wait_time=MAX_WAIT_SECONDS)
                task = tasks.create_task(self._deliver(session, receiver, message))
                task.add_done_callback(lambda _: slots.release())
        return time.perf_counter() - started

    async def _insert(self, rows: Sequence[dict[str, Any]]) -> None:
        await self._table.submit_transaction([("create", row) for row in rows])

    async def _send(self, rows: Sequence[dict[str, Any]]) -> None:
        async with self._bus.get_queue_sender(QUEUE) as sender:
            for some in _chunks(rows, 50):
                await sender.send_messages(
                    [ServiceBusMessage(json.dumps(row), message_id=row["RowKey"]) for row in some]
                )

    async def _deliver(
        self,
        session: aiohttp.ClientSession,
        receiver: ServiceBusReceiver,
        message: ServiceBusReceivedMessage,
    ) -> None:
        row = json.loads(str(message))
        claimed = await self._table.update_entity(row | {"status": "delivering"}, mode=UpdateMode.REPLACE)
        async with session.post(self._post.url, headers=self._post.headers, data=self._post.body) as answer:
            answer.raise_for_status()
        await self._table.update_entity(
            row | {"status": "delivered"},
            mode=UpdateMode.REPLACE,
            etag=claimed["etag"],
            match_condition=MatchConditions.IfNotModified,
        )
        await receiver.complete_message(message)


@asynccontextmanager
async def bare_loop(storage: str, service_bus: str, post: Post, *, at_a_time: int) -> AsyncIterator[BareLoop]:
    """The loop, against the storage and the broker of these connection strings."""
    async with (
        TableClient.from_connection_string(storage, TABLE) as table,
        ServiceBusClient.from_connection_string(service_bus) as bus,
    ):
        with suppress(ResourceExistsError):
            await table.create_table()
        yield BareLoop(table, bus, post, at_a_time=at_a_time)


def _row(event: bytes) -> dict[str, Any]:
    """A delivery's row, about as large as the real one; the message of the delivery holds it."""
    return {
        "PartitionKey": PARTITION,
        "RowKey": str(uuid.uuid4()),
        "status": "queued",
        "event": event.decode(),
    }


def _chunks[Item](items: Sequence[Item], size: int) -> Sequence[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
