"""Good examples of what the application works with; each test changes the one thing that it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryQueue, MemorySender, MemoryTables
from shared.files import file as files
from shared.files.file import File, FileStatus
from shared.files.publication import Publication
from shared.files.quota import Quota, QuotaPolicy
from shared.ledger.due import DueBook
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.channels.webhook import WebhookChannel
from shared.notifications.delivery import Deliverer, DeliveryPolicy
from shared.notifications.delivery_record import Delivery, DeliveryStatus
from shared.notifications.fan_out import FanOut
from shared.notifications.message import DeliveryMessage, file_event
from shared.notifications.retry_schedule import RetrySchedule
from shared.notifications.sealed_secret import SecretBox
from shared.notifications.subscription import (
    ChannelKind,
    EventType,
    SealedSecret,
    Subscription,
    SubscriptionStatus,
)
from shared.ports import Insert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from shared.notifications.fan_out import Gate
    from shared.notifications.owner_news import OwnerNews
    from shared.notifications.target_guard import TargetGuard
    from shared.ports import MessageQueue, TableStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OWNER = "0123456789abcdef0123456789abcdef"
FILE_ID = "019cacff-0000-7000-8000-000000000001"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
PUBLIC_URL = "https://dropbell.example"
SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE="
SECRET_BOX = SecretBox(b"k" * 32)
POLICY = DeliveryPolicy(RetrySchedule((10, 60)), attempt_timeout_seconds=15, lease_seconds=25)
"""Three attempts."""


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def file(**changes: Any) -> File:
    made = File(
        id=FILE_ID,
        owner=OWNER,
        name="résumé.pdf",
        content_type="application/pdf",
        size_bytes=5,
        sha256="5" * 64,
        status=FileStatus.STORED,
        correlation_id="correlation-1",
        traceparent=TRACEPARENT,
        accepted_at=NOW - timedelta(seconds=2),
        stored_at=NOW - timedelta(seconds=1),
        updated_at=NOW - timedelta(seconds=1),
    )
    return replace(made, **changes)


def subscription(number: int = 1, **changes: Any) -> Subscription:
    id_ = f"{number:032x}"
    made = Subscription(
        id=id_,
        owner=OWNER,
        channel=ChannelKind.WEBHOOK,
        target=f"https://receiver.example/{number}",
        events=frozenset({EventType.FILE_STORED}),
        status=SubscriptionStatus.ACTIVE,
        secrets=(SealedSecret(SECRET_BOX.seal(SECRET, subscription_id=id_)),),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def delivery(number: int = 1, **changes: Any) -> Delivery:
    subscription_id = f"{number:032x}"
    made = Delivery(
        id=deliveries.delivery_id(FILE_ID, EventType.FILE_STORED, subscription_id),
        owner=OWNER,
        file_id=FILE_ID,
        subscription_id=subscription_id,
        status=DeliveryStatus.QUEUED,
        attempt=1,
        epoch=0,
        created_at=NOW,
    )
    return replace(made, **changes)


def file_id_of(number: int) -> str:
    """One of many files."""
    return f"{FILE_ID[:-4]}{number:04x}"


def delivery_of(number: int) -> Delivery:
    """The delivery of that file to the first subscription."""
    id_ = deliveries.delivery_id(file_id_of(number), EventType.FILE_STORED, f"{1:032x}")
    return delivery(id=id_, file_id=file_id_of(number))


def message_of(number: int) -> DeliveryMessage:
    """The message of that delivery."""
    return message(file_id=file_id_of(number), delivery_id=delivery_of(number).id)


def message(number: int = 1, **changes: Any) -> DeliveryMessage:
    made = DeliveryMessage(
        owner=OWNER,
        file_id=FILE_ID,
        subscription_id=f"{number:032x}",
        delivery_id=delivery(number).id,
        attempt=1,
        correlation_id="correlation-1",
        event=file_event(file(), EventType.FILE_STORED, source=PUBLIC_URL),
    )
    return made.model_copy(update=changes)


async def insert(tables: TableStore, *things: File | Subscription | Delivery) -> None:
    for thing in things:
        match thing:
            case File():
                entity = files.to_entity(thing)
            case Subscription():
                entity = subscriptions.to_entity(thing)
            case Delivery():
                entity = deliveries.to_entity(thing)
        await tables.apply([Insert(entity)])


async def insert_subscriptions(tables: TableStore, numbers: Iterable[int]) -> None:
    await insert(tables, *(subscription(number) for number in numbers))


class AnyContent:
    """Takes whatever comes."""

    def check_declared(self, content_type: str) -> None:
        """Take it."""

    def check_content(self, content_type: str, head: bytes) -> None:
        """Take it."""


class World:
    """Memory adapters, and what the triggers run on them."""

    def __init__(self, *answers: Any, tables: Any = None, queue: Any = None, now: datetime = NOW) -> None:
        self.clock = MemoryClock(now)
        self.blobs = MemoryBlobs()
        self.memory = MemoryTables()
        self.tables: TableStore = tables(self.memory) if tables else self.memory
        self.sent = MemoryQueue()
        self.queue: MessageQueue = queue(self.sent) if queue else self.sent
        self.sender = MemorySender(*answers)

    def fan_out(self, gate: Gate | None = None) -> FanOut:
        quota = Quota(self.tables, QuotaPolicy())
        due = DueBook(self.tables, self.clock)
        publication = Publication(
            self.blobs, self.tables, self.clock, quota=quota, content=AnyContent(), due=due
        )
        return FanOut(publication, self.tables, self.queue, self.clock, public_url=PUBLIC_URL, gate=gate)

    def deliverer(
        self,
        policy: DeliveryPolicy = POLICY,
        guard: TargetGuard | None = None,
        news: OwnerNews | None = None,
    ) -> Deliverer:
        channels = {ChannelKind.WEBHOOK: WebhookChannel(self.sender, SECRET_BOX, self.clock)}
        return Deliverer(self.tables, self.queue, channels, self.clock, policy, guard, news)

    async def subscription(self, number: int = 1) -> Subscription:
        entity = await self.memory.get(OWNER, subscriptions.row_key(f"{number:032x}"))
        assert entity is not None
        return subscriptions.from_entity(entity)

    async def file(self, file_id: str = FILE_ID) -> File | None:
        entity = await self.memory.get(OWNER, files.row_key(file_id))
        return None if entity is None else files.from_entity(entity)

    async def delivery(self, number: int = 1) -> Delivery:
        entity = await self.memory.get(OWNER, deliveries.row_key(FILE_ID, delivery(number).id))
        assert entity is not None
        return deliveries.from_entity(entity)

    async def deliveries(self) -> list[Delivery]:
        return [
            deliveries.from_entity(row)
            for (_, key), row in sorted(self.memory.rows.items())
            if key.startswith("delivery|")
        ]
