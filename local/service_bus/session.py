"""One AMQP session: a channel with flow control, links by handle, deliveries by id (part 2, 2.5-2.6)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from local.service_bus import attaching, dispositions
from local.service_bus.errors import (
    BrokerError,
    HandleInUseError,
    InvalidFieldError,
    NotAllowedError,
    UnattachedHandleError,
)
from local.service_bus.frames import encode_frame
from local.service_bus.links import IncomingLink
from local.service_bus.performatives import (
    ROLE_RECEIVER,
    Attach,
    Begin,
    Detach,
    Disposition,
    End,
    Flow,
    Transfer,
    encode_performative,
    error_value,
)

if TYPE_CHECKING:
    from uuid import UUID

    from local.service_bus.connection import Connection
    from local.service_bus.links import Link, ReceiverLink
    from local.service_bus.performatives import Performative

HANDLE_MAX = 255
INCOMING_WINDOW = 0x7FFF_FFFF
"""Transfers are worked off as they come, so the window never closes."""
FIRST_OUTGOING_ID = 0x4000_0000
"""Ids of our transfers and deliveries start here. The Python SDK takes a disposition of one of our deliveries
for one of its own if the ids are equal, and it counts its own from 0."""

_FRAME_OVERHEAD_BYTES = 8
_UINT = 0xFFFF_FFFF


class Session:
    """One session of a connection."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self.connection = connection
        self.channel = channel
        self.links: dict[int, Link] = {}
        self._detached_by_us: set[int] = set()
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = FIRST_OUTGOING_ID
        self._next_delivery_id = FIRST_OUTGOING_ID
        self._remote_window = begin.incoming_window
        self._ended = False
        self._unsent: deque[bytes] = deque()  # transfer frames that wait for the peer's window
        self.unsettled: dict[int, tuple[ReceiverLink, UUID]] = {}
        """Deliveries whose outcome is open, with the link they went out on and their lock token."""
        self.send(
            Begin(
                remote_channel=channel,
                next_outgoing_id=FIRST_OUTGOING_ID,
                incoming_window=INCOMING_WINDOW,
                outgoing_window=INCOMING_WINDOW,
                handle_max=HANDLE_MAX,
            )
        )

    # Sending

    def send(self, performative: Performative) -> None:
        """Send a frame on this session's channel."""
        self.connection.write(encode_frame(performative, channel=self.channel))

    def send_flow(
        self, *, handle: int | None = None, delivery_count: int = 0, link_credit: int = 0, drain: bool = False
    ) -> None:
        """Tell the state of the session and, with ``handle``, of a link."""
        of_link = handle is not None
        self.send(
            Flow(
                next_incoming_id=self._next_incoming_id,
                incoming_window=INCOMING_WINDOW,
                next_outgoing_id=self._next_outgoing_id,
                outgoing_window=INCOMING_WINDOW,
                handle=handle,
                delivery_count=delivery_count & _UINT if of_link else None,
                link_credit=link_credit if of_link else None,
                drain=drain or None,
            )
        )

    def has_room(self) -> bool:
        """Whether a message can go out now without waiting for the peer."""
        return self._remote_window > 0 and not self._unsent and self.connection.writable and not self._ended

    def send_message(self, handle: int, payload: bytes, delivery_tag: bytes, *, settled: bool) -> int:
        """Send one message in as many frames as it takes; returns its delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & _UINT
        transfer = Transfer(
            handle=handle,
            delivery_id=delivery_id,
            delivery_tag=delivery_tag,
            message_format=0,
            settled=settled,
            more=True,
        )
        at = 0
        while transfer.more:
            room = (
                self.connection.max_frame_bytes - _FRAME_OVERHEAD_BYTES - len(encode_performative(transfer))
            )
            part = payload[at : at + room]
            at += room
            transfer.more = at < len(payload)
            self._unsent.append(encode_frame(transfer, channel=self.channel, payload=part))
            transfer.delivery_id = transfer.delivery_tag = transfer.message_format = None
        self._send_waiting()
        return delivery_id

    def _send_waiting(self) -> None:
        while self._unsent and self._remote_window > 0:
            self.connection.write(self._unsent.popleft())
            self._remote_window -= 1
            self._next_outgoing_id = (self._next_outgoing_id + 1) & _UINT

    def detach(self, link: Link, error: BrokerError | None = None) -> None:
        """Close a link from our side."""
        self.send(
            Detach(handle=link.handle, closed=True, error=None if error is None else error_value(error))
        )
        del self.links[link.handle]
        self._detached_by_us.add(link.handle)

    # Receiving

    def handle(self, performative: Performative, payload: bytes) -> None:
        """Act on a frame of this session.

        Raises:
            SessionFailure: the session cannot go on.
            ConnectionFailure, InvalidFieldError, DecodeError: neither can the connection.
        """
        match performative:
            case Transfer():
                self._on_transfer(performative, payload)
            case Disposition():
                if performative.role is ROLE_RECEIVER:  # those of senders have nothing left to settle here
                    dispositions.handle(self, performative)
            case Flow():
                self._on_flow(performative)
            case Attach():
                self._on_attach(performative)
            case Detach():
                self._on_detach(performative)
            case _:
                raise InvalidFieldError(f"{type(performative).__name__} does not belong to a session.")

    def _on_attach(self, attach: Attach) -> None:
        if attach.handle > HANDLE_MAX:
            raise InvalidFieldError(f"Handle {attach.handle} is above the maximum of {HANDLE_MAX}.")
        if attach.handle in self.links:
            raise HandleInUseError(f"Handle {attach.handle} is in use.")
        self._detached_by_us.discard(attach.handle)
        link = attaching.make_link(self, attach)
        self.links[attach.handle] = link
        try:
            link.open()
        except BrokerError as error:
            link.refuse(error)

    def _on_flow(self, flow: Flow) -> None:
        was_full = not self.has_room()
        start = FIRST_OUTGOING_ID if flow.next_incoming_id is None else flow.next_incoming_id
        window = (start + flow.incoming_window - self._next_outgoing_id) & _UINT
        self._remote_window = window if window <= INCOMING_WINDOW else 0  # beyond: the peer is behind us
        self._send_waiting()
        link = None if flow.handle is None else self._link(flow.handle)
        if link is not None:
            link.on_flow(flow)
        elif flow.echo:
            self.send_flow()
        if was_full:
            for each in list(self.links.values()):
                each.on_room()

    def _on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) & _UINT
        link = self._link(transfer.handle)
        if isinstance(link, IncomingLink):
            link.on_transfer(transfer, payload)
        elif link is not None:
            raise NotAllowedError(f"The client receives on handle {transfer.handle}; it cannot send there.")

    def _on_detach(self, detach: Detach) -> None:
        link = self.links.pop(detach.handle, None)
        self._detached_by_us.discard(detach.handle)
        if link is not None:  # else it is the answer to our own detach
            link.closed()
            self.send(Detach(handle=detach.handle, closed=detach.closed))

    def _link(self, handle: int) -> Link | None:
        """The link with this handle; ``None`` if we closed it and the peer does not know yet.

        Raises:
            UnattachedHandleError: no link ever had this handle, or the peer closed it.
        """
        link = self.links.get(handle)
        if link is None and handle not in self._detached_by_us:
            raise UnattachedHandleError(f"No link has handle {handle}.")
        return link

    # Ending

    def fail(self, error: BrokerError) -> None:
        """End the session with an error."""
        self.send(End(error=error_value(error)))
        self.closed()

    def closed(self, *, broken: bool = False) -> None:
        """Let go of all links; ``broken`` if the peer vanished."""
        self._ended = True
        links = list(self.links.values())
        self.links.clear()
        self.unsettled.clear()
        for link in links:
            link.closed(broken=broken)
