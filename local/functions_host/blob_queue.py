"""The queue between the webhook and the blob functions: at least once, also across a restart of the host.

In Azure this is a Storage queue. Here each message is a file in a directory, written before the webhook
answers and removed when the function is done with it. Without a directory the messages live in memory
only. Files are not flushed to the disk itself: a crash of the host loses nothing, a crash of the machine
may.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlobMessage:
    """A blob that a function is to be run for."""

    function: str
    container: str
    name: str
    etag: str
    blob_type: str = "BlockBlob"
    dequeue_count: int = 0
    """How often it has been handed out."""


@dataclass(frozen=True)
class QueuedMessage:
    """A message with its place in the queue."""

    id: str
    message: BlobMessage


class BlobQueue:
    """First in, first out. What is handed out and not settled comes again after a restart."""

    def __init__(self, directory: Path | None = None) -> None:
        self._messages = directory / "messages" if directory else None
        self._poison_file = directory / "poison.jsonl" if directory else None
        self._poison: list[dict[str, Any]] = []
        self._waiting: asyncio.Queue[QueuedMessage] = asyncio.Queue()
        self._number = itertools.count()
        self._unsettled = 0
        if self._messages is not None:
            self._messages.mkdir(parents=True, exist_ok=True)
            self._load(self._messages)

    @property
    def unsettled_count(self) -> int:
        """Messages that wait or are being worked on."""
        return self._unsettled

    def put(self, message: BlobMessage) -> None:
        """Queue a message; it is safe when this returns."""
        queued = QueuedMessage(f"{time.time_ns():020d}-{next(self._number):06d}", message)
        self._save(queued)
        self._unsettled += 1
        self._waiting.put_nowait(queued)

    async def take(self) -> QueuedMessage:
        """The next message, counted as handed out once more."""
        queued = await self._waiting.get()
        queued = replace(
            queued, message=replace(queued.message, dequeue_count=queued.message.dequeue_count + 1)
        )
        self._save(queued)
        return queued

    def done(self, queued: QueuedMessage) -> None:
        """The function is done with the message."""
        self._unsettled -= 1
        if self._messages is not None:
            (self._messages / f"{queued.id}.json").unlink(missing_ok=True)

    def put_back(self, queued: QueuedMessage) -> None:
        """The function failed: hand the message out again."""
        self._waiting.put_nowait(queued)

    def give_up(self, queued: QueuedMessage, reason: str) -> None:
        """The function failed too often: keep a record for people, and drop the message."""
        message = queued.message
        record = {
            "Type": "BlobTrigger",
            "FunctionId": f"Host.Functions.{message.function}",
            "BlobType": message.blob_type,
            "ContainerName": message.container,
            "BlobName": message.name,
            "ETag": message.etag,
            "DequeueCount": message.dequeue_count,
            "Reason": reason,
        }
        self._poison.append(record)
        if self._poison_file is not None:
            with self._poison_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        self.done(queued)

    def poison(self) -> list[dict[str, Any]]:
        """All records of messages that were given up, oldest first."""
        return list(self._poison)

    def _save(self, queued: QueuedMessage) -> None:
        if self._messages is None:
            return
        path = self._messages / f"{queued.id}.json"
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(queued.message)), encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - the same call, and known to be atomic

    def _load(self, directory: Path) -> None:
        for path in sorted(directory.glob("*.json")):
            try:
                message = BlobMessage(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                logger.error("The queued message %s cannot be read and stays where it is: %s", path, error)  # noqa: TRY400 - the sentence says it all
                continue
            self._unsettled += 1
            self._waiting.put_nowait(QueuedMessage(path.stem, message))
        if self._poison_file is not None and self._poison_file.exists():
            for line in self._poison_file.read_text(encoding="utf-8").splitlines():
                try:
                    self._poison.append(json.loads(line))
                except ValueError:  # the last line, when the host was killed while it wrote
                    logger.warning("A line of %s cannot be read and is left out.", self._poison_file)
