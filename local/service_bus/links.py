"""Links: what a client attaches to send messages to an entity or to receive from it (part 2, section 2.6)."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from local.service_bus.errors import (
    BrokerError,
    DecodeError,
    InvalidFieldError,
    MessageTooLargeError,
    NotAllowedError,
    SessionTimeoutError,
)
from local.service_bus.message import encode_message, parse_message, split_batch
from local.service_bus.performatives import (
    BATCH_MESSAGE_FORMAT,
    ROLE_RECEIVER,
    SETTLE_MODE_SETTLED,
    Attach,
    Disposition,
    accepted,
    list_item,
    rejected,
)
from local.service_bus.values import Described, Symbol, ULong

if TYPE_CHECKING:
    from local.service_bus.entities import QueueEntity
    from local.service_bus.message_sessions import SessionLock
    from local.service_bus.performatives import Flow, Transfer
    from local.service_bus.session import Session
    from local.service_bus.stored import StoredMessage

SESSION_FILTER = "com.microsoft:session-filter"
DEFAULT_SESSION_WAIT_MS = 60_000

_SOURCE_FILTER = 7  # position of the filter set in a source
_SOURCE_FIELDS = 11
_CREDIT = 1_000
_UINT = 0xFFFF_FFFF
_TICKS_PER_MS = 10_000
_TICKS_AT_UNIX_EPOCH = 621_355_968_000_000_000


class Link:
    """One attached link, of either direction."""

    role: bool
    """Our role on it."""
    max_message_bytes: int | None = None

    def __init__(self, session: Session, attach: Attach) -> None:
        self.session = session
        self.attach = attach
        self.handle = attach.handle  # each side has handles of its own; ours follow the client's

    def open(self) -> None:
        """Answer the attach.

        Raises:
            BrokerError: the link is refused.
        """
        self.answer()

    def answer(self, source: Described | None = None, properties: dict[object, object] | None = None) -> None:
        """Attach our side. Source and target go back whole: the Python SDK insists on both."""
        self._send_attach(source or self.attach.source, self.attach.target, properties)

    def refuse(self, error: BrokerError) -> None:
        """Attach without a terminus and detach with the reason, as the specification wants it."""
        source, target = self.attach.source, self.attach.target
        if self.role is ROLE_RECEIVER:
            self._send_attach(source, None, None)
        else:
            self._send_attach(None, target, None)
        self.session.detach(self, error)

    def _send_attach(
        self, source: Described | None, target: Described | None, properties: dict[object, object] | None
    ) -> None:
        self.session.send(
            Attach(
                name=self.attach.name,
                handle=self.handle,
                role=self.role,
                snd_settle_mode=self.attach.snd_settle_mode,
                rcv_settle_mode=self.attach.rcv_settle_mode,
                source=source,
                target=target,
                initial_delivery_count=None if self.role is ROLE_RECEIVER else 0,
                max_message_size=self.max_message_bytes,
                properties=properties,
            )
        )

    def on_flow(self, flow: Flow) -> None:
        """The client told the state of the link."""

    def on_room(self) -> None:
        """There may be room again to send."""

    def closed(self, *, broken: bool = False) -> None:
        """The link is gone; ``broken`` if its connection vanished."""


class IncomingLink(Link, ABC):
    """A link on which the client sends."""

    role = ROLE_RECEIVER

    def __init__(self, session: Session, attach: Attach, max_message_bytes: int) -> None:
        super().__init__(session, attach)
        self._limit_bytes = self.max_message_bytes = max_message_bytes
        self._delivery_count = attach.initial_delivery_count or 0
        self._credit = 0
        self._first: Transfer | None = None
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def answer(self, source: Described | None = None, properties: dict[object, object] | None = None) -> None:
        """Attach our side and give the client credit."""
        super().answer(source, properties)
        self._grant_credit()

    def _grant_credit(self) -> None:
        self._credit = _CREDIT
        self.session.send_flow(handle=self.handle, delivery_count=self._delivery_count, link_credit=_CREDIT)

    def on_flow(self, flow: Flow) -> None:
        """Repeat the credit if the client asks. It may overrun it: what comes is worked off at once."""
        if flow.echo:
            self._grant_credit()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Collect the parts of a message; take it when it is whole, and tell the client how that went."""
        if transfer.aborted:
            self._forget_parts()
            return
        if self._first is None:
            self._first = transfer
        self._size_bytes += len(payload)
        if self._size_bytes <= self._limit_bytes:  # what exceeds it is counted and dropped
            self._parts.append(payload)
        if transfer.more:
            return
        first, message, size_bytes = self._first, b"".join(self._parts), self._size_bytes
        self._forget_parts()
        if first.delivery_id is None:
            raise InvalidFieldError("The first transfer of a message has no delivery-id.")
        state = self._take(message, size_bytes, first.message_format or 0)
        if not (first.settled or transfer.settled):
            self.session.send(
                Disposition(
                    role=ROLE_RECEIVER,
                    first=first.delivery_id,
                    last=first.delivery_id,
                    settled=True,
                    state=state,
                )
            )
        self._delivery_count = (self._delivery_count + 1) & _UINT
        self._credit -= 1
        if self._credit < _CREDIT // 2:
            self._grant_credit()

    def _forget_parts(self) -> None:
        self._first, self._parts, self._size_bytes = None, [], 0

    def _take(self, message: bytes, size_bytes: int, message_format: int) -> Described:
        try:
            if size_bytes > self._limit_bytes:
                raise MessageTooLargeError(
                    f"The message of {size_bytes} bytes exceeds the limit of {self._limit_bytes} bytes."
                )
            self.take(message, message_format)
        except BrokerError as error:
            return rejected(error)
        return accepted()

    @abstractmethod
    def take(self, message: bytes, message_format: int) -> None:
        """Do with a whole message what the link is for.

        Raises:
            BrokerError: the message is refused.
        """


