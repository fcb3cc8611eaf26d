"""Duplicate detection by message id (https://learn.microsoft.com/azure/service-bus-messaging/duplicate-detection)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from local.service_bus.changes import IdRemembered, IdsForgotten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.service_bus.changes import Observer


class DuplicateHistory:
    """The message ids that came in within the last ``window_ms``, and the sequence numbers they got."""

    def __init__(self, window_ms: int, observe: Observer) -> None:
        self._window_ms = window_ms
        self._observe = observe
        self._by_id: dict[object, IdRemembered] = {}
        self._arrivals: deque[IdRemembered] = deque()  # in order of time: the window is the same for all

    def __len__(self) -> int:
        return len(self._by_id)

    def restore(self, remembered_ids: Iterable[IdRemembered]) -> None:
        """Know again what was known; to be called on a history that knows nothing yet."""
        for arrival in remembered_ids:
            self._add(arrival)

    def find(self, message_id: object, now_ms: int) -> int | None:
        """The sequence number that ``message_id`` got within the window, or ``None``."""
        self._forget(now_ms - self._window_ms)
        arrival = self._by_id.get(message_id)
        return None if arrival is None else arrival.sequence_number

    def remember(self, message_id: object, sequence_number: int, now_ms: int) -> None:
        """Note that ``message_id``, which ``find`` does not know, came in at ``now_ms``."""
        arrival = IdRemembered(message_id, sequence_number, now_ms)
        self._add(arrival)
        self._observe(arrival)

    def _add(self, arrival: IdRemembered) -> None:
        self._by_id[arrival.message_id] = arrival
        self._arrivals.append(arrival)

    def _forget(self, until_ms: int) -> None:
        if not self._arrivals or self._arrivals[0].arrived_at_ms > until_ms:
            return
        while self._arrivals and self._arrivals[0].arrived_at_ms <= until_ms:
            self._by_id.pop(self._arrivals.popleft().message_id, None)
        self._observe(IdsForgotten(until_ms))
