"""A target that keeps failing: deliveries wait for it, are not hammered at it, and still end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemorySender
from shared.errors import DeadLetterError
from shared.notifications.channels import Outcome, Verdict
from shared.notifications.delivery import TARGET_FAILING
from shared.notifications.delivery_record import AttemptOutcome, DeliveryStatus
from shared.notifications.owner_news import OwnerNews
from shared.notifications.subscription import ChannelKind, SubscriptionStatus
from shared.notifications.target_guard import TargetGuard
from shared.notifications.target_health import HealthPolicy
from shared.notifications.target_pace import LANE_WAIT_SECONDS, PacePolicy
from shared.ports import HttpAnswer
from tests.unit.shared import sample
from tests.unit.shared.sample import OWNER, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.notifications.channels import Notification
    from shared.notifications.delivery import Deliverer

HEALTH = HealthPolicy(failures_to_open=1, first_wait_seconds=30, give_up_seconds=1000)
DOWN = [HttpAnswer(500)] * 50


def deliverer(world: World, pace: PacePolicy | None = None) -> Deliverer:
    guard = TargetGuard(
        world.tables, world.clock, HEALTH, pace or PacePolicy(per_second=None), chance=lambda: 0.0
    )
    return world.deliverer(guard=guard)


async def with_deliveries(world: World, count: int) -> World:
    """So many files' deliveries to one subscription."""
    await sample.insert(world.memory, sample.subscription())
    for number in range(count):
        await sample.insert(world.memory, sample.delivery_of(number))
    return world


async def run_messages(world: World, deliver: Deliverer) -> int:
    """Handle what the queue would hand out now; returns how many messages ended as dead letters."""
    dead = 0
    due = [
        each
        for each in world.sent.messages
        if each.not_before is None or each.not_before <= world.clock.now()
    ]
    for message in due:
        world.sent.messages.remove(message)
        try:
            await deliver.handle(message.body)
        except DeadLetterError:
            dead += 1
    return dead


async def test_after_failures_others_wait_and_one_at_a_time_probes() -> None:
    world = await with_deliveries(World(*DOWN), 10)
    deliver = deliverer(world)
    await world.sent.send([sample.message_of(number).to_queue() for number in range(10)])
    await run_messages(world, deliver)
    assert len(world.sender.posts) == 1
    held = [each for each in await world.deliveries() if each.held_since is not None]
    assert len(held) == 9
    assert {each.status for each in held} == {DeliveryStatus.RETRYING}
    assert all(not each.attempts for each in held)


async def test_every_delivery_to_a_target_that_stays_down_ends_dead_in_time() -> None:
    world = await with_deliveries(World(*DOWN), 10)
    deliver = deliverer(world)
    await world.sent.send([sample.message_of(number).to_queue() for number in range(10)])
    dead = 0
    for _ in range(60):
        dead += await run_messages(world, deliver)
        world.clock.advance(10)
    assert dead == 10
    found = await world.deliveries()
    assert {each.status for each in found} == {DeliveryStatus.DEAD}
    outcomes = {attempt.outcome for each in found for attempt in each.attempts}
    assert outcomes == {AttemptOutcome.FAILED, AttemptOutcome.HELD}
    assert len(world.sender.posts) < 15
    details = {a.detail for each in found for a in each.attempts if a.outcome is AttemptOutcome.HELD}
    assert details == {TARGET_FAILING}


async def test_a_recovered_target_gets_them_all() -> None:
    world = await with_deliveries(World(HttpAnswer(500)), 10)
    deliver = deliverer(world)
    await world.sent.send([sample.message_of(number).to_queue() for number in range(10)])
    for _ in range(60):
        assert await run_messages(world, deliver) == 0
        world.clock.advance(10)
    assert {each.status for each in await world.deliveries()} == {DeliveryStatus.DELIVERED}


