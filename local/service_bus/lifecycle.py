"""The life of messages in a queue, without I/O and without a clock: arriving, locked, given back, gone.

``Queue`` decides what a client may do; what then happens to a message, and what happens by itself as time
passes, is here.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from local.service_bus.due_times import DueTimes
from local.service_bus.errors import NotAllowedError
from local.service_bus.message_sessions import MessageSessions
from local.service_bus.message_store import MessageStore
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.stored import LOCKED_STATES, MessageEvent, MessageState, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from uuid import UUID

    from local.service_bus.changes import KeptQueue, Observer
    from local.service_bus.message import EncodedMessage
    from local.service_bus.message_sessions import SessionLock
    from local.service_bus.queue_settings import QueueSettings


class _Due(Enum):
    ENQUEUE = auto()
    LOCK_EXPIRY = auto()
    MESSAGE_EXPIRY = auto()
    SESSION_LOCK_EXPIRY = auto()


class Lifecycle:
    """The messages and message sessions of one queue; without ``dead_letters`` it is a dead-letter queue."""

    def __init__(
        self,
        settings: QueueSettings,
        dead_letters: Lifecycle | None,
        observe: Observer,
        new_lock_token: Callable[[], UUID],
    ) -> None:
        self._settings = settings
        self._dead_letters = dead_letters
        self._new_lock_token = new_lock_token
        self.store = MessageStore(observe)
        self.sessions = MessageSessions(settings.lock_duration_ms, observe)
        self.locked: dict[UUID, StoredMessage] = {}
        """Locked messages by lock token."""
        self._due: DueTimes[tuple[_Due, Hashable]] = DueTimes()

    def restore(self, kept: KeptQueue) -> None:
        """Have the messages of an earlier process again; what became due meanwhile is for ``advance``."""
        self.store.restore(kept)
        self.sessions.restore(kept.session_states)
        for message in kept.messages:
            if message.state is MessageState.SCHEDULED:
                self._wait_for_schedule(message)
            elif message.state is MessageState.ACTIVE:
                self._wait_for_expiry(message)
                self.store.line_up(self.session_of(message), message)

    # Arriving

    def arrive(self, content: EncodedMessage, now_ms: int) -> int:
        """Take a new message in, ready to be handed out or waiting for its schedule; returns its number."""
        message = self._store_new(content, now_ms)
        due_ms = content.scheduled_enqueue_time_ms
        if due_ms is not None and due_ms > now_ms:
            message.state = MessageState.SCHEDULED
            self._wait_for_schedule(message)
        else:
            self._start_time_to_live(message)
            self._make_ready(message, now_ms)
        return message.enqueued_sequence_number  # the other one has changed if it expired at once

    def arrive_dead(self, content: EncodedMessage, settlement: Settlement, now_ms: int) -> None:
        """Take a new message straight into the dead letters."""
        self.dead_letter(self._store_new(content, now_ms), settlement)

    def _store_new(self, content: EncodedMessage, now_ms: int) -> StoredMessage:
        number = self.store.next_number()
        message = StoredMessage(content, number, number, now_ms, MessageState.ACTIVE)
        self.store.add(message)
        return message

    def _wait_for_schedule(self, message: StoredMessage) -> None:
        self._due.set((_Due.ENQUEUE, message.sequence_number), message.content.scheduled_enqueue_time_ms or 0)

    def _enqueue_scheduled(self, message: StoredMessage, now_ms: int) -> None:
        """Append it as if it were enqueued now, with a new sequence number (message-sequencing)."""
        self.store.remove(message)
        message.sequence_number = self.store.next_number()
        message.enqueued_at_ms = now_ms
        message.move(MessageEvent.BECOME_DUE)
        self.store.add(message)
        self._start_time_to_live(message)
        self._make_ready(message, now_ms)

    def _start_time_to_live(self, message: StoredMessage) -> None:
        """The shorter of the message's and the queue's time to live counts (message-expiration)."""
        limits = (message.content.time_to_live_ms, self._settings.default_time_to_live_ms)
        time_to_live_ms = min((limit for limit in limits if limit is not None), default=None)
        if time_to_live_ms is not None:
            message.expires_at_ms = message.enqueued_at_ms + time_to_live_ms
            self._wait_for_expiry(message)

    def _wait_for_expiry(self, message: StoredMessage) -> None:
        if message.expires_at_ms is not None:
            self._due.set((_Due.MESSAGE_EXPIRY, message.sequence_number), message.expires_at_ms)

    def _make_ready(self, message: StoredMessage, now_ms: int) -> None:
        if message.is_expired(now_ms):
            self.expire(message)
        else:
            self.store.line_up(self.session_of(message), message)

    def session_of(self, message: StoredMessage) -> str | None:
        """The message session it is handed out in; ``None`` in a queue without sessions."""
        return message.content.session_id if self._settings.requires_session else None

    # Locked and given back

    def lock(self, message: StoredMessage, until_ms: int) -> None:
        """Lock a message; in a session it is the session's lock that expires."""
        message.locked_until_ms = until_ms
        message.lock_token = self._new_lock_token()
        message.move(MessageEvent.LOCK)
        self.locked[message.lock_token] = message
        if self.session_of(message) is None:
            self._due.set((_Due.LOCK_EXPIRY, message.sequence_number), until_ms)

    def renew(self, message: StoredMessage, until_ms: int) -> None:
        """Let the lock of a message end later."""
        message.locked_until_ms = until_ms
        self._due.set((_Due.LOCK_EXPIRY, message.sequence_number), until_ms)

    def _unlock(self, message: StoredMessage) -> None:
        if message.lock_token is not None:
            del self.locked[message.lock_token]
        self._due.discard((_Due.LOCK_EXPIRY, message.sequence_number))
        message.lock_token = message.locked_until_ms = None

    def give_back(self, message: StoredMessage, now_ms: int, *, failed: bool) -> None:
        """End a lock without settling: back to where the message was, or to the dead letters."""
        message.delivery_count += failed
        limit = self._settings.max_delivery_count
        if failed and limit is not None and message.delivery_count >= limit:
            description = f"Message could not be consumed after {limit} delivery attempts."
            self._dead_letter_because("MaxDeliveryCountExceeded", description, message)
            return
        self._unlock(message)
        message.move(MessageEvent.RETURN)
        self.store.changed(message)
        if message.state is MessageState.ACTIVE:
            self._make_ready(message, now_ms)

    def defer(self, message: StoredMessage) -> None:
        """Set a locked message aside."""
        self._unlock(message)
        message.move(MessageEvent.DEFER)
        self.store.changed(message)

    # Gone

    def remove(self, message: StoredMessage) -> None:
        """Take a message out, whatever its state."""
        if message.state in LOCKED_STATES:
            self._unlock(message)
        for due in (_Due.ENQUEUE, _Due.MESSAGE_EXPIRY):
            self._due.discard((due, message.sequence_number))
        message.move(MessageEvent.REMOVE)
        self.store.remove(message)

    def expire(self, message: StoredMessage) -> None:
        """Drop a message whose time to live is over, or make it a dead letter, as the queue is set."""
        if self._settings.dead_letter_on_expiration:
            description = "The message expired and was dead lettered."
            self._dead_letter_because("TTLExpiredException", description, message)
        else:
            self.remove(message)

    def _dead_letter_because(self, reason: str, description: str, message: StoredMessage) -> None:
        settlement = Settlement(Outcome.DEAD_LETTER, reason=reason, description=description)
        self.dead_letter(message, settlement)

    def dead_letter(self, message: StoredMessage, settlement: Settlement) -> None:
        """Move a message to the dead letters.

        Raises:
            NotAllowedError: it is one already; nothing changes.
        """
        if self._dead_letters is None:
            raise NotAllowedError("A message in a dead-letter queue cannot be dead-lettered.")
        self.remove(message)
        message.added_properties.update(settlement.added_properties())
        message.dead_letter_source = self._settings.name
        self._dead_letters.adopt(message)

    def adopt(self, message: StoredMessage) -> None:
        """Take over a message that another queue has removed; it no longer expires, and keeps its history."""
        message.sequence_number = self.store.next_number()
        message.state = MessageState.ACTIVE
        message.expires_at_ms = None
        self.store.add(message)
        self.store.line_up(self.session_of(message), message)

    # Message sessions

    def lock_session(self, session_id: str, holder: object, now_ms: int) -> SessionLock:
        """Lock a session for ``holder``.

        Raises:
            SessionCannotBeLockedError: another holder has it.
        """
        lock = self.sessions.lock(session_id, holder, now_ms)
        self._due.set((_Due.SESSION_LOCK_EXPIRY, session_id), lock.locked_until_ms)
        return lock

    def renew_session(self, session_id: str, now_ms: int) -> int:
        """Renew a session lock and with it the locks of its messages; returns when they expire.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        until_ms = self.sessions.renew(session_id, now_ms)
        for message in self._locked_in(session_id):
            message.locked_until_ms = until_ms
        self._due.set((_Due.SESSION_LOCK_EXPIRY, session_id), until_ms)
        return until_ms

    def free_session(self, session_id: str, now_ms: int, *, lost: bool) -> None:
        """Let go of a session and give its messages back."""
        self._due.discard((_Due.SESSION_LOCK_EXPIRY, session_id))
        self.sessions.unlock(session_id, lost=lost)
        for message in self._locked_in(session_id):
            self.give_back(message, now_ms, failed=lost)

    def _locked_in(self, session_id: str) -> list[StoredMessage]:
        return [message for message in self.locked.values() if message.content.session_id == session_id]

    # Time

    def next_due_ms(self) -> int | None:
        """When ``advance`` has something to do next; ``None``: never, as things are."""
        return self._due.next_due_ms()

    def advance(self, now_ms: int) -> None:
        """Let everything happen that is due by ``now_ms``."""
        for due, key in self._due.pop_due(now_ms):
            if due is _Due.SESSION_LOCK_EXPIRY:
                self.free_session(str(key), now_ms, lost=True)
                continue
            message = self.store.get(key) if isinstance(key, int) else None
            if message is None:
                continue
            if due is _Due.ENQUEUE:
                self._enqueue_scheduled(message, now_ms)
            elif due is _Due.LOCK_EXPIRY:
                self.give_back(message, now_ms, failed=True)
            elif message.state is MessageState.ACTIVE:
                # A locked message expires when its lock ends, a deferred one when it is asked for.
                self.expire(message)
