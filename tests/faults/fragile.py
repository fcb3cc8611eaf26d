"""Ports that stop before every call, and fail in all the ways that real ones do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from shared.errors import TargetFailedError, UnavailableError
from shared.notifications.message import DeliveryMessage
from shared.ports import HttpAnswer

if TYPE_CHECKING:
    import random
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Mapping,
        Sequence,
    )
    from datetime import datetime

    from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
    from shared.ports import BlobProperties, Change, Entity, Page, QueueMessage, StagedBlock

LOCK_SECONDS = 60
MAX_DELIVERY_COUNT = 10
DUPLICATE_WINDOW_SECONDS = 600


class CrashError(BaseException):
    """The process is gone. Not an ``Exception``: no code of ours may catch it."""


class Fate(Enum):
    """What befalls one port call."""

    FINE = "fine"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    REFUSED = "refused"
    """An error, and nothing happened."""
    ANSWER_LOST = "answer lost"
    """It happened, and the caller gets an error."""
    SENT_AGAIN = "sent again"
    """It happened, the answer was lost, and the SDK sent it once more. Only the queue's SDK does so: the
    storage adapters see to it that no table write is repeated."""


READ = frozenset({Fate.CRASH_BEFORE, Fate.REFUSED})
WRITE = frozenset({Fate.CRASH_BEFORE, Fate.CRASH_AFTER, Fate.REFUSED, Fate.ANSWER_LOST})
CRASH = frozenset({Fate.CRASH_BEFORE, Fate.CRASH_AFTER})


class Step:
    """Where a task stops; the scheduler sends the fate of the call that follows."""

    def __init__(self, port: str, possible: frozenset[Fate]) -> None:
        self.port = port
        self.possible = possible

    def __await__(self) -> Generator[Step, Fate, Fate]:
        return (yield self)


async def call[Result](port: str, possible: frozenset[Fate], work: Callable[[], Awaitable[Result]]) -> Result:
    """Do ``work`` as one step, with whatever befalls it."""
    fate = await Step(port, possible)
    if fate is Fate.CRASH_BEFORE:
        raise CrashError(port)
    if fate is Fate.REFUSED:
        raise UnavailableError("refused")
    result = await work()
    if fate is Fate.CRASH_AFTER:
        raise CrashError(port)
    if fate is Fate.ANSWER_LOST:
        raise UnavailableError("answer lost")
    return await work() if fate is Fate.SENT_AGAIN else result


class SkewedClock:
    """A worker's clock, a little off the world's."""

    def __init__(self, world_clock: MemoryClock, skew_seconds: float) -> None:
        self._world_clock = world_clock
        self._skew = timedelta(seconds=skew_seconds)

    def now(self) -> datetime:
        return self._world_clock.now() + self._skew


class FragileTables:
    """``TableStore`` whose calls are steps."""

    def __init__(self, memory: MemoryTables) -> None:
        self._memory = memory

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        return await call("tables.get", READ, lambda: self._memory.get(partition_key, row_key))

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        return await call(
            "tables.query",
            READ,
            lambda: self._memory.query(
                partition_key, first_row_key=first_row_key, end_row_key=end_row_key, limit=limit
            ),
        )

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        return await call("tables.apply", WRITE, lambda: self._memory.apply(changes))


class FragileBlobs:
    """``BlobStore`` whose calls are steps; each new blob raises its BlobCreated event."""

    def __init__(self, memory: MemoryBlobs, created: Callable[[str], None]) -> None:
        self._memory = memory
        self._created = created

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        async def work() -> BlobProperties:
            made = await self._memory.create(name, content, content_type=content_type, metadata=metadata)
            self._created(name)
            return made

        return await call("blobs.create", WRITE, work)

    async def properties(self, name: str) -> BlobProperties | None:
        return await call("blobs.properties", READ, lambda: self._memory.properties(name))

    async def read(
        self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        pieces = self._memory.read(name, offset_bytes=offset_bytes, size_bytes=size_bytes, etag=etag)
        while (piece := await call("blobs.read", READ, lambda: anext(pieces, None))) is not None:
            yield piece

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        await call("blobs.stage", WRITE, lambda: self._memory.stage(name, block_id, content))

    async def staged(self, name: str) -> Sequence[StagedBlock]:
        return await call("blobs.staged", READ, lambda: self._memory.staged(name))

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        async def work() -> BlobProperties:
            made = await self._memory.commit(name, block_ids, content_type=content_type, metadata=metadata)
            self._created(name)
            return made

        return await call("blobs.commit", WRITE, work)

    async def delete(self, name: str) -> None:
        """Throwing away blocks takes an empty blob for a moment, whose event comes, too."""

        async def work() -> None:
            if await self._memory.staged(name):
                self._created(name)
            await self._memory.delete(name)

        await call("blobs.delete", WRITE, work)


@dataclass
class Letter:
    """A message in the queue."""

    message: QueueMessage
    visible_at: datetime
    delivery_count: int = 0
    locked_until: datetime | None = None
    lock: int = 0
    """Counts the locks; only the latest one can settle the message."""


class PeekLockQueue:
    """Service Bus as far as it matters here: peek-lock, scheduling, duplicate detection, dead letters."""

    def __init__(
        self, clock: MemoryClock, occurred: Counter[str], chance: random.Random, *, losing: float = 0
    ) -> None:
        self.losing = losing
        """How likely it forgets a message that it took."""
        self.letters: list[Letter] = []
        self.dead: list[QueueMessage] = []
        self._clock = clock
        self._occurred = occurred
        self._chance = chance
        self._seen: dict[str, datetime] = {}
        self.most_looks = 0
        """The longest chain of looks at another worker's lease."""

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        await call("queue.send", WRITE | {Fate.SENT_AGAIN}, lambda: self._send(messages))

    async def _send(self, messages: Sequence[QueueMessage]) -> None:
        now = self._clock.now()
        for message in messages:
            seen_at = self._seen.get(message.message_id)
            if seen_at is not None and (now - seen_at).total_seconds() < DUPLICATE_WINDOW_SECONDS:
                self._occurred["duplicate dropped"] += 1
                continue
            self._seen[message.message_id] = now
            self.most_looks = max(self.most_looks, DeliveryMessage.from_queue(message.body).looks)
            copies = 2 if self._chance.random() < 0.03 else 1
            self._occurred["message doubled"] += copies - 1
            if self.losing and self._chance.random() < self.losing:
                copies = 0
                self._occurred["message lost"] += 1
            self.letters += [Letter(message, message.not_before or now) for _ in range(copies)]

    def waiting(self) -> list[Letter]:
        """What can be received now."""
        now = self._clock.now()
        return [
            letter
            for letter in self.letters
            if letter.visible_at <= now and (letter.locked_until is None or letter.locked_until <= now)
        ]

    def receive(self, letter: Letter) -> int | None:
        """Lock it; None when it has been delivered too often and goes to the dead letters instead."""
        self._occurred["lock expired"] += letter.locked_until is not None
        if letter.delivery_count >= MAX_DELIVERY_COUNT:
            self.letters.remove(letter)
            self.dead.append(letter.message)
            return None
        letter.delivery_count += 1
        letter.lock += 1
        letter.locked_until = self._clock.now() + timedelta(seconds=LOCK_SECONDS)
        return letter.lock

    async def complete(self, letter: Letter, lock: int) -> None:
        if self._holds(letter, lock):
            self.letters.remove(letter)

    def abandon(self, letter: Letter, lock: int) -> None:
        if self._holds(letter, lock):
            letter.locked_until = None

    def _holds(self, letter: Letter, lock: int) -> bool:
        held = letter.lock == lock and letter in self.letters and letter.locked_until is not None
        in_time = held and letter.locked_until is not None and self._clock.now() < letter.locked_until
        self._occurred["lock lost"] += not in_time
        return in_time

    def next_due(self) -> list[datetime]:
        """When what cannot be received now can be."""
        return [max(letter.visible_at, letter.locked_until or letter.visible_at) for letter in self.letters]


class MoodyReceivers:
    """``HttpSender``: the subscribers' servers, which answer as chance has it."""

    def __init__(self, chance: random.Random, *, failing: float) -> None:
        self.posts: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        """Answers 2xx that were given, by delivery; not all of them arrive."""
        self._chance = chance
        self._failing = failing

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> HttpAnswer:
        async def work() -> HttpAnswer:
            self.posts[headers["webhook-id"]] += 1
            if self._chance.random() >= self._failing:
                self.accepted[headers["webhook-id"]] += 1
                return HttpAnswer(204)
            if self._chance.random() < 0.25:
                raise TargetFailedError("no answer")
            answers = (
                HttpAnswer(500),
                HttpAnswer(503, "40"),
                HttpAnswer(302),
                HttpAnswer(500),
                HttpAnswer(410),
            )
            return self._chance.choice(answers)

        return await call("sender.post", CRASH, work)
