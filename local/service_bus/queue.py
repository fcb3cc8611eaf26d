"""What clients can do with a Service Bus queue, without I/O and without a clock.

Every operation is told the time. Before it acts, what became due until then happens: locks expire, scheduled
messages are enqueued, messages expire. ``next_due_ms`` says when to call ``advance`` if nobody else calls.

Sources: message-transfers-locks-settlement, message-expiration, message-deferral, message-sessions,
message-sequencing and service-bus-dead-letter-queues under
https://learn.microsoft.com/azure/service-bus-messaging.
"""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING

from local.service_bus.changes import unobserved
from local.service_bus.duplicates import DuplicateHistory
from local.service_bus.errors import (
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    SessionLockLostError,
)
from local.service_bus.lifecycle import Lifecycle
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.stored import MessageState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from local.service_bus.changes import KeptQueue, Observer
    from local.service_bus.message import EncodedMessage
    from local.service_bus.message_sessions import SessionLock
    from local.service_bus.queue_settings import QueueSettings
    from local.service_bus.stored import StoredMessage


class Queue:
    """A queue or a subscription; without ``dead_letters`` it is itself a dead-letter queue.

    ``observe`` is told what has to be kept for ``restore`` in a later process.
    """

    def __init__(
        self,
        settings: QueueSettings,
        dead_letters: Queue | None,
        *,
        observe: Observer = unobserved,
        new_lock_token: Callable[[], UUID] = uuid.uuid4,
    ) -> None:
        self.settings = settings
        self.dead_letters = dead_letters
        dead_life: Lifecycle | None = None if dead_letters is None else dead_letters.life
        self.life: Lifecycle = Lifecycle(settings, dead_life, observe, new_lock_token)
        self._store = self.life.store
        self._sessions = self.life.sessions
        window_ms = settings.duplicate_window_ms
        self._duplicates = None if window_ms is None else DuplicateHistory(window_ms, observe)

    def restore(self, kept: KeptQueue) -> None:
        """Become the queue that ``kept`` is of; to be called once, on a queue that was not used yet."""
        self.life.restore(kept)
        if self._duplicates is not None:
            self._duplicates.restore(kept.remembered_ids)

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
        number = self.life.arrive(content, now_ms)
        if history is not None:
            history.remember(content.message_id, number, now_ms)
        return number

    def cancel_scheduled(self, numbers: Sequence[int], now_ms: int) -> None:
        """Remove scheduled messages, all or none.

        Raises:
            MessageNotFoundError: one of them is not scheduled (any more).
        """
        self.advance(now_ms)
        for message in self._store.find(numbers, MessageState.SCHEDULED):
            self.life.remove(message)

    def add_dead_letter(self, content: EncodedMessage, reason: str, description: str, now_ms: int) -> None:
        """Take a message that this queue cannot hold straight into its dead letters."""
        settlement = Settlement(Outcome.DEAD_LETTER, reason=reason, description=description)
        self.life.arrive_dead(content, settlement, now_ms)

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
            self.life.lock(message, until_ms)
        return message

    def take_next(self, now_ms: int, session_id: str | None = None) -> StoredMessage | None:
        """Remove and return the first active message (of ``session_id``), if any (receive-and-delete)."""
        self.advance(now_ms)
        message = self._store.pop_first(session_id)
        if message is not None:
            self.life.remove(message)
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
        if any(self.life.session_of(message) != session_id for message in messages):
            raise MessageNotFoundError("A deferred message belongs to another session.")
        expired = [message for message in messages if message.is_expired(now_ms)]
        for message in expired:
            self.life.expire(message)
        if expired:
            raise MessageNotFoundError("A deferred message has expired.")
        for message in messages:
            if delete:
                self.life.remove(message)
            else:
                self.life.lock(message, until_ms)
        return messages

    def _lock_until_ms(self, session_id: str | None, now_ms: int) -> int:
        """When a lock taken now expires: with the session's lock, if there is one."""
        if session_id is None:
            return now_ms + self.settings.lock_duration_ms
        return self._sessions.locked_until_ms(session_id)

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
            self.life.dead_letter(message, settlement)
            return
        message.added_properties.update(settlement.added_properties())
        if settlement.outcome is Outcome.COMPLETE:
            self.life.remove(message)
        elif settlement.outcome is Outcome.DEFER:
            self.life.defer(message)
        else:
            self.life.give_back(message, now_ms, failed=settlement.outcome is Outcome.ABANDON)

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
            self.life.renew(message, until_ms)
        return [until_ms] * len(lock_tokens)

    def _locked(self, lock_token: UUID) -> StoredMessage:
        message = self.life.locked.get(lock_token)
        if message is not None:
            return message
        if self.settings.requires_session:
            raise SessionLockLostError("The session lock has expired; accept the session again.")
        raise MessageLockLostError(
            "The lock supplied is invalid. Either the lock expired, or the message has already been removed."
        )

    # Message sessions

    def accept_session(self, session_id: str | None, holder: object, now_ms: int) -> SessionLock | None:
        """Lock ``session_id`` for ``holder``; with ``None`` a free session with messages, if there is one.

        Raises:
            SessionCannotBeLockedError: another holder has it.
        """
        self.advance(now_ms)
        if session_id is None:
            session_id = self._sessions.next_available(self._store.sessions_with_active())
        return None if session_id is None else self.life.lock_session(session_id, holder, now_ms)

    def release_session(self, session_id: str, holder: object, now_ms: int) -> None:
        """Free a session; its locked messages return, and that does not count as a failed delivery."""
        self.advance(now_ms)
        if self._sessions.holder(session_id) is holder:
            self.life.free_session(session_id, now_ms, lost=False)

    def renew_session(self, session_id: str, now_ms: int) -> int:
        """Renew a session lock and with it the locks of its messages; returns when they expire.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        self.advance(now_ms)
        return self.life.renew_session(session_id, now_ms)

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
        return self.life.next_due_ms()

    def advance(self, now_ms: int) -> None:
        """Let everything happen that is due by ``now_ms``."""
        self.life.advance(now_ms)
