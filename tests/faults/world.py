"""A world in which everything fails that can fail, and one seed makes it fail in one way.

The real ``Intake``, ``FanOut``, ``Deliverer`` and ``WebhookChannel`` run over the memory adapters. Every port
call is one step: a task stops before it, and the scheduler decides which task goes on, and what befalls its
call. Nothing here is asynchronous in the usual sense; coroutines are driven by hand, so that the order of all
steps follows from the seed alone.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import UploadIncompleteError
from shared.files import file as files
from shared.files.file import FileStatus
from shared.files.intake import Intake, Upload
from shared.files.publication import Publication
from shared.files.quota import Quota, QuotaPolicy
from shared.ledger.due import DueBook, from_entity
from shared.notifications import lost_messages
from shared.notifications import subscription as subscriptions
from shared.notifications.channels.webhook import WebhookChannel
from shared.notifications.delivery import Deliverer, DeliveryPolicy
from shared.notifications.delivery_record import SETTLED, DeliveryStatus, row_keys_of_file
from shared.notifications.fan_out import FanOut
from shared.notifications.lost_messages import LostMessages
from shared.notifications.message import DeliveryMessage
from shared.notifications.retry_schedule import RetrySchedule
from shared.notifications.sealed_secret import SecretBox, new_secret
from shared.notifications.subscription import (
    ChannelKind,
    EventType,
    SealedSecret,
    Subscription,
    SubscriptionStatus,
)
from shared.ports import Insert
from tests.faults.fragile import (
    CRASH,
    CrashError,
    Fate,
    FragileBlobs,
    FragileTables,
    Letter,
    MoodyReceivers,
    PeekLockQueue,
    SkewedClock,
    Step,
    call,
)
from tests.unit.shared.sample import AnyContent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from datetime import datetime

    from shared.files.file import File

OWNER = "0123456789abcdef0123456789abcdef"
POLICY = DeliveryPolicy(RetrySchedule((5, 30, 120)), attempt_timeout_seconds=15, lease_seconds=25)
CLOCK_SKEWS_SECONDS = (0.0, -0.4, 0.4)
"""One worker each; further apart than any two of Azure's machines, and closer than the margin of a look."""
PUBLIC_URL = "https://dropbell.example"
SWEEP_PERIOD = timedelta(minutes=1)
MAX_TASKS = 6
MAX_STEPS = 50_000


@dataclass(frozen=True)
class Worker:
    """One process."""

    intake: Intake
    fan_out: FanOut
    deliverer: Deliverer
    due: DueBook
    lost_messages: LostMessages

    async def sweep(self) -> None:
        """The timer's part, as far as it concerns what is played here."""
        works = {
            files.ANNOUNCE: self.lost_messages.after(self.fan_out.look),
            lost_messages.DUE_KIND: self.lost_messages.look,
        }
        await self.due.work_off(works)


@dataclass
class Task:
    """Something under way in a process."""

    running: Coroutine[Step, Fate | None, None]
    at: Step | None = None
    """The step that it stopped before; None before it has begun."""
    redo: Callable[[], None] | None = None
    """What happens when it fails."""


