"""Which kind of link an attach asks for, and whether the client may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.service_bus.addresses import MANAGEMENT_SUFFIX, entity_path
from local.service_bus.cbs import CBS_PATH, CbsNode
from local.service_bus.errors import BrokerError, InvalidFieldError
from local.service_bus.links import Link, ReceiverLink, SenderLink
from local.service_bus.management import ManagementNode
from local.service_bus.performatives import ROLE_RECEIVER, Attach, list_item
from local.service_bus.request_links import RequestLink, ResponseLink

if TYPE_CHECKING:
    from local.service_bus.request_links import Node
    from local.service_bus.session import Session


def make_link(session: Session, attach: Attach) -> Link:
    """The link that ``attach`` asks for, not opened yet; one that only refuses if it cannot be had."""
    client_receives = attach.role is ROLE_RECEIVER
    try:
        path = _path(attach, client_receives=client_receives)
        node = _node(session, path)
        if node is not None:
            return (
                ResponseLink(session, attach, path) if client_receives else RequestLink(session, attach, node)
            )
        session.connection.check_access(path)
        entity = session.connection.broker.entities.find(path)
    except BrokerError as error:
        return RefusedLink(session, attach, error)
    if client_receives:
        return ReceiverLink(session, attach, entity)
    return SenderLink(session, attach, entity, session.connection.broker.max_message_bytes)


def _path(attach: Attach, *, client_receives: bool) -> str:
    """The path of what the client attaches to: the source it receives from, or the target it sends to."""
    address = list_item(attach.source if client_receives else attach.target, 0)
    if not isinstance(address, str):
        raise InvalidFieldError("The attach names no address.")
    return entity_path(address)


def _node(session: Session, path: str) -> Node | None:
    connection = session.connection
    if path == CBS_PATH:
        return CbsNode(connection.grants, connection.broker)
    if not path.endswith(MANAGEMENT_SUFFIX):
        return None
    entity = path.removesuffix(MANAGEMENT_SUFFIX)
    connection.check_access(entity)
    return ManagementNode(path, connection.broker.entities.find(entity), connection)


class RefusedLink(Link):
    """A link that cannot be had."""

    def __init__(self, session: Session, attach: Attach, error: BrokerError) -> None:
        super().__init__(session, attach)
        self.role = not attach.role
        self._error = error

    def open(self) -> None:
        """Raise why."""
        raise self._error
