from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import UnavailableError
from shared.ledger.due import DueBook
from shared.notifications import redelivery
from shared.notifications.delivery_record import SETTLED, DeliveryStatus
from shared.notifications.history import DeliveryFilter
from shared.notifications.letter import LetterFilter
from shared.notifications.lost_messages import DUE_KIND, LONGEST_PAUSE, PATIENCE
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of
from tests.unit.shared.dead_letter_office import OPERATOR, SETTLED_FILE, Office
from tests.unit.shared.portal import Portal
from tests.unit.shared.sample import FILE_ID, NOW, OWNER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

UNDER_WAY: dict[DeliveryStatus, dict[str, Any]] = {
    DeliveryStatus.QUEUED: {},
    DeliveryStatus.RETRYING: {"attempt": 2, "next_attempt_at": NOW + timedelta(hours=2)},
    DeliveryStatus.DELIVERING: {"epoch": 1, "claimed_at": NOW, "lease_ends_at": NOW + timedelta(seconds=25)},
}
DUE_AT = {
    DeliveryStatus.QUEUED: NOW,
    DeliveryStatus.RETRYING: NOW + timedelta(hours=2),
    DeliveryStatus.DELIVERING: NOW + timedelta(seconds=25),
}


async def under_way(status: DeliveryStatus, **changes: Any) -> Office:
    """A delivery whose message is nowhere."""
    office = Office()
    delivery = sample.delivery(status=status, **(UNDER_WAY.get(status, {}) | changes))
    await sample.insert(office.memory, SETTLED_FILE, sample.subscription(), delivery)
    await office.sent.send([sample.message(attempt=delivery.attempt).to_queue()])  # its id is remembered …
    office.sent.messages.clear()  # … and the message lost
    return office


async def look(office: Office) -> datetime | None:
    return await office.lost_messages().look(OWNER, FILE_ID)


async def sweep(office: Office) -> None:
    lost = office.lost_messages()
    works = {redelivery.DUE_KIND: lost.after(office.redelivery().look), DUE_KIND: lost.look}
    await DueBook(office.memory, office.clock).work_off(works)


@pytest.mark.parametrize("status", UNDER_WAY)
async def test_what_should_long_have_moved_on_is_sent_again_and_delivered(status: DeliveryStatus) -> None:
    office = await under_way(status)
    office.clock.advance((DUE_AT[status] + PATIENCE - NOW).total_seconds())
    again_at = await look(office)
    assert again_at == office.clock.now() + PATIENCE
    assert len(office.sent.messages) == 1
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}
    assert [post[1]["webhook-id"] for post in office.sender.posts] == [sample.delivery().id]
    assert await look(office) is None


@pytest.mark.parametrize("status", UNDER_WAY)
async def test_what_may_still_move_on_by_itself_is_looked_at_when_it_should_have(
    status: DeliveryStatus,
) -> None:
    office = await under_way(status)
    office.clock.advance((DUE_AT[status] + PATIENCE - NOW).total_seconds() - 0.001)
    assert await look(office) == DUE_AT[status] + PATIENCE
    assert not office.sent.messages


async def test_a_redriven_delivery_counts_from_its_redrive() -> None:
    redriven_at = NOW + timedelta(days=3)
    office = await under_way(DeliveryStatus.QUEUED, redriven_at=redriven_at)
    office.clock.advance(timedelta(days=3).total_seconds())
    assert await look(office) == redriven_at + PATIENCE
    assert not office.sent.messages


async def test_a_queue_with_a_backlog_is_asked_less_and_less_often() -> None:
    office = await under_way(DeliveryStatus.QUEUED)
    pauses: list[timedelta] = []
    office.clock.advance(PATIENCE.total_seconds())
    while len(pauses) < 10:
        again_at = await look(office)
        assert again_at is not None
        pauses.append(again_at - office.clock.now())
        office.clock.advance(pauses[-1].total_seconds())
    assert pauses[:3] == [PATIENCE, 2 * PATIENCE, 4 * PATIENCE]
    assert pauses[-1] == LONGEST_PAUSE
    await office.work_off()  # all those messages come at last, and make one delivery
    assert len(office.sender.posts) == 1


