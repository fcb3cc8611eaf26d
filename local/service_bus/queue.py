"""The semantics of a Service Bus queue, without I/O and without a clock.

Every operation is told the time. Before it acts, what became due until then happens: locks expire, scheduled
messages are enqueued, messages expire. ``next_due_ms`` says when to call ``advance`` if nobody else calls.

Sources: message-transfers-locks-settlement, message-expiration, message-deferral, message-sessions,
message-sequencing and service-bus-dead-letter-queues under
https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from local.service_bus.due_times import DueTimes
from local.service_bus.duplicates import DuplicateHistory
from local.service_bus.errors import (
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    SessionLockLostError,
)
from local.service_bus.message_sessions import MessageSessions
from local.service_bus.message_store import MessageStore
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.stored import LOCKED_STATES, MessageEvent, MessageState, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from uuid import UUID

    from local.service_bus.message import EncodedMessage
    from local.service_bus.message_sessions import SessionLock

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How a queue behaves; times in milliseconds, ``None`` where there is no limit."""

    name: str
    lock_duration_ms: int = 60_000
    max_delivery_count: int | None = 10
    default_time_to_live_ms: int | None = None
    dead_letter_on_expiration: bool = False
    requires_session: bool = False
    duplicate_window_ms: int | None = None

    def for_dead_letters(self) -> QueueSettings:
        """Dead letters never expire, are delivered without limit, and are not in sessions."""
        name = self.name + DEAD_LETTER_SUFFIX
        return QueueSettings(name, self.lock_duration_ms, max_delivery_count=None)


class _Due(Enum):
    ENQUEUE = auto()
    LOCK_EXPIRY = auto()
    MESSAGE_EXPIRY = auto()
    SESSION_LOCK_EXPIRY = auto()


