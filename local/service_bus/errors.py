"""Everything the broker can refuse, as one tree.

``BrokerError`` carries what a client is told: an AMQP error condition, a sentence, and the status code that
replies on request/response nodes (``$cbs``, ``$management``) use. Conditions that start with
``com.microsoft:`` are those of Service Bus
(https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot).
"""

from __future__ import annotations

from typing import ClassVar


class BrokerError(Exception):
    """A refusal with its AMQP condition; raised where the fact is known, sent where the client is."""

    condition: ClassVar[str] = "amqp:internal-error"
    status: ClassVar[int] = 500

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


class ConnectionFailure(BrokerError):  # noqa: N818 - a family of errors, never raised itself
    """The peer broke the protocol in a way that ends the connection."""


class FramingError(ConnectionFailure):
    """A frame cannot be formed from the bytes received, or is not allowed where it came."""

    condition = "amqp:connection:framing-error"


class IllegalStateError(ConnectionFailure):
    """A frame came that the state of the connection does not allow."""

    condition = "amqp:illegal-state"


class SlowConsumerError(ConnectionFailure):
    """The peer asks for data and does not read it."""

    condition = "amqp:resource-limit-exceeded"


class SessionFailure(BrokerError):  # noqa: N818 - a family of errors, never raised itself
    """The peer broke the protocol in a way that ends one AMQP session."""


class HandleInUseError(SessionFailure):
    """An attach used the handle of a link that is attached."""

    condition = "amqp:session:handle-in-use"


class UnattachedHandleError(SessionFailure):
    """A frame named a handle that no link has."""

    condition = "amqp:session:unattached-handle"


class DecodeError(BrokerError):
    """Bytes that are not valid AMQP data."""

    condition = "amqp:decode-error"
    status = 400


class InvalidFieldError(BrokerError):
    """A field is missing, of the wrong type, or out of range."""

    condition = "amqp:invalid-field"
    status = 400


class NotAllowedError(BrokerError):
    """The entity does not allow this."""

    condition = "amqp:not-allowed"
    status = 400


class NotSupportedError(BrokerError):
    """Service Bus can do this; this broker cannot."""

    condition = "amqp:not-implemented"
    status = 501


class EntityNotFoundError(BrokerError):
    """No queue, topic or subscription has this address."""

    condition = "amqp:not-found"
    status = 404


class UnauthorizedError(BrokerError):
    """No valid token covers the entity."""

    condition = "amqp:unauthorized-access"
    status = 401


class MessageTooLargeError(BrokerError):
    """A message is larger than the entity takes."""

    condition = "amqp:link:message-size-exceeded"
    status = 400


class ArgumentError(BrokerError):
    """An argument of a request is outside of what Service Bus takes."""

    condition = "com.microsoft:argument-error"
    status = 400


class MessageLockLostError(BrokerError):
    """The lock has expired, or the message is settled."""

    condition = "com.microsoft:message-lock-lost"
    status = 410


class MessageNotFoundError(BrokerError):
    """No message with that sequence number is in the state the operation needs."""

    condition = "com.microsoft:message-not-found"
    status = 404


class SessionLockLostError(BrokerError):
    """The message session is not, or no longer, held by the caller."""

    condition = "com.microsoft:session-lock-lost"
    status = 410


class SessionCannotBeLockedError(BrokerError):
    """The message session is held by another receiver."""

    condition = "com.microsoft:session-cannot-be-locked"
    status = 410


class SessionTimeoutError(BrokerError):
    """No message session came free in the time the receiver allowed."""

    condition = "com.microsoft:timeout"
    status = 408
