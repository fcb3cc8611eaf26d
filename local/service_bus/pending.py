"""What happened to a queue since it was written last, as far as it still matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.service_bus.changes import (
    IdRemembered,
    IdsForgotten,
    MessageAdded,
    MessageChanged,
    MessageRemoved,
    SessionStateSet,
)

if TYPE_CHECKING:
    from local.service_bus.changes import Change
    from local.service_bus.stored import StoredMessage


@dataclass(slots=True)
class Pending:
    """Changes that add up: of a message that came and went in between nothing is left to write."""

    added: dict[int, StoredMessage] = field(default_factory=dict)
    changed: dict[int, StoredMessage] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    last_number: int | None = None
    """The highest sequence number given out, whatever became of the message."""
    forgotten_until_ms: int | None = None
    """Applies before ``remembered``."""
    remembered: list[IdRemembered] = field(default_factory=list)
    session_states: dict[str, SessionStateSet] = field(default_factory=dict)

    def note(self, change: Change) -> None:
        """Add one change."""
        match change:
            case MessageAdded(message):
                self.last_number = message.sequence_number
                self.added[message.sequence_number] = message
            case MessageChanged(message):
                if message.sequence_number not in self.added:
                    self.changed[message.sequence_number] = message
            case MessageRemoved(number):
                if self.added.pop(number, None) is None:
                    self.changed.pop(number, None)
                    self.removed.append(number)
            case IdRemembered():
                self.remembered.append(change)
            case IdsForgotten(until_ms):
                self.forgotten_until_ms = until_ms
                self.remembered = [each for each in self.remembered if each.arrived_at_ms > until_ms]
            case SessionStateSet(session_id):
                self.session_states[session_id] = change