class World:
    """Uploads, events, messages, workers, and the bad luck that ``seed`` holds for them."""

    def __init__(
        self,
        seed: int,
        *,
        uploads: int,
        subscribers: int,
        fates: frozenset[Fate] = frozenset(Fate),
        bad_luck: int = 7,
        failing: float = 0.3,
        outage_seconds: float = 0,
        losing: float = 0,
    ) -> None:
        self.chance = random.Random(seed)
        self._seed = seed
        self.occurred: Counter[str] = Counter()
        self.clock = MemoryClock()
        self.tables = MemoryTables()
        self.blobs = MemoryBlobs()
        self.queue = PeekLockQueue(self.clock, self.occurred, self.chance, losing=losing)
        self.receivers = MoodyReceivers(self.chance, failing=failing)
        self.accepted: list[File] = []
        self.steps = 0
        self._outage_seconds = outage_seconds
        """How long no table answers, from the first message on."""
        self._outage_ends: datetime | None = None
        self._fates = fates
        self._bad_luck = bad_luck
        """How many more calls may fail: few enough that bad luck alone exhausts no message's deliveries."""
        self._tasks: list[Task] = []
        self._events: list[tuple[datetime, str]] = []
        self._sweep_at: datetime | None = self.clock.now() + SWEEP_PERIOD if losing else None
        """When the timer goes off next; None for never."""
        secret_box = SecretBox(bytes(32))
        self._workers = [self._worker(secret_box, skew_seconds=skew) for skew in CLOCK_SKEWS_SECONDS]
        self._subscribe(secret_box, subscribers)
        for _ in range(uploads):
            self._tasks.append(Task(self._upload()))

    def _worker(self, secret_box: SecretBox, *, skew_seconds: float) -> Worker:
        clock = SkewedClock(self.clock, skew_seconds)
        tables = FragileTables(self.tables)
        blobs = FragileBlobs(self.blobs, self._blob_created)
        channels = {ChannelKind.WEBHOOK: WebhookChannel(self.receivers, secret_box, clock)}
        quota = Quota(tables, QuotaPolicy())
        publication = Publication(
            blobs, tables, clock, quota=quota, content=AnyContent(), due=DueBook(tables, clock)
        )
        due = DueBook(tables, clock)
        return Worker(
            Intake(blobs, tables, clock, max_file_bytes=1000, due=due),
            FanOut(publication, tables, self.queue, clock, public_url=PUBLIC_URL),
            Deliverer(tables, self.queue, channels, clock, POLICY),
            due,
            LostMessages(tables, self.queue, clock, due, public_url=PUBLIC_URL),
        )

    def _subscribe(self, secret_box: SecretBox, subscribers: int) -> None:
        secret = new_secret()
        for number in range(subscribers):
            id_ = f"{number:032x}"
            made = Subscription(
                id=id_,
                owner=OWNER,
                channel=ChannelKind.WEBHOOK,
                target=f"https://{number}.example/hook",
                events=frozenset({EventType.FILE_STORED}),
                status=SubscriptionStatus.ACTIVE,
                secrets=(SealedSecret(secret_box.seal(secret, subscription_id=id_)),),
                created_at=self.clock.now(),
                updated_at=self.clock.now(),
            )
            _at_once(self.tables.apply([Insert(subscriptions.to_entity(made))]))

    # -- what goes on ------------------------------------------------------------------------------------

    async def _upload(self) -> None:
        chunks = self.chance.randint(1, 3)
        cut_off = self._bad_luck > 0 and self.chance.random() < 0.15
        upload = Upload(OWNER, "a.txt", "text/plain", None, "correlation", f"00-{'a' * 32}-{'b' * 16}-01")

        async def body() -> AsyncIterator[bytes]:
            for _ in range(chunks):
                await Step("body", CRASH)
                yield b"chunk"
            if cut_off:
                self.occurred["upload cut off"] += 1
                raise UploadIncompleteError("cut off")

        worker = self.chance.choice(self._workers)
        self.accepted.append(await worker.intake.accept(upload, body()))

    def _blob_created(self, name: str) -> None:
        copies = 2 if self.chance.random() < 0.3 else 1
        self.occurred["event doubled"] += copies - 1
        for _ in range(copies):
            self._tell(name)

    def _tell(self, name: str) -> None:
        delay_seconds = self.chance.choice((0, 0, 1, 30, 200))
        self._events.append((self.clock.now() + timedelta(seconds=delay_seconds), name))

    def _start_event(self, event: tuple[datetime, str]) -> None:
        self._events.remove(event)
        worker = self.chance.choice(self._workers)
        self._tasks.append(Task(worker.fan_out.announce(event[1]), redo=lambda: self._tell(event[1])))

    def _start_sweep(self) -> None:
        self._sweep_at = self.clock.now() + SWEEP_PERIOD
        self._tasks.append(Task(self.chance.choice(self._workers).sweep()))

    def _start_message(self, letter: Letter) -> None:
        if self._outage_seconds and self._outage_ends is None:
            self._outage_ends = self.clock.now() + timedelta(seconds=self._outage_seconds)
        lock = self.queue.receive(letter)
        if lock is not None:
            self._tasks.append(Task(self._handle(letter, lock, self.chance.choice(self._workers))))

    async def _handle(self, letter: Letter, lock: int, worker: Worker) -> None:
        """The host's part: complete what was handled, abandon what raised."""
        try:
            await worker.deliverer.handle(letter.message.body, enqueued_at=letter.visible_at)
        except Exception as error:  # noqa: BLE001 - as the host does, whatever the error
            self.occurred[f"abandoned: {type(error).__name__}"] += 1
            self.queue.abandon(letter, lock)
        else:
            await call("queue.complete", CRASH, lambda: self.queue.complete(letter, lock))

    # -- the scheduler -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Until nothing is left to do."""
        random.seed(self._seed)  # the jitter of the retry schedule
        while self.steps < MAX_STEPS:
            self.steps += 1
            if self.chance.random() < 0.03:
                self._move_clock()
            choices: list[Callable[[], None]] = [lambda task=task: self._go_on(task) for task in self._tasks]  # type: ignore[misc]  # binds the loop's value
            if len(self._tasks) < MAX_TASKS:
                now = self.clock.now()
                choices += [lambda e=e: self._start_event(e) for e in self._events if e[0] <= now]  # type: ignore[misc]  # as above
                choices += [lambda w=w: self._start_message(w) for w in self.queue.waiting()]  # type: ignore[misc]  # as above
                choices += [self._start_sweep] * bool(self._sweep_at and self._sweep_at <= now)
            if choices:
                self.chance.choice(choices)()
            elif not self._sleep():
                return
        self.occurred["no rest"] += 1

    def _sleep(self) -> bool:
        """Pass the time until the next thing is due; False when nothing is."""
        due = [*self.queue.next_due(), *(at for at, _ in self._events)]
        noted = [
            from_entity(row).at for (shard, _), row in self.tables.rows.items() if shard.startswith("due|")
        ]
        if self._sweep_at and noted:
            due.append(max(self._sweep_at, min(noted)))
        if not due:
            return False
        self.clock.advance(max(0.0, (min(due) - self.clock.now()).total_seconds()) + 0.001)
        return True

    def _move_clock(self) -> None:
        """Tasks stand still meanwhile: leases and locks of some run out under their hands."""
        kind, low, high = self.chance.choice(
            (
                ("a moment", 0, 2),
                ("a moment", 0, 2),
                ("past a lease", 20, 40),
                ("past a lock", 60, 90),
                ("back", -20, -1),
            )
        )
        if kind != "a moment":
            if self._bad_luck <= 0 or not self._tasks:
                return
            self._bad_luck -= 1
            self.occurred[f"clock: {kind}"] += 1
        self.clock.advance(self.chance.uniform(low, high))

    def _go_on(self, task: Task) -> None:
        fate = None if task.at is None else self._fate(task.at)
        try:
            task.at = task.running.send(fate)
        except StopIteration:
            self._tasks.remove(task)
        except (CrashError, Exception):  # noqa: BLE001 - what a task ends with is the host's to deal with
            self._tasks.remove(task)
            if task.redo:
                task.redo()
        self._watch()

    def _watch(self) -> None:
        """No file is settled while a delivery of it is under way, at any moment."""
        under_way = {status.value for status in DeliveryStatus} - SETTLED
        for name in self.blobs.contents:
            file_id = name.partition("/")[2]
            file = self.tables.rows.get((OWNER, files.row_key(file_id)))
            if file is not None and file.values["status"] == FileStatus.SETTLED:
                first, end = row_keys_of_file(file_id)
                statuses = [
                    row.values["status"] for (_, key), row in self.tables.rows.items() if first <= key < end
                ]
                self.occurred["settled too early"] += not under_way.isdisjoint(statuses)

    def _fate(self, step: Step) -> Fate:
        if step.port.startswith("tables.") and self._outage_ends and self.clock.now() < self._outage_ends:
            self.clock.advance(1)  # a refusal takes its time, too
            return Fate.REFUSED
        possible = sorted(step.possible & self._fates, key=lambda fate: fate.value)
        if not possible or self._bad_luck <= 0 or self.chance.random() >= 0.08:
            return Fate.FINE
        self._bad_luck -= 1
        fate = self.chance.choice(possible)
        self.occurred[f"{fate.value}: {step.port}"] += 1
        return fate

    def dead_letters(self) -> Counter[str]:
        """How many messages of each delivery lie in the dead-letter queue."""
        return Counter(DeliveryMessage.from_queue(message.body).delivery_id for message in self.queue.dead)


def _at_once[Result](work: Coroutine[object, None, Result]) -> Result:
    """The result of a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("it had to wait")
