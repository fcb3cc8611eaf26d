"""The parts that tell of files."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.app.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from shared.files.events import EventType, EventWriter
    from shared.files.file import File
    from shared.notifications.channels import Channel
    from shared.notifications.channels.webhook import WebhookChannel
    from shared.notifications.dead_letters import DeadLetters
    from shared.notifications.delivery import Deliverer
    from shared.notifications.fan_out import FanOut
    from shared.notifications.happenings import Happenings
    from shared.notifications.history import History
    from shared.notifications.lost_messages import LostMessages
    from shared.notifications.redelivery import Redelivery
    from shared.notifications.subscribing import Subscribing
    from shared.notifications.subscription import ChannelKind
    from shared.notifications.target_guard import TargetGuard
    from shared.notifications.unsubscribing import Unsubscribing


class Notifications(Files):
    """How subscribers are told."""

    @cached_property
    def events(self) -> EventWriter:
        """Tells of what happens to files; built when the first thing happens, as the fan-out needs files."""
        return _Later(lambda: self.happenings)

    @cached_property
    def history(self) -> History:
        """Deliveries of the past."""
        from shared.notifications.history import History

        return History(
            self.tables,
            self.clock,
            self.due_book,
            keep_deliveries_seconds=self.settings.deliveries_keep_seconds,
        )

    @cached_property
    def subscribing(self) -> Subscribing:
        """Subscriptions of owners and tenants."""
        from shared.notifications.challenge import Challenger
        from shared.notifications.filter import compile_filter
        from shared.notifications.subscribing import Subscribing, checked_url
        from shared.notifications.subscription import ChannelKind

        check_url = checked_url(self.target_policy)
        checks = {ChannelKind.WEBHOOK: check_url, ChannelKind.CHAT: check_url}
        if ChannelKind.EMAIL in self.channels:
            from shared.notifications.channels.email_address import checked_address

            checks[ChannelKind.EMAIL] = checked_address
        challenger = Challenger(
            self.webhook_channel, self.target_policy, self.clock, source=self.settings.public_url
        )
        return Subscribing(
            self.tables,
            self.clock,
            self.secret_box,
            challenger,
            target_checks=checks,
            check_filter=compile_filter,
            targets=self.target_guard,
        )

    @cached_property
    def unsubscribing(self) -> Unsubscribing:
        """The links by which readers of e-mail end their subscription."""
        from shared.notifications.unsubscribing import Unsubscribing

        return Unsubscribing(self.tables, self.clock, self._signer("unsubscribe"))

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What could not be delivered."""
        from shared.notifications.dead_letters import DeadLetters

        return DeadLetters(
            self.dead_letter_queue,
            self.tables,
            self.queue,
            self.clock,
            self.lost_messages,
            targets=self.target_guard,
        )

    @cached_property
    def lost_messages(self) -> LostMessages:
        """Deliveries that nobody comes for."""
        from shared.notifications.lost_messages import LostMessages

        return LostMessages(
            self.tables, self.queue, self.clock, self.due_book, public_url=self.settings.public_url
        )

    @cached_property
    def redelivery(self) -> Redelivery:
        """Deliveries that their owner wants made again."""
        from shared.notifications.redelivery import Redelivery

        return Redelivery(
            self.tables,
            self.queue,
            self.clock,
            self.due_book,
            public_url=self.settings.public_url,
            targets=self.target_guard,
        )

    @cached_property
    def fan_out(self) -> FanOut:
        """Announces files."""
        from shared.notifications.fan_out import FanOut

        return FanOut(
            self.publication,
            self.tables,
            self.queue,
            self.clock,
            public_url=self.settings.public_url,
            history=self.history,
            gate=self.scan_gate,
        )

    @cached_property
    def happenings(self) -> Happenings:
        """Tells of what happens to files after they were stored."""
        from shared.notifications.happenings import Happenings

        return Happenings(self.fan_out, self.tables, self.due_book, self.clock)

    @cached_property
    def webhook_channel(self) -> WebhookChannel:
        """Tells by webhook."""
        from shared.notifications.channels.webhook import WebhookChannel

        return WebhookChannel(self.sender, self.secret_box, self.clock)

    @cached_property
    def channels(self) -> Mapping[ChannelKind, Channel]:
        """How subscribers are told."""
        from shared.notifications.channels.chat import ChatChannel
        from shared.notifications.subscription import ChannelKind

        found: dict[ChannelKind, Channel] = {
            ChannelKind.WEBHOOK: self.webhook_channel,
            ChannelKind.CHAT: ChatChannel(self.sender, self.target_policy, self.clock),
        }
        settings = self.settings
        if self.mail is not None and settings.mail_from is not None:
            from shared.notifications.channels.email import EmailChannel

            found[ChannelKind.EMAIL] = EmailChannel(
                self.mail,
                self.unsubscribing,
                self.clock,
                sender_address=settings.mail_from,
                public_url=settings.public_url,
            )
        return found

    @cached_property
    def target_guard(self) -> TargetGuard:
        """Stands before failing targets."""
        from shared.notifications.target_guard import TargetGuard
        from shared.notifications.target_health import HealthPolicy
        from shared.notifications.target_pace import PacePolicy

        pace = PacePolicy(self.settings.target_rate_per_second or None)
        health = HealthPolicy.for_schedule(self.settings.retry_schedule_seconds)
        return TargetGuard(self.tables, self.clock, health, pace)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Carries out delivery messages."""
        from shared.notifications.delivery import Deliverer, DeliveryPolicy
        from shared.notifications.owner_news import OwnerNews
        from shared.notifications.retry_schedule import RetrySchedule

        delays_seconds = self.settings.retry_schedule_seconds
        policy = DeliveryPolicy(
            schedule=RetrySchedule() if delays_seconds is None else RetrySchedule(delays_seconds),
            attempt_timeout_seconds=self.settings.delivery_timeout_seconds,
            lease_seconds=self.settings.lease_seconds,
        )
        news = OwnerNews(self.tables, self.channels, self.clock, source=self.settings.public_url)
        return Deliverer(self.tables, self.queue, self.channels, self.clock, policy, self.target_guard, news)

    async def announce(self, blob_name: str) -> None:
        """What the blob trigger does."""
        from shared.telemetry.spans import SpanKind

        with self.telemetry.work("announce", SpanKind.CONSUMER):
            await self.fan_out.announce(blob_name)

    async def deliver(self, body: bytes, *, enqueued_at: datetime | None) -> None:
        """What the queue trigger does."""
        from shared.errors import DeadLetterError
        from shared.telemetry.spans import SpanKind

        # That a message must be dead-lettered is said where it is decided, not each time it comes.
        with self.telemetry.work("deliver", SpanKind.CONSUMER, quiet=DeadLetterError):
            await self.deliverer.handle(body, enqueued_at=enqueued_at)


class _Later:
    """``EventWriter`` that is made when it is first needed: what tells of files is itself built on files."""

    def __init__(self, make: Callable[[], EventWriter]) -> None:
        self._make = make

    async def will(self, owner: str, file_id: str, event: EventType, revision: int) -> None:
        """See ``EventWriter``."""
        await self._make().will(owner, file_id, event, revision)

    async def happened(self, file: File, event: EventType) -> None:
        """See ``EventWriter``."""
        await self._make().happened(file, event)
