"""What a client's disposition means for the messages it names (part 2, section 2.6.12; part 3, section 3.4).

Service Bus answers every unsettled disposition with a settled one of the same outcome, or with ``rejected``
and an error if the outcome did not happen. The SDKs wait for that answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.service_bus.errors import (
    BrokerError,
    InvalidFieldError,
    MessageLockLostError,
    NotSupportedError,
)
from local.service_bus.performatives import (
    ACCEPTED,
    MODIFIED,
    RECEIVED,
    REJECTED,
    RELEASED,
    ROLE_SENDER,
    Disposition,
    accepted,
    list_item,
    rejected,
)
from local.service_bus.settlement import Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.service_bus.session import Session
    from local.service_bus.values import Described


def handle(session: Session, disposition: Disposition) -> None:
    """Settle the deliveries that ``disposition`` names, and answer for each."""
    state = disposition.state or accepted()
    if state.descriptor == RECEIVED:  # not an outcome: the client tells how far it has read
        return
    last = disposition.first if disposition.last is None else disposition.last
    for delivery_id in _delivery_ids(session, disposition.first, last):
        answer = _settle(session, delivery_id, state)
        if not disposition.settled:
            session.send(
                Disposition(role=ROLE_SENDER, first=delivery_id, last=delivery_id, settled=True, state=answer)
            )


def _delivery_ids(session: Session, first: int, last: int) -> Iterable[int]:
    """The ids to act on. A range can name four billion, so of a range only those are taken that are open."""
    if first == last:
        return [first]
    return [delivery_id for delivery_id in session.unsettled if first <= delivery_id <= last]


def _settle(session: Session, delivery_id: int, state: Described) -> Described:
    """Settle one delivery; returns the state to answer with."""
    link, lock_token = session.unsettled.pop(delivery_id, (None, None))
    try:
        if link is None or lock_token is None:
            raise MessageLockLostError(
                f"Delivery {delivery_id} is not open: it is settled, or never was sent."
            )
        if session.links.get(link.handle) is not link:
            raise MessageLockLostError(
                "The link that received this message is closed; settle the message by its lock token."
            )
        link.entity.settle(lock_token, settlement_of(state))
    except BrokerError as error:
        return rejected(error)
    return rejected() if state.descriptor == REJECTED else state


def settlement_of(state: Described) -> Settlement:
    """What Service Bus does for a delivery state.

    Raises:
        NotSupportedError: the state belongs to a transaction.
        InvalidFieldError: it is no outcome.
    """
    if state.descriptor == ACCEPTED:
        return Settlement(Outcome.COMPLETE)
    if state.descriptor == RELEASED:
        return Settlement(Outcome.RELEASE)
    if state.descriptor == MODIFIED:
        delivery_failed, undeliverable_here = list_item(state, 0), list_item(state, 1)
        properties = _text_keys(list_item(state, 2))
        if undeliverable_here:
            return Settlement(Outcome.DEFER, properties)
        return Settlement(Outcome.ABANDON if delivery_failed else Outcome.RELEASE, properties)
    if state.descriptor == REJECTED:
        error = list_item(state, 0)
        info = _text_keys(list_item(error, 2))
        reason, description = info.pop("DeadLetterReason", None), info.pop("DeadLetterErrorDescription", None)
        return Settlement(Outcome.DEAD_LETTER, info, _text(reason), _text(description))
    if state.descriptor == _TRANSACTIONAL_STATE:
        raise NotSupportedError("The broker has no transactions.")
    raise InvalidFieldError(f"{state.descriptor!r} is not the descriptor of an outcome.")


_TRANSACTIONAL_STATE = 0x34


def _text_keys(value: object) -> dict[str, object]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
