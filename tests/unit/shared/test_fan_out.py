from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from shared.errors import UnavailableError
from shared.files import file as files
from shared.files.file import FileStatus
from shared.notifications.delivery_record import DeliveryStatus
from shared.notifications.fan_out import deliveries_of, transactions
from shared.notifications.subscription import SubscriptionStatus
from shared.ports import Insert, Replace
from tests.unit.shared import sample
from tests.unit.shared.sample import FILE_ID, NOW, OWNER, World, chunks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.ports import Change, Entity, MessageQueue, Page, QueueMessage, TableStore

BLOB = files.blob_name(OWNER, FILE_ID)


async def stored(world: World, subscribers: int) -> World:
    """A world with a stored file: its blob, its row, and so many subscriptions."""
    await blob(world)
    await sample.insert(world.memory, sample.file())
    await sample.insert_subscriptions(world.memory, range(subscribers))
    return world


async def blob(world: World, name: str = BLOB, metadata: Mapping[str, str] | None = None) -> None:
    file = sample.file()
    told = files.to_blob_metadata(
        file.name,
        sha256=file.sha256,
        correlation_id=file.correlation_id,
        traceparent=file.traceparent,
        accepted_at=file.accepted_at,
        stored_at=file.stored_at,
    )
    await world.blobs.create(
        name, chunks(b"hello"), content_type=file.content_type, metadata=lambda: metadata or told
    )


async def check_announced(world: World, subscribers: int) -> None:
    """One delivery and one message for each subscription, and the file's mark."""
    file = await world.file()
    assert file is not None
    assert file.status is (FileStatus.ANNOUNCED if subscribers else FileStatus.SETTLED)
    found = await world.deliveries()
    assert [delivery.subscription_id for delivery in found] == [f"{n:032x}" for n in range(subscribers)]
    assert {delivery.status for delivery in found} <= {DeliveryStatus.QUEUED}
    sent = [message.properties["delivery_id"] for message in world.sent.messages]
    assert sorted(sent) == [delivery.id for delivery in found]


@pytest.mark.parametrize("subscribers", [0, 1, 2, 99, 100, 250])
async def test_each_subscription_gets_one_delivery_and_one_message(subscribers: int) -> None:
    world = await stored(World(), subscribers)
    await world.fan_out().announce(BLOB)
    await check_announced(world, subscribers)


async def test_the_message_tells_of_the_file() -> None:
    world = await stored(World(), 1)
    await world.fan_out().announce(BLOB)
    body = json.loads(world.sent.messages[0].body)
    assert body["event"] == json.loads(sample.message().event.model_dump_json())
    assert (body["owner"], body["attempt"], body["correlation_id"]) == (OWNER, 1, "correlation-1")
    assert world.sent.messages[0].not_before is None


async def test_disabled_subscriptions_other_owners_and_other_events_are_left_out() -> None:
    world = await stored(World(), 1)
    await sample.insert(
        world.memory,
        sample.subscription(7, status=SubscriptionStatus.DISABLED),
        sample.subscription(8, owner="f" * 32),
        sample.subscription(9, events=frozenset()),
    )
    await world.fan_out().announce(BLOB)
    await check_announced(world, 1)


@pytest.mark.parametrize("subscribers", [0, 3, 150])
async def test_a_repeated_event_changes_nothing(subscribers: int) -> None:
    world = await stored(World(), subscribers)
    await world.fan_out().announce(BLOB)
    before = dict(world.memory.rows)
    await world.fan_out().announce(BLOB)
    assert world.memory.rows == before
    await check_announced(world, subscribers)


async def test_a_repeated_event_sends_nothing_for_deliveries_that_are_past_their_first_message() -> None:
    world = World()
    await stored(world, 0)
    entity = await world.memory.get(OWNER, files.row_key(FILE_ID))
    assert entity is not None
    mark = files.from_entity(entity).moved_to(FileStatus.ANNOUNCED, NOW)
    await world.memory.apply([Replace(files.to_entity(mark))])
    for number, status in enumerate(DeliveryStatus):
        await sample.insert(world.memory, sample.delivery(number, status=status))
    await world.fan_out().announce(BLOB)
    (sent,) = world.sent.messages
    assert (
        sent.properties["delivery_id"]
        == sample.delivery(list(DeliveryStatus).index(DeliveryStatus.QUEUED)).id
    )


class Interleaved:
    """Lets every other task go first, before each call."""

    def __init__(self, memory: TableStore) -> None:
        self._memory = memory

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        await asyncio.sleep(0)
        return await self._memory.get(partition_key, row_key)

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        await asyncio.sleep(0)
        return await self._memory.query(
            partition_key, first_row_key=first_row_key, end_row_key=end_row_key, limit=limit
        )

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        await asyncio.sleep(0)
        return await self._memory.apply(changes)


@pytest.mark.parametrize("subscribers", [0, 1, 99, 250])
async def test_runs_of_the_same_event_at_the_same_time_do_the_work_once(subscribers: int) -> None:
    world = await stored(World(tables=Interleaved), subscribers)
    await asyncio.gather(*(world.fan_out().announce(BLOB) for _ in range(3)))
    await check_announced(world, subscribers)


