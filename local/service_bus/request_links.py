"""Links to request/response nodes: ``$cbs`` and the ``$management`` of an entity.

A client sends requests on one link and gets the replies on another. Replies go to the link that ``reply-to``
names: by its target (JavaScript), else by its source (Python names the node itself), else the first there is.
"""

from __future__ import annotations

import uuid
from collections import deque
from typing import TYPE_CHECKING, Protocol

from local.service_bus.errors import NotAllowedError
from local.service_bus.links import IncomingLink, Link
from local.service_bus.message import encode_response, parse_request
from local.service_bus.performatives import ROLE_RECEIVER, list_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.service_bus.message import Request
    from local.service_bus.performatives import Attach, Flow
    from local.service_bus.session import Session

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""A request to schedule messages can hold several."""

_UINT = 0xFFFF_FFFF


class Node(Protocol):
    """Something that answers requests."""

    path: str

    def answer(self, request: Request) -> tuple[Mapping[str, object], object]:
        """The application properties and the body of the reply; a refusal is a reply, too."""


class RequestLink(IncomingLink):
    """A link on which the client sends requests to a node."""

    def __init__(self, session: Session, attach: Attach, node: Node) -> None:
        super().__init__(session, attach, MAX_REQUEST_BYTES)
        self._node = node

    def take(self, message: bytes, message_format: int) -> None:
        """Answer a request on the client's response link."""
        if message_format != 0:
            raise NotAllowedError("A request is one message, not a batch.")
        request = parse_request(message)
        response_link = self._response_link(request.reply_to)
        properties, body = self._node.answer(request)
        response_link.respond(encode_response(request.message_id, properties, body))

    def _response_link(self, reply_to: object) -> ResponseLink:
        links = [link for link in self._links_nearest_first() if link.path == self._node.path]
        for link in links:
            if link.target_address == reply_to:
                return link
        for link in links:
            if link.source_address == reply_to:
                return link
        if not links:
            raise NotAllowedError(f"The client has no link to receive replies from '{self._node.path}'.")
        return links[0]

    def _links_nearest_first(self) -> Iterator[ResponseLink]:
        others = [each for each in self.session.connection.sessions.values() if each is not self.session]
        for session in (self.session, *others):
            for link in session.links.values():
                if isinstance(link, ResponseLink):
                    yield link


class ResponseLink(Link):
    """A link on which the client gets the replies of a node."""

    role = not ROLE_RECEIVER

    def __init__(self, session: Session, attach: Attach, path: str) -> None:
        super().__init__(session, attach)
        self.path = path
        self.source_address = list_item(attach.source, 0)
        self.target_address = list_item(attach.target, 0)
        self._credit = 0
        self._delivery_count = 0
        self._waiting: deque[bytes] = deque()

    def respond(self, reply: bytes) -> None:
        """Send a reply as soon as the client gives credit for it."""
        self._waiting.append(reply)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._credit > 0:
            self._credit -= 1
            self._delivery_count = (self._delivery_count + 1) & _UINT
            self.session.send_message(self.handle, self._waiting.popleft(), uuid.uuid4().bytes, settled=True)

    def on_flow(self, flow: Flow) -> None:
        """Take the client's credit."""
        credit = ((flow.delivery_count or 0) + (flow.link_credit or 0) - self._delivery_count) & _UINT
        self._credit = credit if credit < 2**31 else 0
        self._send_waiting()
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
