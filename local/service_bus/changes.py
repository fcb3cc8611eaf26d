"""What a queue tells about itself, so that somebody can keep it; and what it takes to be there again.

A queue calls its ``Observer`` for everything that has to outlive the process. Locks are not among it: those
who hold them are gone when the queue comes back, so it comes back with everything unlocked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.service_bus.stored import StoredMessage


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """A message came in. It may change further in the same step, so read it when the step is over."""

    message: StoredMessage


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message that came in earlier was given back or deferred."""

    message: StoredMessage


@dataclass(frozen=True, slots=True)
class MessageRemoved:
    """A message is gone from this queue."""

    sequence_number: int


@dataclass(frozen=True, slots=True)
class IdRemembered:
    """Duplicate detection knows a message id from now on."""

    message_id: object
    sequence_number: int
    arrived_at_ms: int


@dataclass(frozen=True, slots=True)
class IdsForgotten:
    """Duplicate detection knows no id any more that arrived up to then."""

    arrived_until_ms: int


@dataclass(frozen=True, slots=True)
class SessionStateSet:
    """The application set the state of a message session, or cleared it."""

    session_id: str
    state: bytes | None
    updated_at_ms: int


type Change = MessageAdded | MessageChanged | MessageRemoved | IdRemembered | IdsForgotten | SessionStateSet
type Observer = Callable[[Change], None]


def unobserved(_: Change) -> None:
    """The observer of a queue that nobody keeps."""


@dataclass(frozen=True, slots=True)
class KeptQueue:
    """All that is kept of a queue; the default is a queue that never had a message."""

    next_sequence_number: int = 1
    messages: Sequence[StoredMessage] = ()
    """In order of sequence number, none of them locked."""
    remembered_ids: Sequence[IdRemembered] = ()
    """In order of arrival."""
    session_states: Sequence[SessionStateSet] = ()
