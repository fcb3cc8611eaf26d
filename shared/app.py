"""The composition root: builds each collaborator once, when it is first needed.

``function_app.py`` calls the methods of ``application()``; tests build an ``Application`` of their own and
hand in memory adapters. Imports sit in the properties, so that a cold start pays only for what its first
request needs.
"""

from __future__ import annotations

import logging
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from azure.identity.aio import ManagedIdentityCredential

    from shared.adapters.azure_transport import AzureTransport
    from shared.adapters.blobs import AzureBlobs
    from shared.adapters.service_bus import ServiceBusQueue
    from shared.adapters.tables import AzureTables
    from shared.files.intake import Intake
    from shared.identity.token import TokenValidator
    from shared.notifications.channels import Channel
    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.delivery import Deliverer
    from shared.notifications.fan_out import FanOut
    from shared.notifications.sealed_secret import SecretBox
    from shared.notifications.subscription import ChannelKind
    from shared.ports import BlobStore, Clock, HttpSender, JsonSource, MessageQueue, TableStore
    from shared.settings import Settings
    from shared.web.api import Api
    from shared.web.health import Health

_NOISY_LOGGERS = ("azure", "uamqp")
"""The SDKs log every request with its headers at INFO."""


class Application:
    """Every collaborator, built lazily. What is handed in takes the place of what would be built."""

    def __init__(self, settings: Settings | None = None, **adapters: Any) -> None:
        """Take settings (default: the environment's) and adapters by the name of their property."""
        if settings is not None:
            self.settings = settings
        for name, adapter in adapters.items():
            if not isinstance(getattr(type(self), name, None), cached_property):
                raise TypeError(f"there is no collaborator called {name}")
            self.__dict__[name] = adapter

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings; raises SettingsError that says what is wrong."""
        from shared.settings import read_settings

        for name in _NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        return read_settings()

    @cached_property
    def clock(self) -> Clock:
        """The time."""
        from shared.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def blobs(self) -> BlobStore:
        """The uploads container."""
        return self._azure_blobs

    @cached_property
    def tables(self) -> TableStore:
        """The table of files, subscriptions and deliveries."""
        return self._azure_tables

    @cached_property
    def queue(self) -> MessageQueue:
        """The notifications queue."""
        return self._service_bus_queue

    @cached_property
    def json_source(self) -> JsonSource:
        """Fetches the issuer's documents."""
        from shared.adapters.http import HttpJson

        return HttpJson()

    @cached_property
    def sender(self) -> HttpSender:
        """Posts webhooks."""
        from shared.adapters.http import GuardedHttp

        return GuardedHttp(self.target_policy)

    @cached_property
    def target_policy(self) -> TargetPolicy:
        """Where notifications may go."""
        from shared.notifications.channels.target_policy import TargetPolicy

        return TargetPolicy(frozenset(host.lower() for host in self.settings.webhook_allowed_hosts))

    @cached_property
    def secret_box(self) -> SecretBox:
        """Seals the signing secrets of subscriptions."""
        from shared.notifications.sealed_secret import SecretBox

        return SecretBox(self.settings.secrets_key)

    @cached_property
    def validator(self) -> TokenValidator:
        """Tells who is calling."""
        from shared.identity.signing_keys import SigningKeyCaches
        from shared.identity.token import TokenValidator

        keys = SigningKeyCaches(self.json_source, self.clock)
        return TokenValidator(self.settings.token_policy, keys, self.clock)

    @cached_property
    def intake(self) -> Intake:
        """Accepts files."""
        from shared.files.intake import Intake

        return Intake(self.blobs, self.tables, self.clock, max_file_bytes=self.settings.max_file_bytes)

    @cached_property
    def api(self) -> Api:
        """The HTTP API."""
        from shared.notifications.subscribing import Subscribing
        from shared.web.api import Api
        from shared.web.call import Front

        subscribing = Subscribing(self.tables, self.clock, self.secret_box, self.target_policy)
        return Api(Front(self.validator), self.intake, self.tables, subscribing)

    @cached_property
    def health(self) -> Health:
        """The health route. Only its deep checks build and ask the real services."""
        from shared.web.health import Health

        async def blobs() -> None:
            await self._azure_blobs.check()

        async def tables() -> None:
            await self._azure_tables.check()

        async def queue() -> None:
            await self._service_bus_queue.check()

        checks = {"blobs": blobs, "tables": tables, "queue": queue}
        return Health(checks, self.clock)

    @cached_property
    def fan_out(self) -> FanOut:
        """Announces files."""
        from shared.notifications.fan_out import FanOut

        return FanOut(self.blobs, self.tables, self.queue, self.clock, public_url=self.settings.public_url)

    @cached_property
    def channels(self) -> dict[ChannelKind, Channel]:
        """How subscribers are told."""
        from shared.notifications.channels.webhook import WebhookChannel
        from shared.notifications.subscription import ChannelKind

        return {ChannelKind.WEBHOOK: WebhookChannel(self.sender, self.secret_box, self.clock)}

    @cached_property
    def deliverer(self) -> Deliverer:
        """Carries out delivery messages."""
        from shared.notifications.delivery import Deliverer, DeliveryPolicy
        from shared.notifications.retry_schedule import RetrySchedule

        delays_seconds = self.settings.retry_schedule_seconds
        policy = DeliveryPolicy(
            schedule=RetrySchedule() if delays_seconds is None else RetrySchedule(delays_seconds),
            attempt_timeout_seconds=self.settings.delivery_timeout_seconds,
            lease_seconds=self.settings.lease_seconds,
        )
        return Deliverer(self.tables, self.queue, self.channels, self.clock, policy)

    async def announce(self, blob_name: str) -> None:
        """What the blob trigger does."""
        await self.fan_out.announce(blob_name)

    async def deliver(self, body: bytes, *, enqueued_at: datetime | None) -> None:
        """What the queue trigger does."""
        await self.deliverer.handle(body, enqueued_at=enqueued_at)

    @cached_property
    def _transport(self) -> AzureTransport:
        from shared.adapters.azure_transport import AzureTransport

        return AzureTransport()

    @cached_property
    def _azure_blobs(self) -> AzureBlobs:
        from shared.adapters.blobs import AzureBlobs

        settings = self.settings
        return AzureBlobs.connect(
            settings.uploads_container,
            self._transport.transport(),
            connection_string=settings.storage.get_secret_value() if settings.storage else None,
            account_url=settings.blob_service_uri,
            credential=None if settings.storage else self._credential(settings.storage_client_id),
        )

    @cached_property
    def _azure_tables(self) -> AzureTables:
        from shared.adapters.tables import AzureTables

        settings = self.settings
        return AzureTables.connect(
            settings.table,
            self._transport.transport(),
            connection_string=settings.storage.get_secret_value() if settings.storage else None,
            account_url=settings.table_service_uri,
            credential=None if settings.storage else self._credential(settings.storage_client_id),
        )

    @cached_property
    def _service_bus_queue(self) -> ServiceBusQueue:
        from shared.adapters.service_bus import ServiceBusQueue

        settings = self.settings
        return ServiceBusQueue.connect(
            settings.queue,
            connection_string=settings.service_bus.get_secret_value() if settings.service_bus else None,
            namespace=settings.service_bus_namespace,
            credential=None if settings.service_bus else self._credential(settings.service_bus_client_id),
        )

    def _credential(self, client_id: str | None) -> ManagedIdentityCredential:
        """The managed identity, one object for each client id: it caches tokens."""
        from azure.identity.aio import ManagedIdentityCredential

        kept: dict[str | None, ManagedIdentityCredential] = self.__dict__.setdefault("_credentials", {})
        if client_id not in kept:
            kept[client_id] = ManagedIdentityCredential(client_id=client_id)
        return kept[client_id]


@cache
def application() -> Application:
    """The process's one application."""
    return Application()


def blob_trigger_source() -> str:
    """Where blob events come from, for the trigger's declaration (see ``shared.settings``)."""
    from shared.settings import blob_trigger_source as read

    return read()