async def test_a_target_that_is_told_too_fast_is_told_later_and_no_attempt_is_lost() -> None:
    world = await with_deliveries(World(), 10)
    deliver = deliverer(world, PacePolicy(per_second=1, burst=2))
    await world.sent.send([sample.message_of(number).to_queue() for number in range(10)])
    await run_messages(world, deliver)
    assert len(world.sender.posts) == 2
    for _ in range(12):
        world.clock.advance(1)
        await run_messages(world, deliver)
    found = await world.deliveries()
    assert {each.status for each in found} == {DeliveryStatus.DELIVERED}
    assert all(len(each.attempts) == 1 for each in found)


async def test_a_target_that_fails_for_days_is_given_up_and_its_owner_reads_why() -> None:
    world = await with_deliveries(World(*DOWN), 1)
    deliver = deliverer(world)
    await world.sent.send([sample.message_of(0).to_queue()])
    await run_messages(world, deliver)
    world.clock.advance(1001)
    await run_messages(world, deliver)
    subscription = await world.subscription()
    assert subscription.status is SubscriptionStatus.DISABLED
    assert subscription.status_reason == "the target has been failing for days"


@pytest.mark.parametrize("status", [SubscriptionStatus.PAUSED, SubscriptionStatus.PENDING])
async def test_nothing_is_sent_for_a_subscription_that_is_not_active(status: SubscriptionStatus) -> None:
    world = World()
    await sample.insert(world.memory, sample.subscription(status=status), sample.delivery_of(0))
    await deliverer(world).handle(sample.message_of(0).to_queue().body)
    (found,) = await world.deliveries()
    assert (found.status, found.reason) == (DeliveryStatus.SUPPRESSED, f"the subscription is {status}")
    assert world.sender.posts == []
    assert found.owner == OWNER


async def test_the_owner_of_a_target_that_was_given_up_is_told_by_their_other_subscriptions() -> None:
    world = await with_deliveries(World(*DOWN), 1)
    paused = sample.subscription(3, status=SubscriptionStatus.PAUSED)
    await sample.insert(world.memory, sample.subscription(2), paused)
    told: list[tuple[str, str]] = []

    class Ear:
        async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
            told.append((notification.subscription.id, str(notification.event.data["message"])))
            return Outcome(Verdict.TRY_AGAIN, "not now")

    news = OwnerNews(world.tables, {ChannelKind.WEBHOOK: Ear()}, world.clock, source="https://d.example")
    deliver = world.deliverer(
        guard=TargetGuard(world.tables, world.clock, HEALTH, PacePolicy(), chance=lambda: 0.0), news=news
    )
    await world.sent.send([sample.message_of(0).to_queue()])
    await run_messages(world, deliver)
    world.clock.advance(1001)
    await run_messages(world, deliver)
    ((whom, message),) = told
    assert whom == sample.subscription(2).id
    assert message.endswith("is disabled: the target has been failing for days.")


async def test_a_target_that_hangs_takes_a_few_lanes_and_no_attempt_is_lost() -> None:
    world = await with_deliveries(World(), 10)
    let_go = asyncio.Event()
    under_way = 0

    class Hanging(MemorySender):
        async def post(
            self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
        ) -> HttpAnswer:
            nonlocal under_way
            under_way += 1
            await let_go.wait()
            return await super().post(url, headers=headers, body=body, timeout_seconds=timeout_seconds)

    world.sender = Hanging()
    deliver = deliverer(world, PacePolicy(per_second=None, max_in_flight=3))
    messages = [sample.message_of(number).to_queue().body for number in range(10)]
    running = [asyncio.create_task(deliver.handle(body)) for body in messages]
    done, waiting = await asyncio.wait(running, timeout=2 * LANE_WAIT_SECONDS)
    assert (len(done), len(waiting), under_way) == (7, 3, 3)
    held = [each for each in await world.deliveries() if each.status is DeliveryStatus.RETRYING]
    assert len(held) == 7
    assert all(not each.attempts and each.attempt == 1 for each in held)

    let_go.set()
    await asyncio.gather(*waiting)
    world.clock.advance(5)
    await run_messages(world, deliver)
    assert {each.status for each in await world.deliveries()} == {DeliveryStatus.DELIVERED}
