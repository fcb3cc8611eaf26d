"""How a receiver settles a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(Enum):
    """What becomes of a locked message (message-transfers-locks-settlement)."""

    COMPLETE = auto()
    ABANDON = auto()
    RELEASE = auto()
    DEFER = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome, and what to write into the message's application properties."""

    outcome: Outcome
    properties: Mapping[str, object] = field(default_factory=dict)
    reason: str | None = None
    description: str | None = None

    def added_properties(self) -> dict[str, object]:
        """Everything the settlement writes into the application properties."""
        added = dict(self.properties)
        if self.reason is not None:
            added["DeadLetterReason"] = self.reason
        if self.description is not None:
            added["DeadLetterErrorDescription"] = self.description
        return added
