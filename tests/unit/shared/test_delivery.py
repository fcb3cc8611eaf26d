from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemorySender
from shared.errors import DeadLetterError, TargetFailedError, TargetNotAllowedError
from shared.files.file import FileStatus
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery import LOOK_MARGIN_SECONDS, DeliveryPolicy
from shared.notifications.delivery_record import AttemptOutcome, DeliveryStatus
from shared.notifications.message import DeliveryMessage
from shared.notifications.retry_schedule import RetrySchedule
from shared.notifications.subscription import SubscriptionStatus
from shared.ports import HttpAnswer, Replace
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, OWNER, POLICY, World

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNOUNCED = sample.file(status=FileStatus.ANNOUNCED, announced_at=NOW)
FAILED = HttpAnswer(500)


async def queued(*answers: HttpAnswer | Exception, **changes: Any) -> World:
    """A world with an announced file and its one delivery; ``changes`` to the delivery."""
    world = World(*answers)
    await sample.insert(world.memory, ANNOUNCED, sample.subscription(), sample.delivery(**changes))
    return world


async def handle(world: World, message: DeliveryMessage | None = None) -> None:
    body = (message or sample.message()).to_queue().body
    await world.deliverer().handle(body, enqueued_at=NOW - timedelta(seconds=3))


async def status_of_file(world: World) -> FileStatus:
    file = await world.file()
    assert file is not None
    return file.status


async def test_a_delivery_that_is_accepted_is_delivered_and_its_file_settled() -> None:
    world = await queued(HttpAnswer(202))
    await handle(world)
    delivery = await world.delivery()
    assert delivery.status is DeliveryStatus.DELIVERED
    assert (delivery.settled_at, delivery.queued_at, delivery.epoch) == (NOW, NOW - timedelta(seconds=3), 1)
    (attempt,) = delivery.attempts
    assert (attempt.number, attempt.outcome, attempt.status_code) == (1, AttemptOutcome.DELIVERED, 202)
    assert await status_of_file(world) is FileStatus.SETTLED
    assert world.sender.timeouts_seconds == [POLICY.attempt_timeout_seconds]
    assert not world.sent.messages


@pytest.mark.parametrize(
    ("answer", "status_code"), [(FAILED, 500), (HttpAnswer(302), 302), (TargetFailedError("refused"), None)]
)
async def test_a_failed_attempt_is_scheduled_again(
    answer: HttpAnswer | Exception, status_code: int | None
) -> None:
    world = await queued(answer)
    await handle(world)
    delivery = await world.delivery()
    assert (delivery.status, delivery.attempt, delivery.reason) == (DeliveryStatus.RETRYING, 2, None)
    (attempt,) = delivery.attempts
    assert (attempt.outcome, attempt.status_code) == (AttemptOutcome.FAILED, status_code)
    (sent,) = world.sent.messages
    assert sent.message_id == f"{delivery.id}:2"
    assert sent.not_before == delivery.next_attempt_at
    assert delivery.next_attempt_at is not None
    assert 10 <= (delivery.next_attempt_at - NOW).total_seconds() <= 11
    assert await status_of_file(world) is FileStatus.ANNOUNCED


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("15", 15, 16.5),
        ("1", 10, 11),
        ("9999", 20, 20),
        ("Sun, 01 Mar 2026 12:00:18 GMT", 18, 19.8),
        ("soon", 10, 11),
    ],
)
async def test_retry_after_is_kept_to_within_reason(retry_after: str, least: float, most: float) -> None:
    world = await queued(HttpAnswer(503, retry_after))
    await handle(world)
    next_attempt_at = (await world.delivery()).next_attempt_at
    assert next_attempt_at is not None
    assert least <= (next_attempt_at - NOW).total_seconds() <= most


async def test_all_attempts_failed_means_dead_and_the_message_goes_to_the_dead_letters() -> None:
    world = await queued(FAILED, FAILED, FAILED)
    await handle(world)
    await handle(world, DeliveryMessage.from_queue(world.sent.messages[0].body))
    last = DeliveryMessage.from_queue(world.sent.messages[1].body)
    for _ in range(3):  # as often as Service Bus delivers it
        with pytest.raises(DeadLetterError, match="answered 500"):
            await handle(world, last)
    delivery = await world.delivery()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.DEAD, "the target answered 500")
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
    assert len(world.sender.posts) == 3
    assert await status_of_file(world) is FileStatus.SETTLED


