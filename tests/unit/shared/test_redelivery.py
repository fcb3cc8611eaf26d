from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import ConflictError, NotFoundError, UnavailableError
from shared.files import file as files
from shared.ledger.due import DueBook
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import SETTLED, DeliveryStatus
from shared.notifications.redelivery import DUE_KIND, LOOK_SECONDS
from shared.notifications.subscription import EventType, SubscriptionStatus
from shared.ports import Delete, Replace
from tests.faults.fragile import CrashError
from tests.unit.shared import sample
from tests.unit.shared.dead_letter_office import SETTLED_FILE, Cut, Office, dead_delivery
from tests.unit.shared.sample import FILE_ID, OWNER

if TYPE_CHECKING:
    from shared.notifications.delivery_record import Delivery

BY = "tenant/alice"
ID = sample.delivery(1).id


async def redeliver(office: Office, id_: str = ID, owner: str = OWNER) -> Delivery:
    return await office.redelivery().redeliver(owner, id_, by=BY)


async def sweep(office: Office) -> None:
    office.clock.advance(LOOK_SECONDS + 1)
    await DueBook(office.memory, office.clock).work_off({DUE_KIND: office.redelivery().look})


@pytest.mark.parametrize("id_", ["", "nothing", f"{FILE_ID}_", f"{ID}#", f"{ID}/", "x" * 5000, f"{ID[:-1]}9"])
async def test_an_id_that_is_none_of_the_owners_is_not_found(id_: str) -> None:
    office = Office()
    await office.bury(1)
    with pytest.raises(NotFoundError):
        await redeliver(office, id_)


async def test_another_owners_delivery_is_not_found() -> None:
    office = Office()
    await office.bury(1)
    with pytest.raises(NotFoundError):
        await redeliver(office, owner="f" * 32)


@pytest.mark.parametrize("status", sorted(SETTLED))
async def test_whatever_is_settled_is_delivered_again(status: DeliveryStatus) -> None:
    office = Office()
    await office.bury(1, status=status)
    delivery = await redeliver(office)
    assert (delivery.status, delivery.attempt, delivery.redriven_by) == (DeliveryStatus.QUEUED, 4, BY)
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}
    (post,) = office.sender.posts
    assert post[1]["webhook-id"] == ID


async def test_an_event_of_a_later_revision_is_told_as_what_it_was() -> None:
    office = Office()
    await office.bury()
    id_ = f"{FILE_ID}_file-updated-3_{sample.subscription(1).id}"
    events = frozenset({EventType.FILE_UPDATED})
    await sample.insert(office.memory, sample.subscription(1, events=events), dead_delivery(1, id=id_))
    await redeliver(office, id_)
    (message,) = office.sent.messages
    assert b'"type":"dropbell.file.updated.v1"' in message.body


@pytest.mark.parametrize("status", sorted(set(DeliveryStatus) - SETTLED))
async def test_what_is_under_way_is_a_conflict(status: DeliveryStatus) -> None:
    office = Office()
    await office.bury(1, status=status)
    with pytest.raises(ConflictError) as caught:
        await redeliver(office)
    assert caught.value.code == "delivery-under-way"
    assert not office.sent.messages


@pytest.mark.parametrize("status", [*sorted(set(SubscriptionStatus) - {SubscriptionStatus.ACTIVE}), None])
async def test_a_subscription_that_is_not_active_is_a_conflict(status: SubscriptionStatus | None) -> None:
    office = Office()
    await office.bury(1, status=DeliveryStatus.SUPPRESSED)
    row = await office.memory.get(OWNER, subscriptions.row_key(sample.subscription(1).id))
    assert row is not None
    if status is None:
        await office.memory.apply([Delete(row)])
    else:
        changed = sample.subscription(1, status=status, etag=row.etag)
        await office.memory.apply([Replace(subscriptions.to_entity(changed))])
    with pytest.raises(ConflictError) as caught:
        await redeliver(office)
    assert caught.value.code == "subscription-not-active"
    assert await office.by_status() == {"suppressed": 1}


async def test_a_delivery_whose_file_is_gone_is_not_found() -> None:
    office = Office()
    await office.bury(1)
    row = await office.memory.get(OWNER, files.row_key(FILE_ID))
    assert row is not None
    await office.memory.apply([Delete(row)])
    with pytest.raises(NotFoundError):
        await redeliver(office)


async def test_twice_at_once_is_one_more_round() -> None:
    office = Office()
    await office.bury(1)
    await redeliver(office)
    with pytest.raises(ConflictError):
        await redeliver(office)
    await office.work_off()
    assert len(office.sender.posts) == 1


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_call_leaves_it_as_it_was_or_the_sweep_sends_it(*, after: bool) -> None:
    whole = Office()
    await whole.bury(1)
    await redeliver(whole)
    for at in range(1, whole.cut.calls + 1):
        office = Office(cut=Cut(at, after=after))
        await office.bury(1)
        with pytest.raises(CrashError):
            await redeliver(office)
        put_back = (await office.delivery()).status is DeliveryStatus.QUEUED
        await sweep(office)
        await office.work_off()
        assert await office.by_status() == ({"delivered": 1} if put_back else {"dead": 1}), at
        assert len(office.sender.posts) == put_back, at


async def test_a_queue_that_is_away_is_told_and_the_sweep_sends_it_later() -> None:
    office = Office()
    await office.bury(1)
    office.queue_is_away = True
    with pytest.raises(UnavailableError):
        await redeliver(office)
    office.queue_is_away = False
    await sweep(office)
    await office.work_off()
    assert await office.by_status() == {"delivered": 1}


async def test_the_file_stays_settled() -> None:
    office = Office()
    await office.bury(1)
    await redeliver(office)
    file = await office.file()
    assert file is not None
    assert file.status is SETTLED_FILE.status
    await office.work_off()
    assert (await office.file()) == file
