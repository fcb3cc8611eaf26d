"""One heap for everything that becomes due: locks, schedules, times to live."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

_SLACK = 64


class DueTimes[Key: Hashable]:
    """Keys, each with the time at which it is due.

    A key that is set again or discarded leaves a stale entry in the heap; the heap is rebuilt when most of it
    is stale, so that its size follows the number of keys and not the number of operations.
    """

    def __init__(self) -> None:
        self._due_ms: dict[Key, int] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._order = itertools.count()  # keys of one instant come in the order they were set; never compared

    def __len__(self) -> int:
        return len(self._due_ms)

    def set(self, key: Key, due_ms: int) -> None:
        """Make ``key`` due at ``due_ms``, instead of any time set before."""
        self._due_ms[key] = due_ms
        heapq.heappush(self._heap, (due_ms, next(self._order), key))
        if len(self._heap) > 2 * len(self._due_ms) + _SLACK:
            self._heap = [(due, next(self._order), key) for key, due in self._due_ms.items()]
            heapq.heapify(self._heap)

    def discard(self, key: Key) -> None:
        """Forget ``key``, if it is there."""
        self._due_ms.pop(key, None)

    def next_due_ms(self) -> int | None:
        """When the first key is due; ``None`` if there is none."""
        while self._heap:
            due_ms, _, key = self._heap[0]
            if self._due_ms.get(key) == due_ms:
                return due_ms
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now_ms: int) -> Iterator[Key]:
        """Take out the keys that are due by ``now_ms``, earliest first, with those set while this runs."""
        while (due_ms := self.next_due_ms()) is not None and due_ms <= now_ms:
            _, _, key = heapq.heappop(self._heap)
            del self._due_ms[key]
            yield key
