"""What a redrive does with one dead letter: decided by the delivery's row and the letter's attempt."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from shared.notifications.delivery_record import SETTLED, Delivery, DeliveryStatus, requeued

if TYPE_CHECKING:
    from datetime import datetime

    from shared.notifications.message import DeliveryMessage
    from shared.ports import QueueMessage


class Step(Enum):
    """What is to be done with the letter, after the row is written."""

    SEND = "send"
    """Send the message of the attempt that the row says is due, then remove the letter."""
    ASK = "ask"
    """The delivery is under way and this may have been its only message: send a copy that looks after it,
    then remove the letter."""
    CLEAR = "clear"
    """A redrive before has put the delivery back already, and it has gone on since: remove the letter."""
    LEAVE = "leave"
    """The delivery is settled in another way: the letter stays until it is discarded."""


def plan(delivery: Delivery, *, attempt: int, now: datetime, by: str) -> tuple[Delivery | None, Step]:
    """Decide on the letter that holds the message for ``attempt``; the new row where one is written.

    Asked again after a crash at any point, it does what is missing, and never begins a second round.
    """
    match delivery.status:
        case DeliveryStatus.QUEUED if attempt < delivery.attempt:
            return None, Step.SEND
        case _ if attempt < delivery.first_attempt:
            return None, Step.CLEAR
        case DeliveryStatus.DEAD:
            return requeued(delivery, now, by), Step.SEND
        case status if status in SETTLED:
            return None, Step.LEAVE
        case _:
            return None, Step.ASK


def message_for(
    step: Step, delivery: Delivery, message: DeliveryMessage, *, asked_by: str | None = None
) -> QueueMessage | None:
    """What is sent for ``step``.

    ``delivery`` is the row as it stands now, ``asked_by`` the ``traceparent`` of the operator's request.
    """
    match step:
        case Step.SEND:
            return message.for_round(delivery.attempt, asked_by=asked_by).to_queue()
        case Step.ASK:
            # Its own message id: the queue may remember that of the letter, and drop it.
            return message.for_look().to_queue()
        case _:
            return None
