"""What the application stands on: settings, the clock, and adapters to everything outside."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.identity.aio import ManagedIdentityCredential

    from shared.adapters.azure_transport import AzureTransport
    from shared.adapters.blobs import AzureBlobs
    from shared.adapters.service_bus import ServiceBusQueue
    from shared.adapters.tables import AzureTables
    from shared.identity.token import TokenValidator
    from shared.ledger.due import DueBook
    from shared.ledger.signed_token import Signer
    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.sealed_secret import SecretBox
    from shared.ports import (
        BlobStore,
        Clock,
        DeadLetterQueue,
        HttpSender,
        JsonSource,
        MailSender,
        MessageQueue,
        Scanner,
        TableStore,
        UrlSigner,
    )
    from shared.settings import Settings
    from shared.telemetry.recorder import Sink, Telemetry

_NOISY_LOGGERS = ("azure", "uamqp")
"""The SDKs log every request with its headers at INFO."""


class World:
    """Every adapter, built lazily. What is handed in takes the place of what would be built."""

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
    def telemetry(self) -> Telemetry:
        """Follows what is done, and hands it to whoever exports it."""
        from shared.telemetry.recorder import Telemetry

        return Telemetry(self.telemetry_sink, sample_ratio=self.settings.trace_sample_ratio)

    @cached_property
    def telemetry_sink(self) -> Sink | None:
        """Where telemetry goes; None where no Application Insights is set up."""
        settings = self.settings
        if settings.application_insights is None:
            return None
        from shared.adapters.azure_monitor import AzureMonitor

        return AzureMonitor(
            settings.application_insights.get_secret_value(),
            identity_client_id=settings.application_insights_identity,
            interval_seconds=settings.telemetry_interval_milliseconds / 1000,
            metric_interval_seconds=settings.metric_interval_milliseconds / 1000,
        )

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
    def scanner(self) -> Scanner:
        """What the malware scanner says of blobs."""
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
    def dead_letter_queue(self) -> DeadLetterQueue:
        """The notifications queue's dead-letter queue."""
        from shared.adapters.dead_letters import ServiceBusDeadLetters

        settings = self.settings
        return ServiceBusDeadLetters.connect(
            settings.queue,
            connection_string=settings.service_bus.get_secret_value() if settings.service_bus else None,
            namespace=settings.service_bus_namespace,
            credential=None if settings.service_bus else self._credential(settings.service_bus_client_id),
        )

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
    def url_signer(self) -> UrlSigner:
        """Makes URLs for clients that go to Blob Storage themselves."""
        from shared.adapters.url_signer import AccountKeyUrlSigner, UserDelegationUrlSigner

        settings = self.settings
        content_url = settings.content_url
        if settings.storage is not None:
            return AccountKeyUrlSigner.connect(
                settings.uploads_container,
                connection_string=settings.storage.get_secret_value(),
                content_base_url=content_url,
            )
        return UserDelegationUrlSigner.connect(
            settings.uploads_container,
            self._transport.transport(),
            account_url=settings.blob_service_uri or "",
            credential=self._credential(settings.storage_client_id),
            clock=self.clock,
            content_base_url=content_url,
        )

    @cached_property
    def mail(self) -> MailSender | None:
        """Carries e-mail; None where none is set up."""
        settings = self.settings
        if settings.mail_endpoint is not None:
            from shared.adapters.mail import AcsMail

            return AcsMail(settings.mail_endpoint, self._credential(settings.mail_client_id))
        if settings.smtp_host is None:
            return None
        from shared.adapters.mail import SmtpMail, SmtpSecurity, SmtpServer

        password = settings.smtp_password
        return SmtpMail(
            SmtpServer(
                settings.smtp_host,
                settings.smtp_port,
                SmtpSecurity(settings.smtp_security),
                settings.smtp_username,
                password.get_secret_value() if password else None,
            )
        )

    @cached_property
    def due_book(self) -> DueBook:
        """What has to be looked at later."""
        from shared.ledger.due import DueBook

        return DueBook(self.tables, self.clock)

    def _signer(self, purpose: str) -> Signer:
        from shared.ledger.signed_token import Signer

        return Signer(self.settings.secrets_key, purpose)

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