class Queue:
    """A queue or a subscription; without ``dead_letters`` it is itself a dead-letter queue."""

    def __init__(
        self,
        settings: QueueSettings,
        dead_letters: Queue | None,
        *,
        new_lock_token: Callable[[], UUID] = uuid.uuid4,
    ) -> None:
        self.settings = settings
        self.dead_letters = dead_letters
        self._new_lock_token = new_lock_token
        self._store = MessageStore()
        self._locks: dict[UUID, StoredMessage] = {}
        self._due: DueTimes[tuple[_Due, Hashable]] = DueTimes()
        self._sessions = MessageSessions(settings.lock_duration_ms)
        window_ms = settings.duplicate_window_ms
        self._duplicates = None if window_ms is None else DuplicateHistory(window_ms)

    # Sending

    def enqueue(self, messages: Sequence[EncodedMessage], now_ms: int) -> list[int]:
        """Take ``messages``, all or none; returns their sequence numbers.

        A duplicate is dropped, and gets the number of the message it repeats.

        Raises:
            NotAllowedError: the queue requires sessions and a message has no session id.
        """
        self.advance(now_ms)
        if self.settings.requires_session and any(message.session_id is None for message in messages):
            raise NotAllowedError(
                "A message has no session id; this entity requires sessions and takes no such message."
            )
        return [self._enqueue_one(message, now_ms) for message in messages]

    def _enqueue_one(self, content: EncodedMessage, now_ms: int) -> int:
        history = self._duplicates if content.message_id is not None else None
        original = history.find(content.message_id, now_ms) if history is not None else None
        if original is not None:
            return original
        message = self._store_new(content, now_ms)
        if history is not None:
            history.remember(content.message_id, message.sequence_number, now_ms)
        due_ms = content.scheduled_enqueue_time_ms
        if due_ms is not None and due_ms > now_ms:
            message.state = MessageState.SCHEDULED
            self._due.set((_Due.ENQUEUE, message.sequence_number), due_ms)
        else:
            self._start_time_to_live(message)
            self._make_ready(message, now_ms)
        return message.sequence_number

    def _store_new(self, content: EncodedMessage, now_ms: int) -> StoredMessage:
        number = self._store.next_number()
        message = StoredMessage(content, number, number, now_ms, MessageState.ACTIVE)
        self._store.add(message)
        return message

    def cancel_scheduled(self, numbers: Sequence[int], now_ms: int) -> None:
        """Remove scheduled messages, all or none.

        Raises:
            MessageNotFoundError: one of them is not scheduled (any more).
        """
        self.advance(now_ms)
        for message in self._store.find(numbers, MessageState.SCHEDULED):
            self._remove(message)

    def add_dead_letter(self, content: EncodedMessage, reason: str, description: str, now_ms: int) -> None:
        """Take a message that this queue cannot hold straight into its dead letters."""
        self._dead_letter_because(reason, description, self._store_new(content, now_ms), now_ms)

    # Receiving

    def lock_next(self, now_ms: int, session_id: str | None = None) -> StoredMessage | None:
        """Lock the first active message (of ``session_id``), or return ``None`` (peek-lock).

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        self.advance(now_ms)
        until_ms = self._lock_until_ms(session_id, now_ms)
        message = self._store.pop_first(session_id)
        if message is not None:
            self._lock(message, until_ms)
        return message

    def take_next(self, now_ms: int, session_id: str | None = None) -> StoredMessage | None:
        """Remove and return the first active message (of ``session_id``), if any (receive-and-delete)."""
        self.advance(now_ms)
        message = self._store.pop_first(session_id)
        if message is not None:
            self._remove(message)
        return message

    def receive_deferred(
        self, numbers: Sequence[int], now_ms: int, *, delete: bool = False, session_id: str | None = None
    ) -> list[StoredMessage]:
        """Lock (or take, with ``delete``) deferred messages by sequence number, all or none.

        A deferred message expires when it is asked for, not before (message-deferral).

        Raises:
            MessageNotFoundError: one of them is not there, not deferred, of another session, or expired.
            SessionLockLostError: nobody holds the session.
        """
        self.advance(now_ms)
        until_ms = self._lock_until_ms(session_id, now_ms)
        messages = self._store.find(numbers, MessageState.DEFERRED)
        if any(self._session_of(message) != session_id for message in messages):
            raise MessageNotFoundError("A deferred message belongs to another session.")
        expired = [message for message in messages if _is_expired(message, now_ms)]
        for message in expired:
            self._expire(message, now_ms)
        if expired:
            raise MessageNotFoundError("A deferred message has expired.")
        for message in messages:
            if delete:
                self._remove(message)
            else:
                self._lock(message, until_ms)
        return messages

    def peek(self, from_number: int, count: int, session_id: str | None = None) -> Iterable[StoredMessage]:
        """At most ``count`` messages from ``from_number`` on, in whatever state, without changing them."""
        return itertools.islice(self._store.browse(from_number, session_id), count)

    def has_ready(self, session_id: str | None = None) -> bool:
        """Whether there is an active message (of ``session_id``), as of the last time given."""
        return self._store.first_in(session_id) is not None

    def count(self) -> dict[MessageState, int]:
        """How many messages are in each state."""
        return self._store.count()

    # Settling

    def settle(self, lock_token: UUID, settlement: Settlement, now_ms: int) -> None:
        """Settle the message locked with ``lock_token``.

        Raises:
            MessageLockLostError, SessionLockLostError: the lock is gone; nothing changes.
            NotAllowedError: a dead letter cannot be dead-lettered; it stays locked.
        """
        self.advance(now_ms)
        message = self._locked(lock_token)
        if settlement.outcome is Outcome.DEAD_LETTER:
            self._dead_letter(message, settlement, now_ms)
            return
        message.added_properties.update(settlement.added_properties())
        if settlement.outcome is Outcome.COMPLETE:
            self._remove(message)
        elif settlement.outcome is Outcome.DEFER:
            self._unlock(message)
            message.move(MessageEvent.DEFER)
        else:
            self._return(message, now_ms, failed=settlement.outcome is Outcome.ABANDON)

    def check_locked(self, lock_tokens: Iterable[UUID], now_ms: int) -> None:
        """Raise what ``settle`` would raise if one of the locks is gone."""
        self.advance(now_ms)
        for token in lock_tokens:
            self._locked(token)

    def renew(self, lock_tokens: Sequence[UUID], now_ms: int) -> list[int]:
        """Renew message locks, all or none; returns when each expires.

        Raises:
            MessageLockLostError: one of the locks is gone.
            NotAllowedError: the messages of a session are locked through the session.
        """
        self.advance(now_ms)
        if self.settings.requires_session:
            raise NotAllowedError("The lock of a message in a session is renewed with the session's lock.")
        until_ms = now_ms + self.settings.lock_duration_ms
        for message in [self._locked(token) for token in lock_tokens]:
            message.locked_until_ms = until_ms
            self._due.set((_Due.LOCK_EXPIRY, message.sequence_number), until_ms)
        return [until_ms] * len(lock_tokens)

    # Message sessions

    def accept_session(self, session_id: str | None, holder: object, now_ms: int) -> SessionLock | None:
        """Lock ``session_id`` for ``holder``; with ``None`` a free session with messages, if there is one.

        Raises:
            SessionCannotBeLockedError: another holder has it.
        """
        self.advance(now_ms)
        if session_id is None:
            session_id = self._sessions.next_available(self._store.sessions_with_active())
        if session_id is None:
            return None
        lock = self._sessions.lock(session_id, holder, now_ms)
        self._due.set((_Due.SESSION_LOCK_EXPIRY, session_id), lock.locked_until_ms)
        return lock

    def release_session(self, session_id: str, holder: object, now_ms: int) -> None:
        """Free a session; its locked messages return, and that does not count as a failed delivery."""
        self.advance(now_ms)
        if self._sessions.holder(session_id) is holder:
            self._free_session(session_id, now_ms, lost=False)

    def renew_session(self, session_id: str, now_ms: int) -> int:
        """Renew a session lock and with it the locks of its messages; returns when they expire.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        self.advance(now_ms)
        until_ms = self._sessions.renew(session_id, now_ms)
        for message in self._locked_in(session_id):
            message.locked_until_ms = until_ms
        self._due.set((_Due.SESSION_LOCK_EXPIRY, session_id), until_ms)
        return until_ms

    def session_holder(self, session_id: str, now_ms: int) -> object:
        """Who holds the session, or ``None``."""
        self.advance(now_ms)
        return self._sessions.holder(session_id)

    def session_state(self, session_id: str) -> bytes | None:
        """What ``set_session_state`` stored last."""
        return self._sessions.state(session_id)

    def set_session_state(self, session_id: str, state: bytes | None, now_ms: int) -> None:
        """Store the application's state of a session; ``None`` clears it."""
        self._sessions.set_state(session_id, state, now_ms)

    def list_sessions(self, updated_after_ms: int | None = None) -> list[str]:
        """Sessions with active messages or a state; or those whose state changed after a given time."""
        names = self._sessions.with_state(updated_after_ms)
        if updated_after_ms is None:
            names |= self._store.sessions_with_active().keys()
        return sorted(names)

    def pop_lost_sessions(self) -> list[tuple[str, object]]:
        """The sessions whose locks expired since the last call, each with who held it."""
        return self._sessions.pop_lost()

    # Time

    def next_due_ms(self) -> int | None:
        """When ``advance`` has something to do next; ``None``: never, as things are."""
        return self._due.next_due_ms()

    def advance(self, now_ms: int) -> None:
        """Let everything happen that is due by ``now_ms``."""
        for due, key in self._due.pop_due(now_ms):
            if due is _Due.SESSION_LOCK_EXPIRY:
                self._free_session(str(key), now_ms, lost=True)
                continue
            message = self._store.get(key) if isinstance(key, int) else None
            if message is None:
                continue
            if due is _Due.ENQUEUE:
                self._enqueue_scheduled(message, now_ms)
            elif due is _Due.LOCK_EXPIRY:
                self._return(message, now_ms, failed=True)
            elif message.state is MessageState.ACTIVE:
                # A locked message expires when its lock ends, a deferred one when it is asked for.
                self._expire(message, now_ms)

    def _enqueue_scheduled(self, message: StoredMessage, now_ms: int) -> None:
        """Append it as if it were enqueued now, with a new sequence number (message-sequencing)."""
        self._store.remove(message)
        message.sequence_number = self._store.next_number()
        message.enqueued_at_ms = now_ms
        message.move(MessageEvent.BECOME_DUE)
        self._store.add(message)
        self._start_time_to_live(message)
        self._make_ready(message, now_ms)

    def _start_time_to_live(self, message: StoredMessage) -> None:
        """The shorter of the message's and the queue's time to live counts (message-expiration)."""
        limits = (message.content.time_to_live_ms, self.settings.default_time_to_live_ms)
        time_to_live_ms = min((limit for limit in limits if limit is not None), default=None)
        if time_to_live_ms is not None:
            message.expires_at_ms = message.enqueued_at_ms + time_to_live_ms
            self._due.set((_Due.MESSAGE_EXPIRY, message.sequence_number), message.expires_at_ms)

    # Moving messages

    def _make_ready(self, message: StoredMessage, now_ms: int) -> None:
        if _is_expired(message, now_ms):
            self._expire(message, now_ms)
        else:
            self._store.line_up(self._session_of(message), message)

    def _lock_until_ms(self, session_id: str | None, now_ms: int) -> int:
        """When a lock taken now expires: with the session's lock, if there is one."""
        if session_id is None:
            return now_ms + self.settings.lock_duration_ms
        return self._sessions.locked_until_ms(session_id)

    def _lock(self, message: StoredMessage, until_ms: int) -> None:
        message.locked_until_ms = until_ms
        message.lock_token = self._new_lock_token()
        message.move(MessageEvent.LOCK)
        self._locks[message.lock_token] = message
        if self._session_of(message) is None:
            self._due.set((_Due.LOCK_EXPIRY, message.sequence_number), until_ms)

    def _unlock(self, message: StoredMessage) -> None:
        if message.lock_token is not None:
            del self._locks[message.lock_token]
        self._due.discard((_Due.LOCK_EXPIRY, message.sequence_number))
        message.lock_token = message.locked_until_ms = None

    def _return(self, message: StoredMessage, now_ms: int, *, failed: bool) -> None:
        """End a lock without settling: back to where the message was, or to the dead letters."""
        message.delivery_count += failed
        limit = self.settings.max_delivery_count
        if failed and limit is not None and message.delivery_count >= limit:
            description = f"Message could not be consumed after {limit} delivery attempts."
            self._dead_letter_because("MaxDeliveryCountExceeded", description, message, now_ms)
            return
        self._unlock(message)
        message.move(MessageEvent.RETURN)
        if message.state is MessageState.ACTIVE:
            self._make_ready(message, now_ms)

    def _expire(self, message: StoredMessage, now_ms: int) -> None:
        if self.settings.dead_letter_on_expiration:
            description = "The message expired and was dead lettered."
            self._dead_letter_because("TTLExpiredException", description, message, now_ms)
        else:
            self._remove(message)

    def _dead_letter_because(
        self, reason: str, description: str, message: StoredMessage, now_ms: int
    ) -> None:
        settlement = Settlement(Outcome.DEAD_LETTER, reason=reason, description=description)
        self._dead_letter(message, settlement, now_ms)

    def _dead_letter(self, message: StoredMessage, settlement: Settlement, now_ms: int) -> None:
        if self.dead_letters is None:
            raise NotAllowedError("A message in a dead-letter queue cannot be dead-lettered.")
        self._remove(message)
        message.added_properties.update(settlement.added_properties())
        message.dead_letter_source = self.settings.name
        self.dead_letters.adopt(message, now_ms)

    def adopt(self, message: StoredMessage, now_ms: int) -> None:
        """Take over a message that another queue has removed; it no longer expires, and keeps its history."""
        message.sequence_number = self._store.next_number()
        message.state = MessageState.ACTIVE
        message.expires_at_ms = None
        self._store.add(message)
        self._make_ready(message, now_ms)

    def _remove(self, message: StoredMessage) -> None:
        """Take a message out, whatever its state."""
        if message.state in LOCKED_STATES:
            self._unlock(message)
        for due in (_Due.ENQUEUE, _Due.MESSAGE_EXPIRY):
            self._due.discard((due, message.sequence_number))
        message.move(MessageEvent.REMOVE)
        self._store.remove(message)

    def _free_session(self, session_id: str, now_ms: int, *, lost: bool) -> None:
        self._due.discard((_Due.SESSION_LOCK_EXPIRY, session_id))
        self._sessions.unlock(session_id, lost=lost)
        for message in self._locked_in(session_id):
            self._return(message, now_ms, failed=lost)

    # Finding messages

    def _session_of(self, message: StoredMessage) -> str | None:
        return message.content.session_id if self.settings.requires_session else None

    def _locked_in(self, session_id: str) -> list[StoredMessage]:
        return [message for message in self._locks.values() if message.content.session_id == session_id]

    def _locked(self, lock_token: UUID) -> StoredMessage:
        message = self._locks.get(lock_token)
        if message is not None:
            return message
        if self.settings.requires_session:
            raise SessionLockLostError("The session lock has expired; accept the session again.")
        raise MessageLockLostError(
            "The lock supplied is invalid. Either the lock expired, or the message has already been removed."
        )


def with_dead_letters(settings: QueueSettings) -> Queue:
    """A queue with its dead-letter queue."""
    return Queue(settings, Queue(settings.for_dead_letters(), None))


def _is_expired(message: StoredMessage, now_ms: int) -> bool:
    return message.expires_at_ms is not None and message.expires_at_ms <= now_ms
