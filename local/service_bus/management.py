"""The ``$management`` node of an entity.

Operations and their fields:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from local.service_bus.errors import (
    ArgumentError,
    BrokerError,
    MessageTooLargeError,
    NotSupportedError,
    SessionLockLostError,
)
from local.service_bus.links import ReceiverLink
from local.service_bus.message import encode_message, parse_message
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.values import Array, Int, Symbol, Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.service_bus.connection import Connection
    from local.service_bus.entities import QueueEntity
    from local.service_bus.message import Request

MAX_PEEKED_BYTES = 4 * 1024 * 1024
"""A reply to peek-message holds no more, except for one message; clients ask again for the rest."""
ALL_SESSIONS_MS = 253_402_300_800_000
"""``last-updated-time`` of a client that does not filter: the .NET DateTime.MaxValue."""

_PREFIX = "com.microsoft:"
_OUTCOMES = {
    "completed": Outcome.COMPLETE,
    "abandoned": Outcome.ABANDON,
    "defered": Outcome.DEFER,
    "suspended": Outcome.DEAD_LETTER,
}
_NO_LOCK_TOKEN = UUID(int=0)

type _Reply = dict[object, object]


class ManagementNode:
    """``<entity>/$management``, as one connection sees it."""

    def __init__(self, path: str, entity: QueueEntity, connection: Connection) -> None:
        self.path = path
        self._entity = entity
        self._queue = entity.queue
        self._connection = connection

    def answer(self, request: Request) -> tuple[Mapping[str, object], object]:
        """Carry out a request; an empty reply is a 204."""
        try:
            body = self._operation(request)(self, _Arguments(request.body))
        except BrokerError as error:
            return {
                "statusCode": Int(error.status),
                "statusDescription": error.description,
                "errorCondition": Symbol(error.condition),
            }, None
        if body is None:
            return {"statusCode": Int(204), "statusDescription": "NoContent"}, None
        return {"statusCode": Int(200), "statusDescription": "OK"}, body

    def _operation(self, request: Request) -> Callable[[ManagementNode, _Arguments], _Reply | None]:
        name = str(request.properties.get("operation", "")).removeprefix(_PREFIX)
        operation = self._OPERATIONS.get(name)
        if operation is None:
            raise NotSupportedError(f"The broker has no operation '{name}'.")
        return operation

    # Messages

    def _peek(self, arguments: _Arguments) -> _Reply | None:
        messages: list[object] = []
        size_bytes = 0
        for message in self._queue.peek(
            arguments.integer("from-sequence-number"),
            arguments.count("message-count"),
            arguments.text_or_none("session-id"),
        ):
            encoded = encode_message(message.content, message.broker_properties(with_lock=False))
            size_bytes += len(encoded)
            if messages and size_bytes > MAX_PEEKED_BYTES:
                break
            messages.append({"message": encoded})
        return {"messages": messages} if messages else None

    def _receive_deferred(self, arguments: _Arguments) -> _Reply:
        session_id = arguments.text_or_none("session-id")
        if self._queue.settings.requires_session:
            self._check_session(session_id)
        received = self._queue.receive_deferred(
            arguments.integers("sequence-numbers"),
            self._entity.now_ms(),
            delete=arguments.integer("receiver-settle-mode") == 0,
            session_id=session_id if self._queue.settings.requires_session else None,
        )
        self._entity.pump()
        return {
            "messages": [
                {
                    "lock-token": message.lock_token or _NO_LOCK_TOKEN,
                    "message": encode_message(message.content, message.broker_properties(with_lock=True)),
                }
                for message in received
            ]
        }

    def _schedule(self, arguments: _Arguments) -> _Reply:
        limit = self._connection.broker.max_message_bytes
        messages = []
        for entry in arguments.items("messages"):
            encoded = entry.get("message") if isinstance(entry, dict) else None
            if not isinstance(encoded, bytes):
                raise ArgumentError("An entry of messages holds no message.")
            if len(encoded) > limit:
                raise MessageTooLargeError(
                    f"A message of {len(encoded)} bytes exceeds the limit of {limit} bytes."
                )
            messages.append(parse_message(encoded))
        return {"sequence-numbers": Array(self._entity.send(messages))}

    def _cancel_scheduled(self, arguments: _Arguments) -> _Reply:
        self._entity.cancel_scheduled(arguments.integers("sequence-numbers"))
        return {}

    def _renew_locks(self, arguments: _Arguments) -> _Reply:
        expiries_ms = self._queue.renew(arguments.uuids("lock-tokens"), self._entity.now_ms())
        self._entity.pump()
        return {"expirations": Array(map(Timestamp, expiries_ms))}

    def _update_disposition(self, arguments: _Arguments) -> _Reply:
        status = arguments.text_or_none("disposition-status")
        if status not in _OUTCOMES:
            raise ArgumentError(f"'{status}' is not a disposition status.")
        tokens = list(dict.fromkeys(arguments.uuids("lock-tokens")))
        settlement = Settlement(
            _OUTCOMES[status],
            arguments.properties("properties-to-modify"),
            arguments.text_or_none("deadletter-reason"),
            arguments.text_or_none("deadletter-description"),
        )
        self._queue.check_locked(tokens, self._entity.now_ms())
        for token in tokens:
            self._entity.settle(token, settlement)
        return {}

    # Message sessions

    def _get_session_state(self, arguments: _Arguments) -> _Reply:
        return {"session-state": self._queue.session_state(self._held_session(arguments))}

    def _set_session_state(self, arguments: _Arguments) -> _Reply:
        session_id = self._held_session(arguments)
        state = arguments.get("session-state")
        if state is not None and not isinstance(state, bytes):
            raise ArgumentError("session-state is neither binary nor null.")
        self._queue.set_session_state(session_id, state, self._entity.now_ms())
        return {}

    def _renew_session_lock(self, arguments: _Arguments) -> _Reply:
        until_ms = self._queue.renew_session(self._held_session(arguments), self._entity.now_ms())
        self._entity.pump()
        return {"expiration": Timestamp(until_ms)}

    def _list_sessions(self, arguments: _Arguments) -> _Reply | None:
        updated_after_ms: int | None = arguments.integer("last-updated-time")
        if updated_after_ms == ALL_SESSIONS_MS:
            updated_after_ms = None
        skip, top = arguments.count("skip"), arguments.count("top")
        session_ids = self._queue.list_sessions(updated_after_ms)[skip : skip + top]
        return {"skip": Int(skip), "sessions-ids": Array(session_ids)} if session_ids else None

    def _held_session(self, arguments: _Arguments) -> str:
        return self._check_session(arguments.text_or_none("session-id"))

    def _check_session(self, session_id: str | None) -> str:
        """Only the client that holds a session may touch it."""
        if session_id is None:
            raise ArgumentError("The request names no session-id.")
        holder = self._queue.session_holder(session_id, self._entity.now_ms())
        if isinstance(holder, ReceiverLink) and holder.session.connection is self._connection:
            return session_id
        raise SessionLockLostError(f"This connection does not hold the lock of session '{session_id}'.")

    _OPERATIONS: ClassVar[dict[str, Callable[[ManagementNode, _Arguments], _Reply | None]]] = {
        "peek-message": _peek,
        "receive-by-sequence-number": _receive_deferred,
        "schedule-message": _schedule,
        "cancel-scheduled-message": _cancel_scheduled,
        "renew-lock": _renew_locks,
        "update-disposition": _update_disposition,
        "get-session-state": _get_session_state,
        "set-session-state": _set_session_state,
        "renew-session-lock": _renew_session_lock,
        "get-message-sessions": _list_sessions,
    }


class _Arguments:
    """The body of a request, read field by field; a mistake is an ``ArgumentError`` that names the field."""

    def __init__(self, body: object) -> None:
        if not isinstance(body, dict):
            raise ArgumentError("The body of the request is not a map.")
        self._fields = body

    def get(self, name: str) -> object:
        return self._fields.get(name)

    def integer(self, name: str) -> int:
        value = self._fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ArgumentError(f"{name} is not a whole number.")
        return int(value)

    def count(self, name: str) -> int:
        value = self.integer(name)
        if value < 0:
            raise ArgumentError(f"{name} is negative.")
        return value

    def text_or_none(self, name: str) -> str | None:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise ArgumentError(f"{name} is not a string.")
        return value

    def items(self, name: str) -> list[object]:
        value = self._fields.get(name)
        if not isinstance(value, list) or not value:
            raise ArgumentError(f"{name} is not a list with something in it.")
        return value

    def integers(self, name: str) -> list[int]:
        items = self.items(name)
        integers = [int(item) for item in items if isinstance(item, int) and not isinstance(item, bool)]
        if len(integers) != len(items):
            raise ArgumentError(f"{name} holds something that is not a whole number.")
        return integers

    def uuids(self, name: str) -> list[UUID]:
        items = self.items(name)
        uuids = [item for item in items if isinstance(item, UUID)]
        if len(uuids) != len(items):
            raise ArgumentError(f"{name} holds something that is not a UUID.")
        return uuids

    def properties(self, name: str) -> dict[str, object]:
        value = self._fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ArgumentError(f"{name} is not a map.")
        return {str(key): item for key, item in value.items()}
