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
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from azure.identity.aio import ManagedIdentityCredential
    from starlette.requests import Request
    from starlette.responses import Response

    from shared.adapters.azure_transport import AzureTransport
    from shared.adapters.blobs import AzureBlobs
    from shared.adapters.service_bus import ServiceBusQueue
    from shared.adapters.tables import AzureTables
    from shared.files.catalogue import Catalogue
    from shared.files.content_policy import ContentPolicy
    from shared.files.direct import DirectUploads
    from shared.files.events import EventType, EventWriter
    from shared.files.file import File
    from shared.files.intake import Intake
    from shared.files.publication import Publication
    from shared.files.quota import Quota
    from shared.files.removal import Removal
    from shared.files.upload_end import UploadEnds
    from shared.files.uploading import Uploads
    from shared.identity.token import TokenValidator
    from shared.ledger.due import DueBook
    from shared.ledger.idempotency import IdempotentRequests
    from shared.ledger.signed_token import Signer
    from shared.notifications.channels import Channel
    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.channels.webhook import WebhookChannel
    from shared.notifications.dead_letters import DeadLetters
    from shared.notifications.delivery import Deliverer
    from shared.notifications.fan_out import FanOut
    from shared.notifications.happenings import Happenings
    from shared.notifications.history import History
    from shared.notifications.redelivery import Redelivery
    from shared.notifications.sealed_secret import SecretBox
    from shared.notifications.subscribing import Subscribing
    from shared.notifications.subscription import ChannelKind
    from shared.notifications.target_guard import TargetGuard
    from shared.notifications.unsubscribing import Unsubscribing
    from shared.ports import (
        BlobStore,
        Clock,
        DeadLetterQueue,
        HttpSender,
        JsonSource,
        MailSender,
        MessageQueue,
        TableStore,
        UrlSigner,
    )
    from shared.settings import Settings
    from shared.web.call import Call, Front
    from shared.web.catalogue import CatalogueRoutes
    from shared.web.content import ContentRoutes
    from shared.web.cross_origin import CrossOrigin
    from shared.web.dead_letters import DeadLetterRoutes, DeliveryActionRoutes
    from shared.web.deliveries import DeliveryRoutes
    from shared.web.direct_uploads import DirectUploadRoutes
    from shared.web.documentation import Documentation
    from shared.web.file_events import FileEventRoutes, StreamPolicy
    from shared.web.health import Health
    from shared.web.one_request import OneRequest
    from shared.web.rate_limit import RateLimiter
    from shared.web.share_links import ShareLinkRoutes
    from shared.web.subscriptions import SubscriptionRoutes
    from shared.web.unsubscribe import UnsubscribeRoutes
    from shared.web.uploads import UploadRoutes

    type Work = Callable[[Call], Awaitable[Response]]
    type OpenWork = Callable[[Request], Awaitable[Response]]

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

    # -- files ---------------------------------------------------------------------------------------------

    @cached_property
    def quota(self) -> Quota:
        """What each owner may keep."""
        from shared.files.quota import Quota, QuotaPolicy

        settings = self.settings
        return Quota(self.tables, QuotaPolicy(settings.owner_quota_bytes, settings.owner_quota_files))

    @cached_property
    def content_policy(self) -> ContentPolicy:
        """Which content is taken."""
        from shared.files.content_policy import ContentPolicy

        settings = self.settings
        return ContentPolicy(
            allowed=tuple(settings.allowed_content_types),
            blocked=tuple(settings.blocked_content_types),
        )

    @cached_property
    def due_book(self) -> DueBook:
        """What has to be looked at later."""
        from shared.ledger.due import DueBook

        return DueBook(self.tables, self.clock)

    @cached_property
    def events(self) -> EventWriter:
        """Tells of what happens to files; built when the first thing happens, as the fan-out needs files."""
        return _Later(lambda: self.happenings)

    @cached_property
    def publication(self) -> Publication:
        """Makes files of uploads."""
        from shared.files.publication import Publication

        return Publication(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=self.content_policy,
            due=self.due_book,
            events=self.events,
        )

    @cached_property
    def upload_ends(self) -> UploadEnds:
        """Finishes and ends uploads."""
        from shared.files.upload_end import UploadEnds

        return UploadEnds(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            publication=self.publication,
            keep_seconds=self.settings.upload_expires_seconds,
            events=self.events,
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is known of files."""
        from shared.files.catalogue import Catalogue

        return Catalogue(self.tables, self.clock, due=self.due_book, events=self.events)

    @cached_property
    def removal(self) -> Removal:
        """Deletes files."""
        from shared.files import share_link
        from shared.files.removal import Removal
        from shared.notifications import delivery_record

        return Removal(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            due=self.due_book,
            rows_of_file=(share_link.row_keys_of_file, delivery_record.row_keys_of_file),
            keep_deleted_seconds=self.settings.deleted_keep_seconds,
            events=self.events,
            is_under_way=delivery_record.is_under_way,
        )

    @cached_property
    def uploads(self) -> Uploads:
        """Resumable uploads."""
        from shared.files.uploading import UploadPolicy, Uploads

        settings = self.settings
        return Uploads(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=self.content_policy,
            due=self.due_book,
            ends=self.upload_ends,
            policy=UploadPolicy(settings.max_file_bytes, expires_seconds=settings.upload_expires_seconds),
        )

    @cached_property
    def direct_uploads(self) -> DirectUploads:
        """Uploads that go straight to Blob Storage."""
        from shared.files.direct import DirectUploadPolicy, DirectUploads

        settings = self.settings
        return DirectUploads(
            self.tables,
            self.url_signer,
            self.clock,
            quota=self.quota,
            publication=self.publication,
            content=self.content_policy,
            due=self.due_book,
            policy=DirectUploadPolicy(settings.max_file_bytes, settings.direct_upload_url_seconds),
        )

    @cached_property
    def intake(self) -> Intake:
        """Files that come in one request."""
        from shared.files.intake import Intake

        return Intake(
            self.blobs,
            self.tables,
            self.clock,
            max_file_bytes=self.settings.max_one_request_bytes,
            content=self.content_policy,
            quota=self.quota,
            due=self.due_book,
        )

    @cached_property
    def requests(self) -> IdempotentRequests:
        """Requests that carry an Idempotency-Key."""
        from shared.ledger.idempotency import IdempotentRequests

        return IdempotentRequests(self.tables, self.clock, self.due_book)

    # -- the HTTP API --------------------------------------------------------------------------------------

    @cached_property
    def front(self) -> Front:
        """What every route does before and after its own work."""
        from shared.web.call import Front
        from shared.web.uploads import with_protocol_headers

        finishes = (with_protocol_headers, self.cross_origin.finish)
        return Front(self.validator, limiter=self._limiter, finishes=finishes)

    @cached_property
    def cross_origin(self) -> CrossOrigin:
        """What web pages of other origins may do."""
        from shared.identity.allowed_origins import AllowedOrigins
        from shared.web.cross_origin import CrossOrigin, served

        return CrossOrigin(
            AllowedOrigins(self.settings.cors_allowed_origins),
            served(),
            {"/api/v1/uploads": self._options_of_uploads},
        )

    def _options_of_uploads(self) -> Mapping[str, str]:
        return self.upload_routes.options_headers()

    @cached_property
    def _limiter(self) -> RateLimiter | None:
        from shared.web.rate_limit import RateLimiter, RateLimitPolicy

        settings = self.settings
        if not settings.rate_limit_requests:
            return None
        policy = RateLimitPolicy(settings.rate_limit_requests, settings.rate_limit_window_seconds)
        return RateLimiter(policy, self.clock)

    @cached_property
    def one_request(self) -> OneRequest:
        """``POST /files``."""
        from shared.web.one_request import OneRequest

        return OneRequest(self.intake, self.requests)

    @cached_property
    def upload_routes(self) -> UploadRoutes:
        """``/uploads``."""
        from shared.web.uploads import UploadRoutes

        return UploadRoutes(self.uploads, self.clock, find_file=self.catalogue.find)

    @cached_property
    def direct_upload_routes(self) -> DirectUploadRoutes:
        """``/direct-uploads``."""
        from shared.web.direct_uploads import DirectUploadRoutes

        return DirectUploadRoutes(self.direct_uploads, self.tables, public_url=self.settings.public_url)

    @cached_property
    def catalogue_routes(self) -> CatalogueRoutes:
        """``/files``."""
        from shared.web.catalogue import CatalogueRoutes

        return CatalogueRoutes(self.catalogue, self.removal, self.tables, self._signer("file-list"))

    @cached_property
    def content_routes(self) -> ContentRoutes:
        """``/files/{file_id}/content``."""
        from shared.web.content import ContentRoutes

        return ContentRoutes(self.catalogue, self.blobs, self.url_signer, self.clock)

    @cached_property
    def share_link_routes(self) -> ShareLinkRoutes:
        """``/files/{file_id}/share-links``."""
        from shared.files.share_link import Sharing
        from shared.web.share_links import ShareLinkRoutes

        sharing = Sharing(self.tables, self.clock, self.catalogue, self._signer("share-link"))
        return ShareLinkRoutes(sharing, self.content_routes, public_url=self.settings.public_url)

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
    def delivery_routes(self) -> DeliveryRoutes:
        """``/files/{file_id}/deliveries``."""
        from shared.web.deliveries import DeliveryRoutes

        return DeliveryRoutes(self.catalogue, self.history, self._signer("delivery-list"))

    @cached_property
    def file_event_routes(self) -> FileEventRoutes:
        """``/files/{file_id}/events``."""
        from shared.web.file_events import FileEventRoutes

        return FileEventRoutes(self.catalogue, self.tables, policy=self.stream_policy)

    @cached_property
    def stream_policy(self) -> StreamPolicy:
        """How long and how many files are followed at once."""
        from shared.web.file_events import StreamPolicy

        return StreamPolicy()

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
    def subscription_routes(self) -> SubscriptionRoutes:
        """``/subscriptions``."""
        from shared.notifications.trial import Trial
        from shared.web.subscriptions import SubscriptionRoutes

        trial = Trial(self.channels, self.clock, source=self.settings.public_url)
        return SubscriptionRoutes(
            self.subscribing, trial, self.clock, cursors=self._signer("subscription-list")
        )

    @cached_property
    def unsubscribing(self) -> Unsubscribing:
        """The links by which readers of e-mail end their subscription."""
        from shared.notifications.unsubscribing import Unsubscribing

        return Unsubscribing(self.tables, self.clock, self._signer("unsubscribe"))

    @cached_property
    def unsubscribe_routes(self) -> UnsubscribeRoutes:
        """``/unsubscribe``."""
        from shared.web.unsubscribe import UnsubscribeRoutes

        return UnsubscribeRoutes(self.unsubscribing)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What could not be delivered."""
        from shared.notifications.dead_letters import DeadLetters

        return DeadLetters(self.dead_letter_queue, self.tables, self.queue, self.clock, self.target_guard)

    @cached_property
    def dead_letter_routes(self) -> DeadLetterRoutes:
        """``/operations/dead-letters``."""
        from shared.web.dead_letters import DeadLetterRoutes

        return DeadLetterRoutes(self.dead_letters, self._signer("dead-letter-list"))

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
    def delivery_action_routes(self) -> DeliveryActionRoutes:
        """``/deliveries/{delivery_id}/redeliver``."""
        from shared.web.dead_letters import DeliveryActionRoutes

        return DeliveryActionRoutes(self.redelivery)

    @cached_property
    def documentation(self) -> Documentation:
        """What describes the API."""
        from shared.web.documentation import Documentation

        discovery_url = None
        match self.settings.token_policy.issuers:
            case (issuer,) if len(issuer.tenants) <= 1:
                discovery_url = issuer.discovery_url.replace("{tid}", "".join(issuer.tenants))
        return Documentation(self.settings.public_url, discovery_url)

    @cached_property
    def _works(self) -> Mapping[str, Callable[[], Work]]:
        """What each route does. Asking for one builds what it needs, and nothing else."""
        return {
            "create_file": lambda: self.one_request.create_file,
            "list_files": lambda: self.catalogue_routes.list_files,
            "get_file": lambda: self.catalogue_routes.get_file,
            "update_file": lambda: self.catalogue_routes.update_file,
            "delete_file": lambda: self.catalogue_routes.delete_file,
            "get_content": lambda: self.content_routes.get_content,
            "list_deliveries": lambda: self.delivery_routes.list_deliveries,
            "list_own_deliveries": lambda: self.delivery_routes.list_own_deliveries,
            "get_delivery": lambda: self.delivery_routes.get_delivery,
            "watch_file": lambda: self.file_event_routes.watch_file,
            "create_share_link": lambda: self.share_link_routes.create_share_link,
            "list_share_links": lambda: self.share_link_routes.list_share_links,
            "delete_share_link": lambda: self.share_link_routes.delete_share_link,
            "create_upload": lambda: self.upload_routes.create_upload,
            "get_upload": lambda: self.upload_routes.get_upload,
            "append_upload": lambda: self.upload_routes.append_upload,
            "delete_upload": lambda: self.upload_routes.delete_upload,
            "override_upload": lambda: self.upload_routes.override_upload,
            "create_direct_upload": lambda: self.direct_upload_routes.create_direct_upload,
            "complete_direct_upload": lambda: self.direct_upload_routes.complete_direct_upload,
            "create_subscription": lambda: self.subscription_routes.create_subscription,
            "list_subscriptions": lambda: self.subscription_routes.list_subscriptions,
            "get_subscription": lambda: self.subscription_routes.get_subscription,
            "update_subscription": lambda: self.subscription_routes.update_subscription,
            "delete_subscription": lambda: self.subscription_routes.delete_subscription,
            "rotate_secret": lambda: self.subscription_routes.rotate_secret,
            "test_subscription": lambda: self.subscription_routes.test_subscription,
            "verify_subscription": lambda: self.subscription_routes.verify_subscription,
            "redeliver": lambda: self.delivery_action_routes.redeliver,
            "list_dead_letters": lambda: self.dead_letter_routes.list_dead_letters,
            "redrive_dead_letters": lambda: self.dead_letter_routes.redrive_dead_letters,
            "discard_dead_letters": lambda: self.dead_letter_routes.discard_dead_letters,
        }

    @cached_property
    def _open_works(self) -> Mapping[str, Callable[[], OpenWork]]:
        return {
            "openapi": lambda: self.documentation.openapi,
            "docs": lambda: self.documentation.docs,
            "problem": lambda: self.documentation.problem,
            "get_shared_content": lambda: self.share_link_routes.serve,
            "show_unsubscribe": lambda: self.unsubscribe_routes.show_unsubscribe,
            "unsubscribe": lambda: self.unsubscribe_routes.unsubscribe,
            "options": lambda: self.cross_origin.options,
        }

    async def answer(self, route: str, request: Request) -> Response:
        """Answer a request for a route of ``shared.web.routes``."""

        async def work(call: Call) -> Response:
            return await self._works[route]()(call)

        return await self.front.answer(route, request, work)

    async def answer_open(self, route: str, request: Request) -> Response:
        """Answer a request for a route that asks for no token."""

        async def work(request: Request) -> Response:
            return await self._open_works[route]()(request)

        return await self.front.answer_open(route, request, work)

    async def sweep(self) -> None:
        """What the timer does: works off what is due."""
        from shared.files import file, removal, upload_end
        from shared.ledger import idempotency
        from shared.notifications import happenings, history, redelivery

        works = {
            happenings.DUE_KIND: self.happenings.look,
            redelivery.DUE_KIND: self.redelivery.look,
            history.DUE_KIND: self.history.forget,
            file.ANNOUNCE: self.fan_out.look,
            upload_end.DUE_KIND: self.upload_ends.look,
            removal.EXPIRY: self.removal.expire,
            removal.PURGE: self.removal.purge_due,
            idempotency.KIND: self.requests.forget,
        }
        await self.due_book.work_off(works)

    def _signer(self, purpose: str) -> Signer:
        from shared.ledger.signed_token import Signer

        return Signer(self.settings.secrets_key, purpose)

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

        return FanOut(
            self.publication,
            self.tables,
            self.queue,
            self.clock,
            public_url=self.settings.public_url,
            history=self.history,
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
        from shared.notifications.retry_schedule import RetrySchedule

        delays_seconds = self.settings.retry_schedule_seconds
        policy = DeliveryPolicy(
            schedule=RetrySchedule() if delays_seconds is None else RetrySchedule(delays_seconds),
            attempt_timeout_seconds=self.settings.delivery_timeout_seconds,
            lease_seconds=self.settings.lease_seconds,
        )
        return Deliverer(self.tables, self.queue, self.channels, self.clock, policy, self.target_guard)

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


@cache
def application() -> Application:
    """The process's one application."""
    return Application()


def blob_trigger_source() -> str:
    """Where blob events come from, for the trigger's declaration (see ``shared.settings``)."""
    from shared.settings import blob_trigger_source as read

    return read()
