"""A worker that dies before or after each of its steps in turn: another one finishes what it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import DeadLetterError
from shared.files.file import FileStatus
from shared.notifications.delivery_record import SETTLED, AttemptOutcome, DeliveryStatus
from shared.notifications.target_guard import TargetGuard
from shared.notifications.target_health import HealthPolicy
from shared.notifications.target_pace import PacePolicy
from shared.ports import HttpAnswer
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from shared.notifications.delivery_record import Delivery
    from shared.ports import QueueMessage

COPIES = 5
FAILED = HttpAnswer(500)
DELIVERED, DEAD, SUPPRESSED = DeliveryStatus.DELIVERED, DeliveryStatus.DEAD, DeliveryStatus.SUPPRESSED
SCENARIOS = {
    "accepted at once": ([], {DELIVERED}),
    "accepted at the second attempt": ([FAILED], {DELIVERED}),
    # An interrupted attempt counts, also the last one.
    "accepted at the last attempt": ([FAILED, FAILED], {DELIVERED, DEAD}),
    "never accepted": ([FAILED] * 20, {DEAD}),
    # The subscription is ended before the delivery is settled.
    "gone": ([HttpAnswer(410)] * 20, {DEAD, SUPPRESSED}),
}
HEALTH = HealthPolicy(failures_to_open=1, first_wait_seconds=20)
"""So that deliveries also wait for a target that fails."""


class KilledError(BaseException):
    """Nothing in the worker can catch it."""


class Doom:
    """Kills the worker once, at the given one of the instants before and after its steps (from 1)."""

    def __init__(self, instant: int) -> None:
        self._instant = instant
        self._passed = 0

    @property
    def has_struck(self) -> bool:
        return self._passed >= self._instant

    def pass_instant(self) -> None:
        self._passed += 1
        if self._passed == self._instant:
            raise KilledError

    def over(self, adapter: Any) -> Any:
        return _Doomed(adapter, self)


class _Doomed:
    """An adapter during whose calls the worker may die."""

    def __init__(self, adapter: Any, doom: Doom) -> None:
        self._adapter = adapter
        self._doom = doom

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self._doom.pass_instant()
            result = await getattr(self._adapter, name)(*arguments, **options)
            self._doom.pass_instant()
            return result

        return call


class Run:
    """One delivery from its first message until the queue is empty."""

    def __init__(self, doom: Doom, answers: list[HttpAnswer], *, copies: int) -> None:
        self.world = World(*answers, tables=doom.over, queue=doom.over)
        self.posts = self.world.sender.posts
        self.world.sender = doom.over(self.world.sender)
        self._doom = doom
        self._copies = copies
        self.dead_letters = 0
        self.settled: list[Delivery] = []
        """What the delivery was each time that it was found settled and changed."""

    async def to_the_end(self) -> None:
        file = sample.file(status=FileStatus.ANNOUNCED, announced_at=NOW)
        await sample.insert(self.world.memory, file, sample.subscription(), sample.delivery())
        waiting = self.world.sent.messages
        waiting.append(sample.message().to_queue())
        for _ in range(200):
            if not waiting:
                return
            message = min(waiting, key=self._due_at)
            self.world.clock.advance(
                max(0.0, (self._due_at(message) - self.world.clock.now()).total_seconds())
            )
            waiting.remove(message)
            if not await self._handled(message):
                waiting += [message] * self._copies
        raise AssertionError("it does not end")

    def _due_at(self, message: QueueMessage) -> datetime:
        return message.not_before or NOW

    async def _handled(self, message: QueueMessage) -> bool:
        """Whether the message may be completed; every message meets a worker that knows nothing."""
        world = self.world
        guard = TargetGuard(
            world.tables, world.clock, HEALTH, PacePolicy(per_second=None), chance=lambda: 0.5
        )
        try:
            await world.deliverer(guard=guard).handle(message.body)
            self._doom.pass_instant()
        except DeadLetterError:
            self.dead_letters += 1
        except KilledError:
            return False
        finally:
            delivery = await world.delivery()
            if delivery.status in SETTLED and (not self.settled or self.settled[-1] != delivery):
                self.settled.append(delivery)
        return True


async def every_run(answers: list[HttpAnswer], *, copies: int) -> list[Run]:
    """A run for each instant at which the worker can die, until there is none left."""
    runs: list[Run] = []
    while True:
        doom = Doom(len(runs) + 1)
        run = Run(doom, list(answers), copies=copies)
        await run.to_the_end()
        runs.append(run)
        if not doom.has_struck:
            return runs


@pytest.mark.parametrize("copies", [1, COPIES])
@pytest.mark.parametrize(("answers", "statuses"), SCENARIOS.values(), ids=SCENARIOS)
async def test_it_is_settled_once_whenever_a_worker_dies(
    answers: list[HttpAnswer], statuses: set[DeliveryStatus], copies: int
) -> None:
    *crashed, undisturbed = await every_run(answers, copies=copies)

    assert len(crashed) > 10
    for run in [*crashed, undisturbed]:
        (delivery,) = run.settled
        assert delivery.status in statuses
        assert (run.dead_letters > 0) == (delivery.status is DEAD)
        outcomes = [attempt.outcome for attempt in delivery.attempts]
        assert outcomes.count(AttemptOutcome.DELIVERED) == (delivery.status is DELIVERED)
        assert outcomes.count(AttemptOutcome.INTERRUPTED) <= 1
        # What was sent is told in the attempts, so it is sent once more at most.
        assert len(run.posts) <= len(outcomes)
        assert {headers["webhook-id"] for _, headers, _ in run.posts} <= {delivery.id}
        file = await run.world.file()
        assert file is not None
        assert file.status is FileStatus.SETTLED
