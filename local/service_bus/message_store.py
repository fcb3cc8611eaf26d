"""The messages of a queue by sequence number, and the active ones in the order they are handed out."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from local.service_bus.changes import MessageAdded, MessageChanged, MessageRemoved
from local.service_bus.errors import ArgumentError, MessageNotFoundError
from local.service_bus.stored import MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.service_bus.changes import KeptQueue, Observer
    from local.service_bus.stored import StoredMessage


class MessageStore:
    """Messages by number. Active ones stand in lines: one for each session, or line ``None``."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._numbers = itertools.count(1)
        self._messages: dict[int, StoredMessage] = {}  # in order of sequence number, for those only grow
        self._lines: defaultdict[str | None, list[int]] = defaultdict(list)

    def restore(self, kept: KeptQueue) -> None:
        """Have messages and the count of sequence numbers again; lining up is the caller's."""
        self._numbers = itertools.count(kept.next_sequence_number)
        self._messages = {message.sequence_number: message for message in kept.messages}

    def next_number(self) -> int:
        """A sequence number that was never given out before."""
        return next(self._numbers)

    def add(self, message: StoredMessage) -> None:
        """Keep a message under its sequence number, which must be the newest."""
        self._messages[message.sequence_number] = message
        self._observe(MessageAdded(message))

    def changed(self, message: StoredMessage) -> None:
        """Tell that something about a message is new that has to be kept."""
        self._observe(MessageChanged(message))

    def remove(self, message: StoredMessage) -> None:
        """Forget a message. Its place in a line is skipped when it comes up."""
        del self._messages[message.sequence_number]
        self._observe(MessageRemoved(message.sequence_number))

    def get(self, number: int) -> StoredMessage | None:
        """The message with this sequence number, if it is here."""
        return self._messages.get(number)

    def find(self, numbers: Sequence[int], state: MessageState) -> list[StoredMessage]:
        """The messages with these sequence numbers, all of them in ``state``.

        Raises:
            MessageNotFoundError: one is not there, or in another state.
            ArgumentError: a number is given twice.
        """
        if len(set(numbers)) != len(numbers):
            raise ArgumentError("A sequence number is given twice.")
        found = []
        for number in numbers:
            message = self._messages.get(number)
            if message is None or message.state is not state:
                raise MessageNotFoundError(
                    f"There is no {state.name.lower()} message with sequence number {number}."
                )
            found.append(message)
        return found

    def browse(self, from_number: int, session_id: str | None) -> Iterable[StoredMessage]:
        """The messages from ``from_number`` on (of ``session_id``), in order."""
        for number, message in self._messages.items():
            if number >= from_number and session_id in (None, message.content.session_id):
                yield message

    def count(self) -> dict[MessageState, int]:
        """How many messages are in each state."""
        counts = dict.fromkeys(MessageState, 0)
        for message in self._messages.values():
            counts[message.state] += 1
        return counts

    def line_up(self, line: str | None, message: StoredMessage) -> None:
        """Put an active message into its line, at the place of its sequence number."""
        heapq.heappush(self._lines[line], message.sequence_number)

    def first_in(self, line: str | None) -> int | None:
        """The sequence number of the first active message of a line; ``None`` if there is none."""
        heap = self._lines.get(line)
        if heap is None:
            return None
        while heap:
            message = self._messages.get(heap[0])
            if message is not None and message.state is MessageState.ACTIVE:
                return heap[0]
            heapq.heappop(heap)
        del self._lines[line]
        return None

    def pop_first(self, line: str | None) -> StoredMessage | None:
        """Take the first active message out of its line."""
        if self.first_in(line) is None:
            return None
        return self._messages[heapq.heappop(self._lines[line])]

    def sessions_with_active(self) -> dict[str, int]:
        """The message sessions that have active messages, each with the number of its first."""
        firsts = ((line, self.first_in(line)) for line in list(self._lines))
        return {line: first for line, first in firsts if line is not None and first is not None}