@pytest.mark.parametrize("status", sorted(SETTLED))
async def test_what_is_settled_is_left_alone(status: DeliveryStatus) -> None:
    office = await under_way(status)
    office.clock.advance(PATIENCE.total_seconds())
    assert await look(office) is None
    assert not office.sent.messages


async def test_a_file_that_is_gone_is_looked_at_no_more() -> None:
    assert await look(Office()) is None


async def test_a_queue_that_is_away_leaves_the_entry_in_the_book() -> None:
    office = await under_way(DeliveryStatus.QUEUED)
    await office.lost_messages().note(OWNER, FILE_ID)
    office.clock.advance(PATIENCE.total_seconds() + 1)
    office.queue_is_away = True
    with pytest.raises(UnavailableError):
        await look(office)
    await sweep(office)
    office.queue_is_away = False
    await sweep(office)
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}


async def test_the_lost_message_of_a_redrive_is_sent_again() -> None:
    office = Office()
    await office.bury(1, 2)
    await office.dead_letters().redrive(LetterFilter(), by=OPERATOR)
    assert not office.letters.letters
    office.sent.messages.clear()
    office.clock.advance(PATIENCE.total_seconds() + 1)
    await sweep(office)
    await office.work_off()
    assert await office.by_status() == {"delivered": 2}


async def test_the_lost_message_of_a_redelivery_is_sent_again() -> None:
    office = Office()
    await office.bury(1)
    await office.redelivery().redeliver(OWNER, sample.delivery().id, by=OPERATOR)
    office.sent.messages.clear()
    for seconds in (redelivery.LOOK_SECONDS + 1, PATIENCE.total_seconds()):
        office.clock.advance(seconds)
        await sweep(office)
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}


class Service:
    """The whole application, a file in it, and a queue that is emptied now and then."""

    def __init__(self) -> None:
        self.portal = Portal()
        self.owner = self.file_id = ""

    async def store(self, event: str) -> None:
        wish = f'{{"channel": "webhook", "target": "http://127.0.0.1:9/hook", "events": ["{event}"]}}'
        await self.portal.subscribe(wish.encode())
        self.file_id = body_of(await self.portal.upload(b"hello"))["id"]
        (name,) = self.portal.blobs.contents
        self.owner = name.split("/")[0]
        await self.portal.app.announce(name)

    async def sweep_for_an_hour(self) -> None:
        for _ in range(60):
            self.portal.clock.advance(60)
            await self.portal.app.sweep()

    async def work_off(self) -> None:
        while self.portal.queue.messages:
            message = self.portal.queue.messages.pop(0)
            await self.portal.app.deliver(message.body, enqueued_at=self.portal.clock.now())

    def lose(self) -> None:
        assert len(self.portal.queue.messages) == 1
        self.portal.queue.messages.clear()

    def noted(self) -> set[object]:
        rows = self.portal.tables.rows.items()
        return {row.values["kind"] for (partition, _), row in rows if partition.startswith("due|")}


async def stored(service: Service) -> None:
    await service.store("file.stored")


async def deleted(service: Service) -> None:
    await service.store("file.deleted")
    await service.sweep_for_an_hour()  # its announcement is not looked at any more
    await service.portal.app.removal.delete(service.owner, service.file_id, wanted=lambda _: True)


async def made_again(service: Service) -> None:
    await service.store("file.stored")
    await service.work_off()
    await service.sweep_for_an_hour()
    (told,) = (await service.portal.app.history.page(service.owner, DeliveryFilter(), limit=10)).deliveries
    await service.portal.app.redelivery.redeliver(service.owner, told.id, by=OPERATOR)


@pytest.mark.parametrize("happens", [stored, deleted, made_again])
async def test_the_sweep_of_the_application_finds_what_was_lost(
    happens: Callable[[Service], Awaitable[None]],
) -> None:
    service = Service()
    await happens(service)
    service.lose()
    posts = len(service.portal.sender.posts)

    await service.sweep_for_an_hour()
    assert service.portal.queue.messages
    await service.work_off()

    assert len(service.portal.sender.posts) == posts + 1
    await service.sweep_for_an_hour()
    assert DUE_KIND not in service.noted()
