"""Deliveries that are dead, their letters, and everything that can bring them back, over memory adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.adapters.memory_dead_letters import MemoryDeadLetters
from shared.errors import DeadLetterError, UnavailableError
from shared.files.file import FileStatus
from shared.ledger.due import DueBook
from shared.notifications import delivery_record as deliveries
from shared.notifications.dead_letters import DeadLetters
from shared.notifications.delivery_record import Attempt, AttemptOutcome, Delivery, DeliveryStatus
from shared.notifications.lost_messages import LostMessages
from shared.notifications.message import DeliveryMessage
from shared.notifications.redelivery import Redelivery
from tests.faults.fragile import CrashError
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, PUBLIC_URL, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence, Set

    from shared.ports import Change, DeadLetter, Entity, Page, QueueMessage

SETTLED_FILE = sample.file(status=FileStatus.SETTLED, announced_at=NOW, settled_at=NOW)
OPERATOR = "tenant/olga"


def dead_delivery(number: int, **changes: Any) -> Delivery:
    attempt = Attempt(3, NOW, 5, AttemptOutcome.FAILED, 500, "the target answered 500")
    told = {
        "status": DeliveryStatus.DEAD,
        "attempt": 3,
        "attempts": (attempt,),
        "settled_at": NOW,
        "reason": "the target answered 500",
    }
    return sample.delivery(number, **(told | changes))


class Cut:
    """Ends the process before or after the ``at``-th call of any port; never when ``at`` is None."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.calls = 0
        self._at = at
        self._after = after

    async def __call__[Result](self, work: Awaitable[Result]) -> Result:
        self.calls += 1
        now = self.calls == self._at
        if now and not self._after:
            work.close()  # type: ignore[attr-defined]  # a coroutine that nobody will wait for
            raise CrashError
        try:
            return await work
        finally:
            if now:  # also where the call failed
                raise CrashError


class Office(World):
    """A world with a dead-letter queue; every port call can be the last one."""

    def __init__(self, *answers: Any, cut: Cut | None = None) -> None:
        super().__init__(*answers)
        self.letters = MemoryDeadLetters()
        self.cut = cut or Cut()
        self.queue_is_away = False

    async def bury(self, *numbers: int, **changes: Any) -> None:
        """The settled file's deliveries are dead, and their messages lie in the dead-letter queue."""
        if await self.file() is None:
            await sample.insert(self.memory, SETTLED_FILE)
        for number in numbers:
            await sample.insert(self.memory, sample.subscription(number), dead_delivery(number, **changes))
            self.add(sample.message(number, attempt=3))

    def add(self, message: DeliveryMessage) -> DeadLetter:
        sent = message.to_queue()
        return self.letters.add(sent.message_id, sent.body, enqueued_at=self.clock.now())

    def dead_letters(self) -> DeadLetters:
        return DeadLetters(_Dead(self), _Tables(self), _Queue(self), self.clock, self.lost_messages())

    def lost_messages(self) -> LostMessages:
        tables = _Tables(self)
        return LostMessages(
            tables, _Queue(self), self.clock, DueBook(tables, self.clock), public_url=PUBLIC_URL
        )

    def redelivery(self) -> Redelivery:
        tables = _Tables(self)
        due = DueBook(tables, self.clock)
        return Redelivery(tables, _Queue(self), self.clock, due, public_url=PUBLIC_URL)

    async def work_off(self) -> None:
        """Workers take every message that is there."""
        while self.sent.messages:
            body = self.sent.messages.pop(0).body
            try:
                await self.deliverer().handle(body)
            except DeadLetterError:
                self.add(DeliveryMessage.from_queue(body))

    async def by_status(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for delivery in await self.deliveries():
            counts[delivery.status.value] = counts.get(delivery.status.value, 0) + 1
        return counts

    async def row(self, delivery: Delivery) -> Delivery:
        entity = await self.memory.get(delivery.owner, deliveries.row_key(delivery.file_id, delivery.id))
        assert entity is not None
        return deliveries.from_entity(entity)


class _Tables:
    def __init__(self, office: Office) -> None:
        self._office = office

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        return await self._office.cut(self._office.memory.get(partition_key, row_key))

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        found = self._office.memory.query(
            partition_key, first_row_key=first_row_key, end_row_key=end_row_key, limit=limit
        )
        return await self._office.cut(found)

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        return await self._office.cut(self._office.memory.apply(changes))


class _Queue:
    def __init__(self, office: Office) -> None:
        self._office = office

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if self._office.queue_is_away:
            raise UnavailableError("the queue is away")
        await self._office.cut(self._office.sent.send(messages))


class _Dead:
    def __init__(self, office: Office) -> None:
        self._office = office

    async def peek(self, *, from_sequence_number: int = 0, limit: int) -> Sequence[DeadLetter]:
        found = self._office.letters.peek(from_sequence_number=from_sequence_number, limit=limit)
        return await self._office.cut(found)

    async def take(self, sequence_numbers: Set[int], settle: Callable[[DeadLetter], Awaitable[bool]]) -> int:
        async def settle_and_pass(letter: DeadLetter) -> bool:
            return await self._office.cut(settle(letter))

        return await self._office.letters.take(sequence_numbers, settle_and_pass)
