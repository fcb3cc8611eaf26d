"""What an upload costs in processor time, alone and with a delivery, over memory adapters.

The adapters are followed as the real ones are, so that there are as many spans; what is exported goes to a
real endpoint, and that is counted, too. Prints JSON: ``upload_us``, ``with_delivery_us``. Telemetry is on
where the environment has a connection string. Run by ``benches/telemetry.py`` in processes of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from shared.adapters.azure_monitor import AzureMonitor
from shared.adapters.memory import MemoryBlobs, MemoryQueue, MemorySender, MemoryTables
from shared.ports import HttpAnswer
from shared.telemetry.recorder import Telemetry
from shared.telemetry.spans import SpanKind, System, dependency
from tests.unit.shared.portal import SETTINGS, Portal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import BlobProperties, Change, Entity, Page, QueueMessage

FILES = 250
WARM_UP_FILES = 20
SAMPLE_RATIO = 0.1
HOOK = b'{"channel":"webhook","target":"https://127.0.0.1/hook","events":["file.stored"]}'


class Tables(MemoryTables):
    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        with dependency("Table get", System.TABLE, target="dropbell"):
            return await super().get(partition_key, row_key)

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        with dependency("Table query", System.TABLE, target="dropbell"):
            return await super().query(
                partition_key, first_row_key=first_row_key, end_row_key=end_row_key, limit=limit
            )

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        with dependency("Table apply", System.TABLE, target="dropbell"):
            return await super().apply(changes)


class Blobs(MemoryBlobs):
    async def create(self, *arguments: Any, **options: Any) -> BlobProperties:
        with dependency("Blob create", System.BLOB, target="uploads"):
            return await super().create(*arguments, **options)


class Queue(MemoryQueue):
    async def send(self, messages: Sequence[QueueMessage]) -> None:
        with dependency("Queue send", System.QUEUE, target="notifications", kind=SpanKind.PRODUCER):
            await super().send(messages)


async def cpu_seconds(connection_string: str, files: int, *, told: bool) -> float:
    """What ``files`` uploads take, from the first to the end of the export; ``told`` to one subscriber."""
    sink = AzureMonitor(connection_string, interval_seconds=0.2) if connection_string else None
    answers = [HttpAnswer(200)] * files
    unlimited = SETTINGS.model_copy(update={"target_rate_per_second": 0, "rate_limit_requests": 0})
    portal = Portal(
        settings=unlimited,
        telemetry=Telemetry(sink, sample_ratio=SAMPLE_RATIO),
        tables=Tables(),
        blobs=Blobs(),
        queue=(queue := Queue()),
        sender=(sender := MemorySender(*answers)),
    )
    if told:
        await portal.subscribe(HOOK)
    before = time.process_time()
    seen: set[str] = set()
    for _ in range(files):
        await portal.upload(b"ring")
        blobs: Any = portal.app.blobs
        (name,) = blobs.contents.keys() - seen
        seen.add(name)
        await portal.app.announce(name)
        for message in tuple(queue.messages):
            await portal.app.deliver(message.body, enqueued_at=None)
        queue.messages.clear()
    if sink is not None:
        sink.close(60)
    assert len(sender.posts) == (files if told else 0)
    return time.process_time() - before


async def main() -> None:
    connection_string = os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "")
    await cpu_seconds(connection_string, WARM_UP_FILES, told=True)
    alone = await cpu_seconds(connection_string, FILES, told=False) / FILES * 1e6
    told = await cpu_seconds(connection_string, FILES, told=True) / FILES * 1e6
    print(json.dumps({"upload_us": alone, "with_delivery_us": told}))


if __name__ == "__main__":
    asyncio.run(main())
