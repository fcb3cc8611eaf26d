"""What the composed application does with deliveries: rules that hold in each part hold in the whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemorySender
from shared.errors import DeadLetterError
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import DeliveryStatus
from shared.notifications.history import DeliveryFilter
from shared.notifications.subscription import Subscription, SubscriptionStatus
from shared.notifications.target_health import GO, Circuit, HealthPolicy, Hold
from shared.ports import HttpAnswer
from shared.settings import read_settings
from tests.unit.shared.asgi import body_of
from tests.unit.shared.portal import ENVIRONMENT, Portal

if TYPE_CHECKING:
    from shared.notifications.delivery_record import Delivery

FAILS = HttpAnswer(500)
DAY_SECONDS = 86_400.0


class Service:
    """An application whose targets answer one after the other, with 204 in the end."""

    def __init__(self, *answers: Any, **changed: str) -> None:
        self.sender = MemorySender(*answers)
        self.portal = Portal(read_settings(ENVIRONMENT | changed), sender=self.sender)
        self.owner = ""

    async def subscribe(self, path: str = "hook", event: str = "file.stored") -> str:
        wish = {"channel": "webhook", "target": f"http://127.0.0.1:9/{path}", "events": [event]}
        return str(body_of(await self.portal.subscribe(json.dumps(wish).encode()))["id"])

    async def ring(self) -> None:
        before = set(self.portal.blobs.contents)
        await self.portal.upload(b"ring")
        (name,) = set(self.portal.blobs.contents) - before
        self.owner = name.split("/")[0]
        await self.portal.app.announce(name)

    async def work_off(self) -> None:
        """Workers take what can be seen now."""
        now = self.portal.clock.now()
        due = [
            each for each in self.portal.queue.messages if each.not_before is None or each.not_before <= now
        ]
        for message in due:
            self.portal.queue.messages.remove(message)
            try:
                await self.portal.app.deliver(message.body, enqueued_at=now)
            except DeadLetterError:
                continue

    async def deliveries(self) -> list[Delivery]:
        page = await self.portal.app.history.page(self.owner, DeliveryFilter(), limit=200)
        return list(page.deliveries)

    async def subscription(self, id_: str) -> Subscription:
        entity = await self.portal.tables.get(self.owner, subscriptions.row_key(id_))
        assert entity is not None
        return subscriptions.from_entity(entity)


async def test_an_attempt_may_take_as_long_as_the_settings_say() -> None:
    service = Service(DROPBELL_DELIVERY_TIMEOUT_SECONDS="7")
    await service.subscribe()
    await service.ring()
    await service.work_off()
    assert service.sender.timeouts_seconds == [7]


async def test_a_target_that_failed_ten_times_in_a_row_is_spared() -> None:
    service = Service(*[FAILS] * 10)
    id_ = await service.subscribe()
    for _ in range(11):
        await service.ring()
    await service.work_off()
    assert len(service.sender.posts) == 10
    held = [each for each in await service.deliveries() if not each.attempts]
    assert [each.status for each in held] == [DeliveryStatus.RETRYING]
    asked = await service.portal.app.target_guard.may_send(await service.subscription(id_))
    assert (asked.allowed, asked.hold) == (False, Hold.FAILING)


async def test_the_owner_of_a_target_that_is_gone_is_told_by_another_subscription() -> None:
    service = Service(HttpAnswer(410))
    gone = await service.subscribe("gone")
    await service.subscribe("other", event="file.deleted")
    await service.ring()
    await service.work_off()
    ended = await service.subscription(gone)
    assert (ended.status, ended.status_reason) == (SubscriptionStatus.DISABLED, "the target is gone (410)")
    (_, _, _), (url, _, body) = service.sender.posts
    assert url.endswith("/other")
    event = json.loads(body)
    assert event["type"] == "dropbell.subscription.disabled.v1"
    assert event["data"]["subscription_id"] == gone


async def test_the_pace_is_that_of_the_settings() -> None:
    service = Service(DROPBELL_TARGET_RATE_PER_SECOND="1")
    id_ = await service.subscribe()
    await service.ring()
    subscription = await service.subscription(id_)
    asked = [await service.portal.app.target_guard.may_send(subscription) for _ in range(51)]
    assert asked[:50] == [GO] * 50
    assert asked[50].hold is Hold.PACE
    unbounded = Service(DROPBELL_TARGET_RATE_PER_SECOND="0")
    assert [await unbounded.portal.app.target_guard.may_send(subscription) for _ in range(99)] == [GO] * 99


@pytest.mark.parametrize(("days", "left"), [(2, 1), (5, 0)])
async def test_history_is_kept_as_long_as_the_settings_say(days: int, left: int) -> None:
    service = Service(DROPBELL_DELIVERIES_KEEP_SECONDS=str(3 * 86_400))
    await service.subscribe()
    await service.ring()
    await service.work_off()
    service.portal.clock.advance(days * DAY_SECONDS)
    await service.portal.app.sweep()
    assert len(await service.deliveries()) == left


def test_the_usual_policy_is_what_the_pages_say() -> None:
    usual = HealthPolicy()
    assert (usual.failures_to_open, usual.give_up_seconds) == (10, 5 * DAY_SECONDS)
    assert set(Circuit) == {Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN}