async def test_an_address_that_is_not_allowed_is_dead_at_once() -> None:
    world = await queued(TargetNotAllowedError("the target's address is not a public one"))
    with pytest.raises(DeadLetterError, match="not a public one"):
        await handle(world)
    delivery = await world.delivery()
    assert delivery.status is DeliveryStatus.DEAD
    assert [attempt.outcome for attempt in delivery.attempts] == [AttemptOutcome.REJECTED]


async def test_gone_means_dead_and_disables_the_subscription() -> None:
    world = await queued(HttpAnswer(410))
    with pytest.raises(DeadLetterError, match="410"):
        await handle(world)
    row = await world.memory.get(OWNER, subscriptions.row_key(sample.subscription().id))
    assert row is not None
    assert subscriptions.from_entity(row).status is SubscriptionStatus.DISABLED
    assert (await world.delivery()).status is DeliveryStatus.DEAD


async def test_a_subscription_that_is_gone_or_disabled_suppresses_the_delivery() -> None:
    gone = World()
    await sample.insert(gone.memory, ANNOUNCED, sample.delivery())
    disabled = World()
    await sample.insert(
        disabled.memory, ANNOUNCED, sample.delivery(), sample.subscription(status=SubscriptionStatus.DISABLED)
    )
    for world in (gone, disabled):
        await handle(world)
        delivery = await world.delivery()
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.SUPPRESSED, ())
        assert delivery.reason in {"the subscription is gone", "the subscription is disabled"}
        assert not world.sender.posts
        assert await status_of_file(world) is FileStatus.SETTLED


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.SUPPRESSED])
async def test_a_message_for_a_settled_delivery_settles_the_file_and_is_done(status: DeliveryStatus) -> None:
    world = await queued(status=status)
    await handle(world)
    assert not world.sender.posts
    assert await status_of_file(world) is FileStatus.SETTLED


async def test_a_message_for_a_dead_delivery_does_nothing_but_raise() -> None:
    world = await queued(status=DeliveryStatus.DEAD, reason="the target answered 500")
    before = await world.delivery()
    with pytest.raises(DeadLetterError, match="answered 500"):
        await handle(world)
    assert await world.delivery() == before
    assert not world.sender.posts
    assert not world.sent.messages
    assert await status_of_file(world) is FileStatus.SETTLED


async def test_a_message_that_is_behind_schedules_the_attempt_that_the_row_waits_for() -> None:
    due = NOW + timedelta(seconds=40)
    world = await queued(status=DeliveryStatus.RETRYING, attempt=2, next_attempt_at=due)
    await handle(world)
    (sent,) = world.sent.messages
    assert (sent.message_id, sent.not_before) == (f"{sample.delivery().id}:2", due)
    assert not world.sender.posts


async def test_another_workers_lease_is_looked_at_again_at_its_end_with_a_new_id_each_time() -> None:
    ends = NOW + timedelta(seconds=20)
    world = await queued(status=DeliveryStatus.DELIVERING, epoch=1, lease_ends_at=ends)
    before = await world.delivery()
    message = sample.message()
    for _ in range(3):
        await handle(world, message)
        message = DeliveryMessage.from_queue(world.sent.messages[-1].body)
    at = [sent.not_before for sent in world.sent.messages if sent.not_before]
    assert len(at) == 3
    assert ends + timedelta(seconds=LOOK_MARGIN_SECONDS) == at[0] <= at[1] <= at[2]
    assert len({sent.message_id for sent in world.sent.messages}) == 3
    assert await world.delivery() == before
    assert not world.sender.posts


async def test_five_copies_of_a_message_at_once_are_one_attempt() -> None:
    world = await queued(HttpAnswer(204))
    sending, let_go = asyncio.Event(), asyncio.Event()

    class Slow(MemorySender):
        async def post(
            self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
        ) -> HttpAnswer:
            sending.set()
            await let_go.wait()
            return await super().post(url, headers=headers, body=body, timeout_seconds=timeout_seconds)

    world.sender = Slow()
    first = asyncio.create_task(handle(world))
    await sending.wait()
    world.clock.advance(POLICY.attempt_timeout_seconds)  # as long as an attempt may take, the lease holds
    async with asyncio.timeout(5):  # none of them sends, so none waits
        for _ in range(4):
            await handle(world)
    let_go.set()
    await first
    assert len(world.sender.posts) == 1
    looks, world.sent.messages = world.sent.messages, []
    world.clock.advance(POLICY.lease_seconds)
    for look in looks:
        await world.deliverer().handle(look.body)
    assert (len(looks), len(world.sender.posts), world.sent.messages) == (4, 1, [])
    assert [each.outcome for each in (await world.delivery()).attempts] == [AttemptOutcome.DELIVERED]


