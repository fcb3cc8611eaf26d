"""One client's connection: protocol headers, SASL, open and close, heartbeats (parts 2 and 5)."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from local.service_bus.cbs import Grants
from local.service_bus.errors import (
    BrokerError,
    FramingError,
    IllegalStateError,
    InvalidFieldError,
    SessionFailure,
    SlowConsumerError,
)
from local.service_bus.frames import (
    AMQP_HEADER,
    EMPTY_FRAME,
    MIN_MAX_FRAME_BYTES,
    SASL_HEADER,
    Frame,
    FrameReader,
    FrameType,
    ProtocolHeader,
    encode_frame,
)
from local.service_bus.performatives import (
    Begin,
    Close,
    End,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    decode_performative,
    error_value,
)
from local.service_bus.session import Session
from local.service_bus.values import Array, Symbol

if TYPE_CHECKING:
    from local.service_bus.performatives import Performative
    from local.service_bus.server import Broker

MAX_FRAME_BYTES = 65_536
"""The largest frame that is taken, and sent."""
CHANNEL_MAX = 255
MIN_HEARTBEAT_SECONDS = 0.05
PAUSE_AT_BYTES = 1024 * 1024
"""With so much unread by the client, it gets no more messages."""
GIVE_UP_AT_BYTES = 64 * 1024 * 1024
"""With so much unread - replies to requests - the connection is closed."""
SASL_MECHANISMS = ("MSSBCBS", "ANONYMOUS")
"""Neither says who the client is; tokens do, later."""

_LOG = logging.getLogger(__name__)


class ConnectionState(Enum):
    """How far the conversation got.

    ::

        START ──SASL header──▶ SASL ──sasl-init──▶ AUTHENTICATED
          │                                             │
          └──AMQP header──▶ HEADERS ◀──AMQP header──────┘
                               └──open──▶ OPEN ──close──▶ CLOSED
    """

    START = auto()
    SASL = auto()
    AUTHENTICATED = auto()
    HEADERS = auto()
    OPEN = auto()
    CLOSED = auto()


_AFTER_HEADER = {
    (ConnectionState.START, SASL_HEADER): ConnectionState.SASL,
    (ConnectionState.START, AMQP_HEADER): ConnectionState.HEADERS,
    (ConnectionState.AUTHENTICATED, AMQP_HEADER): ConnectionState.HEADERS,
}
_FRAME_TYPE = {
    ConnectionState.SASL: FrameType.SASL,
    ConnectionState.HEADERS: FrameType.AMQP,
    ConnectionState.OPEN: FrameType.AMQP,
}


class Connection(asyncio.Protocol):
    """The broker's end of one connection."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.grants = Grants()
        self.sessions: dict[int, Session] = {}
        self.max_frame_bytes = MAX_FRAME_BYTES
        self.writable = True
        """Whether the client keeps up with reading."""
        self._state = ConnectionState.START
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._unsent: list[bytes] = []
        self._heartbeat: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("The broker serves stream transports.")
        self._transport = transport
        transport.set_write_buffer_limits(high=PAUSE_AT_BYTES)
        self.broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, orderly or not."""
        _LOG.debug("a connection ended: %s", exc)
        self.broker.connections.discard(self)
        self._finish(broken=True)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True
        for session in list(self.sessions.values()):
            for link in list(session.links.values()):
                link.on_room()

    def write(self, data: bytes) -> None:
        """Send bytes, together with all that is written in this turn of the event loop."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if not data or self._transport.is_closing():
            return
        if not self.broker.commit():  # what cannot be kept is not to be told
            self._transport.abort()
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > GIVE_UP_AT_BYTES:
            _LOG.warning("closed a connection: %s", SlowConsumerError("the client does not read"))
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Act on what the client sent. Whatever is wrong with it ends this connection and no other."""
        try:
            for item in self._reader.feed(data):
                if self._state is ConnectionState.CLOSED:
                    return
                if isinstance(item, ProtocolHeader):
                    self._on_header(item)
                else:
                    self._on_frame(item)
        except BrokerError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - a fault of the broker must not take other clients down
            _LOG.exception("closed a connection after an internal error")
            self.fail(BrokerError("The broker failed to handle a frame."))

    # The conversation

    def _on_header(self, header: ProtocolHeader) -> None:
        state = _AFTER_HEADER.get((self._state, header.octets))
        if state is None:
            raise FramingError("This protocol header is not expected here.")
        self._state = state
        self.write(header.octets)
        if state is ConnectionState.SASL:
            mechanisms = SaslMechanisms(mechanisms=Array(map(Symbol, SASL_MECHANISMS)))
            self.write(encode_frame(mechanisms, frame_type=FrameType.SASL))

    def _on_frame(self, frame: Frame) -> None:
        if _FRAME_TYPE.get(self._state) != frame.frame_type:
            raise IllegalStateError("A frame of this type is not expected here.")
        if not frame.body:
            return
        performative, end = decode_performative(frame.body)
        if self._state is ConnectionState.OPEN:
            self._on_performative(frame.channel, performative, frame.body[end:])
        elif isinstance(performative, SaslInit) and self._state is ConnectionState.SASL:
            self._on_sasl_init(performative)
        elif isinstance(performative, Open) and self._state is ConnectionState.HEADERS:
            self._on_open(performative)
        else:
            raise IllegalStateError(f"{type(performative).__name__} is not expected here.")

    def _on_sasl_init(self, init: SaslInit) -> None:
        known = init.mechanism in SASL_MECHANISMS
        self.write(encode_frame(SaslOutcome(code=0 if known else 1), frame_type=FrameType.SASL))
        if known:
            self._state = ConnectionState.AUTHENTICATED
        else:
            self._hang_up()

    def _on_open(self, opening: Open) -> None:
        self._send_open()
        self._state = ConnectionState.OPEN
        if opening.max_frame_size is not None:
            if opening.max_frame_size < MIN_MAX_FRAME_BYTES:
                raise InvalidFieldError(f"max-frame-size is below {MIN_MAX_FRAME_BYTES}.")
            self.max_frame_bytes = min(opening.max_frame_size, MAX_FRAME_BYTES)
        if opening.idle_time_out_ms:
            # Half of what the client allows, so that one late frame does no harm.
            self._beat(max(opening.idle_time_out_ms / 2000, MIN_HEARTBEAT_SECONDS))

    def _send_open(self) -> None:
        self.write(
            encode_frame(
                Open(
                    container_id="dropbell-service-bus",
                    max_frame_size=MAX_FRAME_BYTES,
                    channel_max=CHANNEL_MAX,
                    properties={Symbol("product"): "dropbell-service-bus"},
                )
            )
        )

    def _beat(self, interval_seconds: float) -> None:
        self.write(EMPTY_FRAME)
        self._heartbeat = self._loop.call_later(interval_seconds, self._beat, interval_seconds)

    def _on_performative(self, channel: int, performative: Performative, payload: bytes) -> None:
        if isinstance(performative, Close):
            self._close()
        elif isinstance(performative, Begin):
            self._on_begin(channel, performative)
        elif isinstance(performative, Open | SaslInit):
            raise IllegalStateError(f"{type(performative).__name__} came on an open connection.")
        elif (session := self.sessions.get(channel)) is None:
            return  # the Python SDK detaches its links after it has ended their session
        elif isinstance(performative, End):
            del self.sessions[channel]
            session.closed()
            self.write(encode_frame(End(), channel=channel))
        else:
            self._on_session_frame(session, performative, payload)

    def _on_begin(self, channel: int, begin: Begin) -> None:
        if channel > CHANNEL_MAX:
            raise FramingError(f"Channel {channel} is above the maximum of {CHANNEL_MAX}.")
        if channel in self.sessions:
            raise IllegalStateError(f"Channel {channel} has a session already.")
        self.sessions[channel] = Session(self, channel, begin)

    def _on_session_frame(self, session: Session, performative: Performative, payload: bytes) -> None:
        try:
            session.handle(performative, payload)
        except SessionFailure as error:
            del self.sessions[session.channel]
            session.fail(error)

    def check_access(self, path: str) -> None:
        """Raise ``UnauthorizedError`` unless this client put a valid token for the entity ``path``."""
        self.grants.check(path, self.broker.clock())

    # The end

    def _close(self) -> None:
        self._finish()
        self.write(encode_frame(Close()))
        self._hang_up()

    def fail(self, error: BrokerError) -> None:
        """Close the connection and tell why, as far as the client can understand."""
        if self._state is ConnectionState.CLOSED:
            return
        _LOG.info("closed a connection: %s: %s", error.condition, error.description)
        if self._state in (ConnectionState.START, ConnectionState.AUTHENTICATED):
            self.write(AMQP_HEADER)  # tells a stranger what is spoken here (section 2.2)
        elif self._state is ConnectionState.SASL:
            self.write(encode_frame(SaslOutcome(code=1), frame_type=FrameType.SASL))
        else:
            if self._state is ConnectionState.HEADERS:
                self._send_open()  # an open must come first (section 2.4.1)
            self.write(encode_frame(Close(error=error_value(error))))
        self._finish(broken=True)
        self._hang_up()

    def _hang_up(self) -> None:
        self._state = ConnectionState.CLOSED
        self._flush()
        self._transport.close()

    def _finish(self, *, broken: bool = False) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        self.writable = False  # nothing is delivered to a session while another one is being closed
        sessions = list(self.sessions.values())
        self.sessions.clear()
        for session in sessions:
            session.closed(broken=broken)
