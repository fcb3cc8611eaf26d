"""Duplicate detection by message id (https://learn.microsoft.com/azure/service-bus-messaging/duplicate-detection)."""

from __future__ import annotations

from collections import deque


class DuplicateHistory:
    """The message ids that came in within the last ``window_ms``, and the sequence numbers they got."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._numbers: dict[object, int] = {}
        self._arrivals: deque[tuple[int, object]] = (
            deque()
        )  # in order of time: the window is the same for all

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, message_id: object, now_ms: int) -> int | None:
        """The sequence number that ``message_id`` got within the window, or ``None``."""
        while self._arrivals and self._arrivals[0][0] + self._window_ms <= now_ms:
            del self._numbers[self._arrivals.popleft()[1]]
        return self._numbers.get(message_id)

    def remember(self, message_id: object, sequence_number: int, now_ms: int) -> None:
        """Note that ``message_id``, which ``find`` does not know, came in at ``now_ms``."""
        self._numbers[message_id] = sequence_number
        self._arrivals.append((now_ms, message_id))