class SenderLink(IncomingLink):
    """A link on which the client sends messages to a queue or a topic."""

    def __init__(self, session: Session, attach: Attach, entity: QueueEntity, max_message_bytes: int) -> None:
        super().__init__(session, attach, max_message_bytes)
        self._entity = entity

    def open(self) -> None:
        """Attach, telling how large a batch may be."""
        if not self._entity.takes_messages:
            raise NotAllowedError(f"'{self._entity.path}' takes no messages from senders.")
        limit = ULong(self._limit_bytes)
        self.answer(properties={Symbol("com.microsoft:max-message-batch-size"): limit})

    def take(self, message: bytes, message_format: int) -> None:
        """Enqueue a message, or all messages of a batch."""
        if message_format not in (0, BATCH_MESSAGE_FORMAT):
            raise DecodeError(f"Messages of format 0x{message_format:08x} are unknown.")
        messages = split_batch(message) if message_format == BATCH_MESSAGE_FORMAT else [message]
        self._entity.send([parse_message(each) for each in messages])


class ReceiverLink(Link):
    """A link on which the client receives messages from a queue, a subscription or one of its sessions."""

    role = not ROLE_RECEIVER

    def __init__(self, session: Session, attach: Attach, entity: QueueEntity) -> None:
        super().__init__(session, attach)
        self.entity = entity
        self.session_id: str | None = None
        self.deletes = attach.snd_settle_mode == SETTLE_MODE_SETTLED
        self._credit = 0
        self._delivery_count = 0
        self._waiting: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Attach to the entity, or to a session of it - now or when one comes free."""
        if not self.entity.gives_messages:
            raise NotAllowedError(f"'{self.entity.path}' is a topic; receive from one of its subscriptions.")
        filters = list_item(self.attach.source, _SOURCE_FILTER)
        wants_session = isinstance(filters, dict) and SESSION_FILTER in filters
        if wants_session and not self.entity.queue.settings.requires_session:
            raise NotAllowedError(f"'{self.entity.path}' has no sessions; a receiver cannot ask for one.")
        if self.entity.queue.settings.requires_session and not wants_session:
            raise NotAllowedError(f"'{self.entity.path}' requires sessions; a receiver must ask for one.")
        if isinstance(filters, dict) and wants_session:
            self._open_session(filters[SESSION_FILTER])
        else:
            self.answer()
            self.entity.add_receiver(self)

    def _open_session(self, asked: object) -> None:
        session_id = asked.value if isinstance(asked, Described) else asked
        if session_id is not None and not isinstance(session_id, str):
            raise NotAllowedError("The session filter is neither a string nor null.")
        if not self.entity.accept_session(self, session_id):
            wait_seconds = self._session_wait_ms() / 1000
            self._waiting = asyncio.get_running_loop().call_later(wait_seconds, self._stop_waiting)

    def _session_wait_ms(self) -> int:
        wait_ms = (self.attach.properties or {}).get("com.microsoft:timeout")
        return int(wait_ms) if isinstance(wait_ms, int) else DEFAULT_SESSION_WAIT_MS

    def _stop_waiting(self) -> None:
        self._waiting = None
        self.entity.remove_receiver(self)
        self.refuse(SessionTimeoutError("No session with messages came free in the time allowed."))

    def session_accepted(self, lock: SessionLock) -> None:
        """Attach, telling which session it is and until when it is locked."""
        self._cancel_waiting()
        self.session_id = lock.session_id
        ticks = lock.locked_until_ms * _TICKS_PER_MS + _TICKS_AT_UNIX_EPOCH
        self.answer(self._source_with_session(), {Symbol("com.microsoft:locked-until-utc"): ticks})

    def _source_with_session(self) -> Described | None:
        source = self.attach.source
        if source is None or not isinstance(source.value, list):
            return source
        fields = source.value + [None] * (_SOURCE_FIELDS - len(source.value))
        filters = fields[_SOURCE_FILTER]
        if isinstance(filters, dict):
            asked = filters[SESSION_FILTER]
            answer: object = self.session_id
            if isinstance(asked, Described):
                answer = Described(asked.descriptor, answer)
            fields[_SOURCE_FILTER] = {**filters, Symbol(SESSION_FILTER): answer}
        return Described(source.descriptor, fields)

    def session_lost(self, error: BrokerError) -> None:
        """Detach: whatever the client still does with this session's messages, it is too late."""
        self.session.detach(self, error)

    def can_take(self) -> bool:
        """Whether the client gave credit, and the connection has room."""
        return self._credit > 0 and self.session.has_room()

    def deliver(self, message: StoredMessage) -> None:
        """Send a message; its lock token is the delivery tag, in the byte order of a .NET Guid."""
        self._credit -= 1
        self._delivery_count = (self._delivery_count + 1) & _UINT
        token = message.lock_token
        payload = encode_message(message.content, message.broker_properties(with_lock=True))
        tag = uuid.uuid4().bytes if token is None else token.bytes_le
        delivery_id = self.session.send_message(self.handle, payload, tag, settled=self.deletes)
        if token is not None:
            self.session.unsettled[delivery_id] = (self, token)

    def on_flow(self, flow: Flow) -> None:
        """Take the client's credit; if it drains, use up what no message is there for."""
        credit = ((flow.delivery_count or 0) + (flow.link_credit or 0) - self._delivery_count) & _UINT
        self._credit = credit if credit < 2**31 else 0
        self.entity.pump()
        if flow.drain:
            self._delivery_count = (self._delivery_count + self._credit) & _UINT
            self._credit = 0
        if flow.drain or flow.echo:
            self.session.send_flow(
                handle=self.handle,
                delivery_count=self._delivery_count,
                link_credit=self._credit,
                drain=bool(flow.drain),
            )

    def on_room(self) -> None:
        """Go on sending."""
        self.entity.pump()

    def closed(self, *, broken: bool = False) -> None:
        """Leave the entity. What is locked stays locked."""
        self._cancel_waiting()
        self.entity.remove_receiver(self, keep_session=broken)

    def _cancel_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
