"""A message in a queue: its states, and how it gets from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from local.service_bus.message import BrokerProperties

if TYPE_CHECKING:
    from uuid import UUID

    from local.service_bus.message import EncodedMessage


class MessageState(Enum):
    """Where a message is. ``GONE`` is final: completed, cancelled, expired, or moved to the dead letters.

    ::

        SCHEDULED ──become due──▶ ACTIVE ──lock──▶ LOCKED ──settle, expire──▶ GONE
                                    ▲                │ │
                                    └────return──────┘ └──defer──▶ DEFERRED ◀──return── DEFERRED_LOCKED
                                                                       └─────────lock──────────▲
    """

    SCHEDULED = auto()
    ACTIVE = auto()
    LOCKED = auto()
    DEFERRED = auto()
    DEFERRED_LOCKED = auto()
    GONE = auto()


class MessageEvent(Enum):
    """What can happen to a message."""

    BECOME_DUE = auto()
    LOCK = auto()
    RETURN = auto()
    DEFER = auto()
    REMOVE = auto()


TRANSITIONS: dict[tuple[MessageState, MessageEvent], MessageState] = {
    (MessageState.SCHEDULED, MessageEvent.BECOME_DUE): MessageState.ACTIVE,
    (MessageState.SCHEDULED, MessageEvent.REMOVE): MessageState.GONE,
    (MessageState.ACTIVE, MessageEvent.LOCK): MessageState.LOCKED,
    (MessageState.ACTIVE, MessageEvent.REMOVE): MessageState.GONE,
    (MessageState.LOCKED, MessageEvent.RETURN): MessageState.ACTIVE,
    (MessageState.LOCKED, MessageEvent.DEFER): MessageState.DEFERRED,
    (MessageState.LOCKED, MessageEvent.REMOVE): MessageState.GONE,
    (MessageState.DEFERRED, MessageEvent.LOCK): MessageState.DEFERRED_LOCKED,
    (MessageState.DEFERRED, MessageEvent.REMOVE): MessageState.GONE,
    (MessageState.DEFERRED_LOCKED, MessageEvent.RETURN): MessageState.DEFERRED,
    (MessageState.DEFERRED_LOCKED, MessageEvent.DEFER): MessageState.DEFERRED,
    (MessageState.DEFERRED_LOCKED, MessageEvent.REMOVE): MessageState.GONE,
}

LOCKED_STATES = frozenset({MessageState.LOCKED, MessageState.DEFERRED_LOCKED})

# The annotation x-opt-message-state knows three states only; a lock does not show in it.
_WIRE_STATES = {
    MessageState.DEFERRED: 1,
    MessageState.DEFERRED_LOCKED: 1,
    MessageState.SCHEDULED: 2,
}


@dataclass(slots=True, eq=False)
class StoredMessage:
    """A message and what the queue knows about it. Only the queue changes it."""

    content: EncodedMessage
    sequence_number: int
    enqueued_sequence_number: int
    """The first sequence number the message got, in whichever queue that was."""
    enqueued_at_ms: int
    state: MessageState
    expires_at_ms: int | None = None
    delivery_count: int = 0
    """Deliveries that failed: abandoned, or the lock expired."""
    lock_token: UUID | None = None
    locked_until_ms: int | None = None
    dead_letter_source: str | None = None
    added_properties: dict[str, object] = field(default_factory=dict)

    def move(self, event: MessageEvent) -> None:
        """Go to the next state; a ``KeyError`` here is a fault of the queue, not of a client."""
        self.state = TRANSITIONS[self.state, event]

    @property
    def state_without_lock(self) -> MessageState:
        """Where the message is if its lock, should it have one, ends."""
        return TRANSITIONS.get((self.state, MessageEvent.RETURN), self.state)

    def is_expired(self, now_ms: int) -> bool:
        """Whether its time to live is over."""
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms

    def broker_properties(self, *, with_lock: bool) -> BrokerProperties:
        """What a receiver is told; a message that is only peeked at shows no lock."""
        return BrokerProperties(
            sequence_number=self.sequence_number,
            enqueued_sequence_number=self.enqueued_sequence_number,
            enqueued_at_ms=self.enqueued_at_ms,
            state=_WIRE_STATES.get(self.state, 0),
            delivery_count=self.delivery_count,
            time_to_live_ms=None if self.expires_at_ms is None else self.expires_at_ms - self.enqueued_at_ms,
            lock_token=self.lock_token if with_lock else None,
            locked_until_ms=self.locked_until_ms if with_lock else None,
            dead_letter_source=self.dead_letter_source,
            added_properties=self.added_properties,
        )
