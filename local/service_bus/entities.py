"""Queues, subscriptions and topics at work: who waits for messages, and when to look at the clock next."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Protocol

from local.service_bus.addresses import MANAGEMENT_SUFFIX
from local.service_bus.errors import EntityNotFoundError, NotAllowedError, SessionLockLostError
from local.service_bus.storage import open_queue, open_with_dead_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from local.service_bus.config import Namespace
    from local.service_bus.errors import BrokerError
    from local.service_bus.message import EncodedMessage
    from local.service_bus.message_sessions import SessionLock
    from local.service_bus.queue import Queue
    from local.service_bus.settlement import Settlement
    from local.service_bus.storage import Storage
    from local.service_bus.stored import StoredMessage

type Clock = Callable[[], int]
"""Milliseconds since the Unix epoch."""


class Receiver(Protocol):
    """Somebody who waits for messages: a link."""

    session_id: str | None
    """The message session it holds, if it is one for sessions."""
    deletes: bool
    """Whether a message is gone with its delivery (receive-and-delete)."""

    def can_take(self) -> bool:
        """Whether it has credit and room for a message now."""

    def deliver(self, message: StoredMessage) -> None:
        """Take a message, which is locked (or already removed, if it ``deletes``)."""

    def session_accepted(self, lock: SessionLock) -> None:
        """The session it waited for is its own now."""

    def session_lost(self, error: BrokerError) -> None:
        """The lock of its session expired."""


class QueueEntity:
    """A queue at work."""

    gives_messages = True
    """Whether clients receive from it."""

    def __init__(self, queue: Queue, clock: Clock, *, takes_messages: bool = True) -> None:
        self.queue = queue
        self.takes_messages = takes_messages
        """Whether clients send to it."""
        self.now_ms = clock
        self.dead_letters: QueueEntity | None = None
        if queue.dead_letters is not None:
            self.dead_letters = QueueEntity(queue.dead_letters, clock, takes_messages=False)
        self._receivers: deque[Receiver] = deque()
        self._session_waiters: deque[Receiver] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        self._pumping = False

    @property
    def path(self) -> str:
        """The address of the entity, as it was configured."""
        return self.queue.settings.name

    def send(self, messages: Sequence[EncodedMessage]) -> list[int]:
        """Enqueue messages, all or none; returns their sequence numbers."""
        numbers = self.queue.enqueue(messages, self.now_ms())
        self.pump()
        return numbers

    def cancel_scheduled(self, numbers: Sequence[int]) -> None:
        """Remove scheduled messages, all or none."""
        self.queue.cancel_scheduled(numbers, self.now_ms())
        self.pump()

    def settle(self, lock_token: UUID, settlement: Settlement) -> None:
        """Settle a locked message."""
        self.queue.settle(lock_token, settlement, self.now_ms())
        self.pump()

    def add_receiver(self, receiver: Receiver) -> None:
        """Let a receiver have messages whenever it can take one."""
        self._receivers.append(receiver)

    def accept_session(self, receiver: Receiver, session_id: str | None) -> bool:
        """Give ``receiver`` a session, at once or - if it asked for any - when one comes free.

        Returns:
            Whether it has one now.

        Raises:
            SessionCannotBeLockedError: another receiver holds it.
        """
        lock = self.queue.accept_session(session_id, receiver, self.now_ms())
        if lock is None:
            self._session_waiters.append(receiver)
            self.pump()
            return False
        self._hand_over_session(receiver, lock)
        self.pump()
        return True

    def _hand_over_session(self, receiver: Receiver, lock: SessionLock) -> None:
        receiver.session_accepted(lock)
        self.add_receiver(receiver)

    def remove_receiver(self, receiver: Receiver, *, keep_session: bool = False) -> None:
        """Forget a receiver. What it locked stays locked; its session is freed unless ``keep_session``.

        A link that is closed in order lets go of its session. A connection that just breaks proves nothing
        about the client, so there the lock is left to expire.
        """
        for group in (self._receivers, self._session_waiters):
            if receiver in group:
                group.remove(receiver)
        if receiver.session_id is not None and not keep_session:
            self.queue.release_session(receiver.session_id, receiver, self.now_ms())
        self.pump()

    def pump(self) -> None:
        """Do what is due, hand out what can be handed out, and set the timer."""
        if self._pumping:  # a delivery can lead back here
            return
        self._pumping = True
        now_ms = self.now_ms()  # one time for all of it: nothing can expire between two steps
        try:
            self.queue.advance(now_ms)
            self._tell_lost_sessions()
            self._hand_out_sessions(now_ms)
            self._hand_out_messages(now_ms)
        finally:
            self._pumping = False
        self._set_timer()
        if self.dead_letters is not None:
            self.dead_letters.pump()

    def _tell_lost_sessions(self) -> None:
        for session_id, holder in self.queue.pop_lost_sessions():
            for receiver in [receiver for receiver in self._receivers if receiver is holder]:
                self._receivers.remove(receiver)
                receiver.session_lost(
                    SessionLockLostError(f"The lock of session '{session_id}' has expired; accept it again.")
                )

    def _hand_out_sessions(self, now_ms: int) -> None:
        while self._session_waiters:
            lock = self.queue.accept_session(None, self._session_waiters[0], now_ms)
            if lock is None:
                return
            self._hand_over_session(self._session_waiters.popleft(), lock)

    def _hand_out_messages(self, now_ms: int) -> None:
        """Message by message, each to the receiver that has waited longest."""
        idle = 0
        while idle < len(self._receivers):
            receiver = self._receivers[0]
            self._receivers.rotate(-1)
            message = self._next_for(receiver, now_ms) if receiver.can_take() else None
            if message is None:
                idle += 1
            else:
                idle = 0
                receiver.deliver(message)

    def _next_for(self, receiver: Receiver, now_ms: int) -> StoredMessage | None:
        take = self.queue.take_next if receiver.deletes else self.queue.lock_next
        return take(now_ms, receiver.session_id)

    def _set_timer(self) -> None:
        due_ms = self.queue.next_due_ms()
        if self._timer is not None and (due_ms is None or due_ms < self._timer_due_ms):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and due_ms is not None:
            self._timer_due_ms = due_ms
            delay_seconds = max(due_ms - self.now_ms(), 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.pump()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        if self.dead_letters is not None:
            self.dead_letters.close()


class TopicEntity(QueueEntity):
    """A topic: a queue whose messages go to every subscription as soon as they are active."""

    gives_messages = False

    def __init__(self, queue: Queue, subscriptions: Sequence[QueueEntity], clock: Clock) -> None:
        super().__init__(queue, clock)
        self.subscriptions = subscriptions

    def _hand_out_messages(self, now_ms: int) -> None:
        while (message := self.queue.take_next(now_ms)) is not None:
            content = self._content_for_subscriptions(message)
            for subscription in self.subscriptions:
                try:
                    subscription.send([content])
                except NotAllowedError as error:
                    reason = "Session ID is null"
                    subscription.queue.add_dead_letter(content, reason, error.description, now_ms)
                    subscription.pump()

    def _content_for_subscriptions(self, message: StoredMessage) -> EncodedMessage:
        if message.expires_at_ms is None:
            return message.content
        return dataclasses.replace(
            message.content, time_to_live_ms=message.expires_at_ms - message.enqueued_at_ms
        )


class Entities:
    """The entities of a namespace, by address."""

    def __init__(self, namespace: Namespace, storage: Storage, clock: Clock) -> None:
        self._roots: list[QueueEntity] = [
            QueueEntity(open_with_dead_letters(settings, storage), clock) for settings in namespace.queues
        ]
        self._by_path: dict[str, QueueEntity] = {}
        for topic in namespace.topics:
            subscriptions = [
                QueueEntity(open_with_dead_letters(settings, storage), clock, takes_messages=False)
                for settings in topic.subscriptions
            ]
            topic_queue = open_queue(topic.queue, None, storage)
            self._roots += [TopicEntity(topic_queue, subscriptions, clock), *subscriptions]
        for entity in self._roots:
            self._by_path[entity.path.lower()] = entity
            if entity.dead_letters is not None:
                self._by_path[entity.dead_letters.path.lower()] = entity.dead_letters

    def find(self, path: str) -> QueueEntity:
        """The entity with this path, which is in lower case.

        Raises:
            EntityNotFoundError: there is none.
        """
        entity = self._by_path.get(path)
        if entity is None:
            raise EntityNotFoundError(f"The messaging entity '{path}' could not be found.")
        return entity

    def check_known(self, path: str) -> None:
        """Raise ``EntityNotFoundError`` if a token for ``path`` is for nothing that exists.

        As in Azure, a token for a subscription is checked against its topic; the attach finds out the rest.
        """
        root = path.removesuffix(MANAGEMENT_SUFFIX).partition("/subscriptions/")[0]
        if root:
            self.find(root)

    def pump(self) -> None:
        """Hand out what can be handed out, everywhere."""
        for entity in self._roots:
            entity.pump()

    def close(self) -> None:
        """Stop all timers."""
        for entity in self._roots:
            entity.close()
