"""The memory twin of the dead-letter queue: passes the same conformance suite as Service Bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ports import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
    from datetime import datetime


class MemoryDeadLetters:
    """``DeadLetterQueue`` in a dictionary."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}
        """By sequence number."""
        self.held_elsewhere: set[int] = set()
        """Sequence numbers of messages that somebody else holds under a lock."""
        self._last_number = 0

    def add(
        self,
        message_id: str,
        body: bytes,
        *,
        enqueued_at: datetime,
        reason: str | None = "MaxDeliveryCountExceeded",
        properties: Mapping[str, str] | None = None,
    ) -> DeadLetter:
        """Put a message in."""
        self._last_number += 1
        letter = DeadLetter(self._last_number, message_id, body, enqueued_at, reason, properties or {})
        self.letters[letter.sequence_number] = letter
        return letter

    async def peek(self, *, from_sequence_number: int = 0, limit: int) -> Sequence[DeadLetter]:
        """See ``DeadLetterQueue``."""
        numbers = sorted(number for number in self.letters if number >= from_sequence_number)
        return [self.letters[number] for number in numbers[:limit]]

    async def take(self, sequence_numbers: Set[int], settle: Callable[[DeadLetter], Awaitable[bool]]) -> int:
        """See ``DeadLetterQueue``."""
        removed = 0
        for number in sorted(sequence_numbers):
            if number not in self.letters or number in self.held_elsewhere:
                continue
            self.held_elsewhere.add(number)
            try:
                if await settle(self.letters[number]):
                    del self.letters[number]
                    removed += 1
            finally:
                self.held_elsewhere.discard(number)
        return removed
