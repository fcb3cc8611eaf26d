"""The parts that answer HTTP requests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.app.notifications import Notifications

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

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


class Http(Notifications):
    """What each route does. Asking for one builds what it needs, and nothing else."""

    @cached_property
    def front(self) -> Front:
        """What every route does before and after its own work."""
        from shared.web.call import Front
        from shared.web.uploads import with_protocol_headers

        finishes = (with_protocol_headers, self.cross_origin.finish)
        return Front(self.validator, limiter=self._limiter, finishes=finishes, telemetry=self.telemetry)

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

        is_scanned = self.settings.malware_scanning == "required"
        return ContentRoutes(self.catalogue, self.blobs, self.url_signer, self.clock, only_scanned=is_scanned)

    @cached_property
    def share_link_routes(self) -> ShareLinkRoutes:
        """``/files/{file_id}/share-links``."""
        from shared.files.share_link import Sharing
        from shared.web.share_links import ShareLinkRoutes

        sharing = Sharing(self.tables, self.clock, self.catalogue, self._signer("share-link"))
        return ShareLinkRoutes(sharing, self.content_routes, public_url=self.settings.public_url)

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
    def subscription_routes(self) -> SubscriptionRoutes:
        """``/subscriptions``."""
        from shared.notifications.trial import Trial
        from shared.web.subscriptions import SubscriptionRoutes

        trial = Trial(self.channels, self.clock, source=self.settings.public_url)
        return SubscriptionRoutes(
            self.subscribing, trial, self.clock, cursors=self._signer("subscription-list")
        )

    @cached_property
    def unsubscribe_routes(self) -> UnsubscribeRoutes:
        """``/unsubscribe``."""
        from shared.web.unsubscribe import UnsubscribeRoutes

        return UnsubscribeRoutes(self.unsubscribing)

    @cached_property
    def dead_letter_routes(self) -> DeadLetterRoutes:
        """``/operations/dead-letters``."""
        from shared.web.dead_letters import DeadLetterRoutes

        return DeadLetterRoutes(self.dead_letters, self._signer("dead-letter-list"))

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
    def health(self) -> Health:
        """The health route. Only its deep checks build and ask the real services."""
        from shared.web.health import Health, release

        async def blobs() -> None:
            await self._azure_blobs.check()

        async def tables() -> None:
            await self._azure_tables.check()

        async def queue() -> None:
            await self._service_bus_queue.check()

        checks = {"blobs": blobs, "tables": tables, "queue": queue}
        return Health(checks, self.clock, release())

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
