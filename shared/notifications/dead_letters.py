"""The dead letters for operators: look, redrive, discard.

A redrive of one letter writes the delivery's row first, then sends the new message, then removes the letter.
A crash in between leaves the letter, and the next redrive does what is missing
(``shared.notifications.redrive``): nothing is lost, and a delivery never gets two rounds for one letter. The
file stays settled meanwhile; its deliveries tell that one is under way again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from shared.errors import EntityChangedError, EntityMissingError
from shared.ledger import conditional
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.audit import AuditLog
from shared.notifications.letter import Letter, LetterFilter, LetterIds, read
from shared.notifications.redrive import Step, message_for, plan
from shared.notifications.target_guard import start_afresh
from shared.telemetry.spans import traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set

    from shared.notifications.letter import Selection
    from shared.notifications.lost_messages import LostMessages
    from shared.notifications.target_guard import FreshStarts
    from shared.ports import Clock, DeadLetter, DeadLetterQueue, Entity, MessageQueue, TableStore

MAX_LETTERS = 1000
"""Most letters of one redrive or discard; the next one goes on."""
MAX_SCANNED = 10_000
"""Most letters that one bulk action looks at to find those that are meant."""
MAX_SCANNED_PER_PAGE = 1000
"""Most letters that one page of the list looks at; it may be short, and still have a next one."""
PEEK_LETTERS = 200
MAX_CONCURRENT_READS = 16


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Some letters, the oldest first."""

    letters: Sequence[Letter]
    next_sequence_number: int | None
    """Where the following page starts; None when the end was reached."""


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What a redrive or discard did, or with ``dry_run`` would have done."""

    matched: int
    done: int

    @property
    def skipped(self) -> int:
        """Letters left as they are: settled otherwise, gone meanwhile, or held by somebody else."""
        return self.matched - self.done


class DeadLetters:
    """What operators do with dead letters, those of all owners."""

    def __init__(
        self,
        dead: DeadLetterQueue,
        tables: TableStore,
        queue: MessageQueue,
        clock: Clock,
        lost: LostMessages,
        *,
        targets: FreshStarts | None = None,
    ) -> None:
        self._lost = lost
        self._targets = targets
        self._dead = dead
        self._tables = tables
        self._queue = queue
        self._clock = clock
        self._audit = AuditLog(tables, clock)

    async def list(self, wanted: LetterFilter, *, limit: int, from_sequence_number: int = 0) -> LetterPage:
        """Up to ``limit`` letters that ``wanted`` lets through, without touching any."""
        found: list[Letter] = []
        scanned, following = 0, from_sequence_number
        async for letter in self._scan(from_sequence_number):
            if len(found) == limit or scanned == MAX_SCANNED_PER_PAGE:
                return LetterPage(found, following)
            scanned, following = scanned + 1, letter.dead.sequence_number + 1
            if wanted.matches(letter):
                found.append(letter)
        return LetterPage(found, None)

    async def redrive(
        self, selection: Selection, *, by: str, limit: int = MAX_LETTERS, dry_run: bool = False
    ) -> BulkResult:
        """Deliver again what is dead: a new round of attempts for each letter's delivery.

        Repeating it is safe at any time. Raises UnavailableError in the middle when the queue or the table
        does not answer; what was done until then stays done.
        """
        letters = await self._find(selection, limit)
        if dry_run:
            return BulkResult(len(letters), sum(self._would_redrive(letter, by) for letter in letters))
        await self._start_afresh(letters)
        put_back: set[int] = set()

        async def settle(dead: DeadLetter) -> bool:
            step = await self._put_back(dead, by)
            if step in {Step.SEND, Step.ASK}:
                put_back.add(dead.sequence_number)
            return step is not Step.LEAVE

        return await self._carry_out("redrive", selection, letters, settle, by=by, put_back=put_back)

    async def discard(
        self, selection: Selection, *, by: str, limit: int = MAX_LETTERS, dry_run: bool = False
    ) -> BulkResult:
        """Remove letters for good, whatever their deliveries' rows say; the rows stay as they are."""
        letters = await self._find(selection, limit)
        if dry_run:
            return BulkResult(len(letters), len(letters))
        return await self._carry_out("discard", selection, letters, _always, by=by)

    async def _start_afresh(self, letters: Sequence[Letter]) -> None:
        """Who has letters redriven says that their targets are well: they are not spared any longer."""
        if self._targets is None:
            return
        found = [letter.delivery for letter in letters if letter.delivery is not None]
        for partition, id_ in {(each.subscription_partition, each.subscription_id) for each in found}:
            entity = await self._tables.get(partition, subscriptions.row_key(id_))
            if entity is not None:
                await start_afresh(self._targets, subscriptions.from_entity(entity))

    async def _carry_out(
        self,
        action: str,
        selection: Selection,
        letters: Sequence[Letter],
        settle: Callable[[DeadLetter], Awaitable[bool]],
        *,
        by: str,
        put_back: Set[int] | None = None,
    ) -> BulkResult:
        """Do it, with a record of who asked; what counts are letters removed, or those in ``put_back``."""
        if not letters:
            return BulkResult(0, 0)
        audit = await self._audit.begin(action, by=by, selection=_told(selection), matched=len(letters))
        removed = await self._dead.take({letter.dead.sequence_number for letter in letters}, settle)
        done = removed if put_back is None else len(put_back)
        await self._audit.end(audit, done=done)
        return BulkResult(len(letters), done)

    async def _put_back(self, dead: DeadLetter, by: str) -> Step:
        """Row first, then message; the caller removes the letter after that."""
        message = read(dead).message
        if message is None:
            return Step.LEAVE

        def decide(entity: Entity) -> tuple[Entity | None, Step]:
            delivery = deliveries.from_entity(entity)
            row, step = plan(delivery, attempt=message.attempt, now=self._clock.now(), by=by)
            return (None if row is None else deliveries.to_entity(row)), step

        await self._lost.note(message.owner, message.file_id)
        row_key = deliveries.row_key(message.file_id, message.delivery_id)
        try:
            entity, step = await conditional.update(self._tables, message.owner, row_key, decide)
        except (EntityMissingError, EntityChangedError):
            return Step.LEAVE  # gone, or fought over: the letter stays
        delivery = deliveries.from_entity(entity)
        following = message_for(step, delivery, message, asked_by=traceparent())
        if following is not None:
            await self._queue.send([following])
        return step

    def _would_redrive(self, letter: Letter, by: str) -> bool:
        if letter.message is None or letter.delivery is None:
            return False
        _, step = plan(letter.delivery, attempt=letter.message.attempt, now=self._clock.now(), by=by)
        return step in {Step.SEND, Step.ASK}

    async def _find(self, selection: Selection, limit: int) -> Sequence[Letter]:
        found: list[Letter] = []
        scanned = 0
        async for letter in self._scan(0):
            scanned += 1
            if selection.matches(letter):
                found.append(letter)
            if len(found) == min(limit, MAX_LETTERS) or scanned == MAX_SCANNED:
                break
        return found

    async def _scan(self, from_sequence_number: int) -> AsyncIterator[Letter]:
        """All letters, each with its row."""
        following = from_sequence_number
        while page := await self._dead.peek(from_sequence_number=following, limit=PEEK_LETTERS):
            for letter in await self._joined([read(dead) for dead in page]):
                yield letter
            following = page[-1].sequence_number + 1

    async def _joined(self, letters: Sequence[Letter]) -> Sequence[Letter]:
        places = asyncio.Semaphore(MAX_CONCURRENT_READS)

        async def with_row(letter: Letter) -> Letter:
            message = letter.message
            if message is None:
                return letter
            row_key = deliveries.row_key(message.file_id, message.delivery_id)
            async with places:
                entity = await self._tables.get(message.owner, row_key)
            return replace(letter, delivery=None if entity is None else deliveries.from_entity(entity))

        return await asyncio.gather(*map(with_row, letters))


async def _always(_: DeadLetter) -> bool:
    return True


def _told(selection: Selection) -> str:
    """The selection as JSON, for the record."""
    if isinstance(selection, LetterIds):
        return json.dumps({"ids": sorted(selection.ids)})
    return json.dumps({"filter": {k: str(v) for k, v in asdict(selection).items() if v is not None}})