class BrokenQueue:
    def __init__(self, sent: MessageQueue) -> None:
        self._sent = sent
        self.broken = True

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        if self.broken:
            raise UnavailableError("no answer")
        await self._sent.send(messages)


async def test_what_crashes_between_the_rows_and_the_messages_is_finished_by_the_next_run() -> None:
    world = await stored(World(queue=BrokenQueue), 3)
    with pytest.raises(UnavailableError):
        await world.fan_out().announce(BLOB)
    assert [delivery.status for delivery in await world.deliveries()] == [DeliveryStatus.QUEUED] * 3
    assert isinstance(world.queue, BrokenQueue)
    world.queue.broken = False
    await world.fan_out().announce(BLOB)
    await check_announced(world, 3)


class BreaksOnce(Interleaved):
    """Fails at the given call of ``apply``, before or after the changes were made."""

    def __init__(self, memory: TableStore, *, at_call: int, after: bool) -> None:
        super().__init__(memory)
        self._calls_left = at_call
        self._after = after

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        self._calls_left -= 1
        if self._calls_left or self._after:
            etags = await super().apply(changes)
        if not self._calls_left:
            raise UnavailableError("no answer")
        return etags


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at_call", [1, 2, 3])
async def test_a_crash_at_any_of_several_transactions_is_finished_by_the_next_run(
    at_call: int, after: bool
) -> None:
    world = await stored(World(tables=lambda memory: BreaksOnce(memory, at_call=at_call, after=after)), 250)
    with pytest.raises(UnavailableError):
        await world.fan_out().announce(BLOB)
    marked = at_call == 3 and after
    file = await world.file()
    assert file is not None
    assert file.status is (FileStatus.ANNOUNCED if marked else FileStatus.STORED)
    assert not world.sent.messages
    await world.fan_out().announce(BLOB)
    await check_announced(world, 250)


@pytest.mark.parametrize(
    ("missing", "sizes"), [(0, [1]), (1, [2]), (99, [100]), (100, [100, 1]), (250, [100, 100, 51])]
)
def test_the_mark_is_the_very_last_change(missing: int, sizes: list[int]) -> None:
    made = transactions([sample.delivery(number) for number in range(missing)], sample.file(etag="1"))
    assert [len(changes) for changes in made] == sizes
    flat = [change for changes in made for change in changes]
    assert isinstance(flat[-1], Replace)
    assert all(isinstance(change, Insert) for change in flat[:-1])


async def test_an_event_that_is_quicker_than_the_request_makes_the_row() -> None:
    world = World()
    await blob(world)
    await sample.insert_subscriptions(world.memory, range(2))
    await world.fan_out().announce(BLOB)
    await check_announced(world, 2)


async def test_an_event_whose_blob_is_gone_does_nothing() -> None:
    world = World()
    await world.fan_out().announce(BLOB)
    assert not world.memory.rows
    assert not world.sent.messages


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        (f"{OWNER}/report.pdf", None),
        ("report.pdf", None),
        (f"a/b/c/{FILE_ID}", None),
        (BLOB, {"made": "by hand"}),
        (BLOB, {"name": "x", "sha256": "", "correlation_id": "", "traceparent": "", "stored_at": "now"}),
    ],
)
async def test_a_blob_that_is_not_ours_is_left_alone(name: str, metadata: dict[str, str] | None) -> None:
    world = World()
    await blob(world, name, metadata)
    await sample.insert_subscriptions(world.memory, range(1))
    await world.fan_out().announce(name)
    assert len(world.memory.rows) == 1
    assert not world.sent.messages


async def test_deliveries_of_a_file_are_its_own() -> None:
    world = World()
    await sample.insert(world.memory, sample.delivery(1), sample.delivery(2, file_id=FILE_ID[:-1] + "2"))
    assert [delivery.subscription_id for delivery in await deliveries_of(world.memory, sample.file())] == [
        f"{1:032x}"
    ]


async def test_a_file_whose_event_never_came_is_announced_when_it_is_looked_at() -> None:
    world = await stored(World(), 2)
    assert await world.fan_out().look(OWNER, FILE_ID) is None
    await check_announced(world, 2)


async def test_a_look_at_an_announced_file_sends_what_may_not_have_been_sent() -> None:
    world = await stored(World(), 2)
    await world.fan_out().announce(BLOB)
    world.sent.messages.clear()
    await world.fan_out().look(OWNER, FILE_ID)
    assert world.sent.messages == []  # the queue has seen them
    await check_status(world, FileStatus.ANNOUNCED)


async def test_a_look_at_what_is_settled_or_not_there_does_nothing() -> None:
    world = World()
    await world.fan_out().look(OWNER, FILE_ID)
    await sample.insert(world.memory, sample.file(status=FileStatus.SETTLED))
    await world.fan_out().look(OWNER, FILE_ID)
    assert world.sent.messages == []
    await check_status(world, FileStatus.SETTLED)


async def check_status(world: World, status: FileStatus) -> None:
    file = await world.file()
    assert file is not None
    assert file.status is status
