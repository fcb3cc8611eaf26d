"""The handlers of subscriptions over memory adapters, and short ways to call them as the front does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shared.adapters.memory import MemoryClock, MemorySender, MemoryTables
from shared.errors import InvalidRequestError, ProblemError
from shared.identity.owner import Owner
from shared.identity.principal import Principal, PrincipalKind
from shared.ledger.signed_token import Signer
from shared.notifications import subscription as subscriptions
from shared.notifications.challenge import Challenger
from shared.notifications.channels.target_policy import TargetPolicy
from shared.notifications.channels.webhook import WebhookChannel
from shared.notifications.subscribing import Subscribing, checked_url
from shared.notifications.subscription import ChannelKind
from shared.notifications.trial import Trial
from shared.ports import HttpAnswer
from shared.telemetry.trace_context import TraceContext
from shared.web.call import Call
from shared.web.problem import problem_response
from shared.web.subscriptions import SubscriptionRoutes
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, body_of, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.responses import Response

    from shared.notifications.subscription import Subscription
    from shared.ports import HttpSender, TableStore

LISTED = "127.0.0.1"
"""The operator allows this host by name."""
LISTED_TARGET = f"http://{LISTED}:9/hook"
TARGET = "https://hooks.example/x"
CHALLENGE = "challenge-of-the-tests"
PROVES = HttpAnswer(200, body_start=f'{{"challenge": "{CHALLENGE}"}}'.encode())
USER = Principal(PrincipalKind.USER, "tenant", "alice", "client", frozenset())
OTHER_USER = Principal(PrincipalKind.USER, "tenant", "bob", "client", frozenset())
APP = Principal(PrincipalKind.APP, "tenant", "daemon", "daemon", frozenset())
OTHER_TENANTS_APP = Principal(PrincipalKind.APP, "another", "daemon", "daemon", frozenset())


def own_partition(caller: Principal) -> str:
    return Owner(caller.tenant_id, caller.object_id).partition


def _address(text: str) -> str:
    if "@" not in text:
        raise InvalidRequestError("The target must be an address.", code="target-not-allowed")
    return text.lower()


def _filter(text: str) -> None:
    if text == "nonsense":
        raise InvalidRequestError("The filter cannot be read.", code="invalid-filter")


class Desk:
    """Everything about subscriptions. ``answers`` are those of the targets, one after the other."""

    def __init__(
        self,
        *answers: HttpAnswer | Exception,
        tables: TableStore | None = None,
        sender: HttpSender | None = None,
    ) -> None:
        self.clock = MemoryClock(sample.NOW)
        self.memory = MemoryTables()
        self.sender = MemorySender(*answers)
        policy = TargetPolicy(frozenset({LISTED}))
        webhook = WebhookChannel(sender or self.sender, sample.SECRET_BOX, self.clock)
        self.subscribing = Subscribing(
            tables or self.memory,
            self.clock,
            sample.SECRET_BOX,
            Challenger(
                webhook, policy, self.clock, source=sample.PUBLIC_URL, make_challenge=lambda: CHALLENGE
            ),
            target_checks={ChannelKind.WEBHOOK: checked_url(policy), ChannelKind.EMAIL: _address},
            check_filter=_filter,
        )
        self.routes = SubscriptionRoutes(
            self.subscribing,
            Trial({ChannelKind.WEBHOOK: webhook}, self.clock, source=sample.PUBLIC_URL),
            self.clock,
            cursors=Signer(b"k" * 32, "subscription-list"),
        )

    async def create(self, wish: Mapping[str, Any] | bytes | None = None, **how: Any) -> Response:
        """``wish`` is changed from a good one, or a whole body."""
        good = {"channel": "webhook", "target": LISTED_TARGET, "events": ["file.stored"]}
        body = wish if isinstance(wish, bytes) else json.dumps(good | dict(wish or {})).encode()
        return await self.ask(self.routes.create_subscription, "POST", body, **how)

    async def made(self, wish: Mapping[str, Any] | None = None, **how: Any) -> Any:
        """The body of the answer to a good wish."""
        response = await self.create(wish, **how)
        assert response.status_code == 201, body_of(response)
        return body_of(response)

    async def patch(
        self,
        subscription_id: str,
        change: Mapping[str, Any] | bytes,
        *,
        if_match: str | None = "*",
        **how: Any,
    ) -> Response:
        body = change if isinstance(change, bytes) else json.dumps(change).encode()
        headers = {"content-type": "application/merge-patch+json"}
        headers |= {} if if_match is None else {"if-match": if_match}
        routes = self.routes
        return await self.ask(
            routes.update_subscription, "PATCH", body, headers=headers, subscription_id=subscription_id, **how
        )

    async def ask(
        self,
        handler: Callable[[Call], Awaitable[Response]],
        method: str = "GET",
        body: bytes = b"",
        *,
        caller: Principal = USER,
        owner: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        hangs_up: bool = False,
        **path: str,
    ) -> Response:
        """What the front answers to a caller who has the permission that the route asks for."""
        client = Client((body,) if body else (), hangs_up=hangs_up)
        asked = request(method, headers=headers, client=client, query=query, **path)
        partition = owner or own_partition(caller)
        try:
            return await handler(Call(asked, caller, partition, "correlation-2", TraceContext.start()))
        except ProblemError as error:
            return problem_response(error, correlation_id="correlation-2")

    async def row(self, subscription_id: str, caller: Principal = USER) -> Subscription:
        entity = await self.memory.get(own_partition(caller), subscriptions.row_key(subscription_id))
        assert entity is not None
        return subscriptions.from_entity(entity)