async def test_an_interrupted_attempt_counts_and_the_next_is_made() -> None:
    world = await queued(
        status=DeliveryStatus.DELIVERING, epoch=1, claimed_at=NOW - timedelta(seconds=25), lease_ends_at=NOW
    )
    await handle(world)
    delivery = await world.delivery()
    assert delivery.status is DeliveryStatus.DELIVERED
    assert [(attempt.number, attempt.outcome) for attempt in delivery.attempts] == [
        (1, AttemptOutcome.INTERRUPTED),
        (2, AttemptOutcome.DELIVERED),
    ]


async def test_an_interrupted_last_attempt_is_dead_without_another_try() -> None:
    world = await queued(status=DeliveryStatus.DELIVERING, attempt=3, epoch=3, lease_ends_at=NOW)
    with pytest.raises(DeadLetterError, match="interrupted"):
        await handle(world, sample.message(attempt=3))
    delivery = await world.delivery()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.DEAD, "the last attempt was interrupted")
    assert not world.sender.posts


class OvertakenWhilePosting:
    """``HttpSender``: while it posts, another worker takes the delivery over."""

    def __init__(self, world: World, answer: HttpAnswer) -> None:
        self._world = world
        self._answer = answer

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> HttpAnswer:
        theirs = replace(await self._world.delivery(), epoch=2, attempt=2)
        await self._world.memory.apply([Replace(deliveries.to_entity(theirs))])
        return self._answer


@pytest.mark.parametrize("answer", [HttpAnswer(200), FAILED, HttpAnswer(410)])
async def test_a_worker_that_was_overtaken_changes_nothing(answer: HttpAnswer) -> None:
    world = await queued()
    world.sender = OvertakenWhilePosting(world, answer)  # type: ignore[assignment]  # another sender
    await handle(world)
    delivery = await world.delivery()
    assert (delivery.status, delivery.epoch, delivery.attempts) == (DeliveryStatus.DELIVERING, 2, ())
    (look,) = world.sent.messages
    assert ":look-" in look.message_id
    assert await status_of_file(world) is FileStatus.ANNOUNCED


async def test_the_file_is_settled_by_its_last_delivery_and_not_before() -> None:
    world = World()
    await sample.insert(
        world.memory,
        ANNOUNCED,
        *(sample.subscription(number) for number in range(3)),
        *(sample.delivery(number) for number in range(3)),
    )
    for number, expected in enumerate((FileStatus.ANNOUNCED, FileStatus.ANNOUNCED, FileStatus.SETTLED)):
        world.clock.advance(1)
        await handle(world, sample.message(number))
        assert await status_of_file(world) is expected
    file = await world.file()
    assert file is not None
    assert file.settled_at == NOW + timedelta(seconds=3)


async def test_a_message_whose_delivery_or_file_was_deleted_is_done() -> None:
    await handle(World())
    world = World()
    await sample.insert(world.memory, sample.subscription(), sample.delivery())
    await handle(world)
    assert (await world.delivery()).status is DeliveryStatus.DELIVERED


async def test_a_message_that_cannot_be_read_goes_to_the_dead_letters() -> None:
    with pytest.raises(DeadLetterError, match="cannot be read"):
        await World().deliverer().handle(b"{}")


async def test_a_schedule_without_delays_tries_once() -> None:
    world = await queued(FAILED)
    policy = DeliveryPolicy(RetrySchedule(()), attempt_timeout_seconds=1, lease_seconds=2)
    with pytest.raises(DeadLetterError):
        await world.deliverer(policy).handle(sample.message().to_queue().body)
    assert (await world.delivery()).status is DeliveryStatus.DEAD


async def test_each_attempt_is_a_span_of_its_own_in_the_trace_of_the_upload() -> None:
    world = await queued(FAILED)
    await handle(world)
    await handle(world, DeliveryMessage.from_queue(world.sent.messages[0].body))
    spans = [headers["traceparent"].split("-") for _, headers, _ in world.sender.posts]
    assert {trace_id for _, trace_id, _, _ in spans} == {"a" * 32}
    assert len({span_id for _, _, span_id, _ in spans} | {"b" * 16}) == 3
    ids = [headers["webhook-id"] for _, headers, _ in world.sender.posts]
    assert ids == [sample.delivery().id] * 2
    assert json.loads(world.sender.posts[0][2]) == json.loads(world.sender.posts[1][2])
