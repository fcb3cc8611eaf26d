"""A dead letter beside its delivery's row, and which of them an operator means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import DeadLetterError
from shared.notifications.message import DeliveryMessage

if TYPE_CHECKING:
    from datetime import datetime

    from shared.notifications.delivery_record import Delivery
    from shared.ports import DeadLetter

_NUMBERED = re.compile(r"seq-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Letter:
    """What lies in the dead-letter queue, and what is known of it."""

    dead: DeadLetter
    message: DeliveryMessage | None
    """None when it cannot be read."""
    delivery: Delivery | None = None
    """None when the message cannot be read or the row is gone."""
    fault: str | None = None
    """Why the message cannot be read."""

    @property
    def id(self) -> str:
        """The delivery's id; ``seq-<sequence number>`` for a message that cannot be read."""
        return self.message.delivery_id if self.message else number_id(self.dead.sequence_number)

    @property
    def reason(self) -> str | None:
        """Why it lies here: what the row says, or what is wrong with the message, or what the queue says."""
        if self.fault is not None:
            return self.fault
        of_row = self.delivery.reason if self.delivery else None
        return of_row or self.dead.reason


def read(dead: DeadLetter) -> Letter:
    """The letter as far as the message itself tells."""
    try:
        return Letter(dead, DeliveryMessage.from_queue(dead.body))
    except DeadLetterError as error:
        return Letter(dead, None, fault=str(error))


def number_id(sequence_number: int) -> str:
    """The id of a letter by its number in the queue."""
    return f"seq-{sequence_number}"


def is_letter_id(text: str) -> bool:
    """Whether ``text`` can name a letter: a number's id, or anything that a delivery's id can look like."""
    return _NUMBERED.fullmatch(text) is not None or re.fullmatch(r"[A-Za-z0-9_-]{1,200}", text) is not None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant: all conditions that are set must hold.

    Unreadable ones match by age and reason only.
    """

    subscription_id: str | None = None
    file_id: str | None = None
    reason: str | None = None
    """Part of the reason, in any case of letters."""
    enqueued_before: datetime | None = None
    enqueued_after: datetime | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether ``letter`` is meant."""
        message, at = letter.message, letter.dead.enqueued_at
        return (
            (self.subscription_id is None or (message and message.subscription_id) == self.subscription_id)
            and (self.file_id is None or (message and message.file_id) == self.file_id)
            and (self.reason is None or self.reason.casefold() in (letter.reason or "").casefold())
            and (self.enqueued_before is None or at < self.enqueued_before)
            and (self.enqueued_after is None or at >= self.enqueued_after)
        )


@dataclass(frozen=True, slots=True)
class LetterIds:
    """Letters by id: that of the delivery (then all of its letters), or ``seq-<number>``."""

    ids: frozenset[str]

    def matches(self, letter: Letter) -> bool:
        """Whether ``letter`` is meant."""
        return not self.ids.isdisjoint({letter.id, number_id(letter.dead.sequence_number)})


type Selection = LetterFilter | LetterIds
