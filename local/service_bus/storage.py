"""Where a broker keeps its queues: here, nowhere. ``data_file`` has the storage that outlives a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from local.service_bus.changes import KeptQueue, unobserved
from local.service_bus.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.service_bus.changes import Observer
    from local.service_bus.queue_settings import QueueSettings


class StorageError(Exception):
    """Queues cannot be kept, or had back; the message is one sentence that says why."""


class Storage(Protocol):
    """Keeps queues."""

    on_change: Callable[[], object]
    """Called with the first change after a ``commit``."""

    def open_queue(self, name: str) -> tuple[KeptQueue, Observer]:
        """What is kept of a queue, and whom the queue has to tell from now on.

        Raises:
            StorageError: it cannot be read.
        """

    def commit(self) -> None:
        """Keep all changes of all queues since the last call, all or none.

        Raises:
            StorageError: they cannot be written.
        """


class MemoryOnly:
    """Keeps nothing."""

    on_change: Callable[[], object]

    def open_queue(self, name: str) -> tuple[KeptQueue, Observer]:  # noqa: ARG002 - all queues are alike
        """An empty queue that nobody observes."""
        return KeptQueue(), unobserved

    def commit(self) -> None:
        """Nothing to do."""


def open_queue(settings: QueueSettings, dead_letters: Queue | None, storage: Storage) -> Queue:
    """A queue with all that ``storage`` keeps of it."""
    kept, observe = storage.open_queue(settings.name)
    queue = Queue(settings, dead_letters, observe=observe)
    queue.restore(kept)
    return queue


def open_with_dead_letters(settings: QueueSettings, storage: Storage) -> Queue:
    """A queue and its dead-letter queue."""
    return open_queue(settings, open_queue(settings.for_dead_letters(), None, storage), storage)
