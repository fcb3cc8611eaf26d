"""``/subscriptions`` and what is below it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from shared.errors import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionMissingError,
)
from shared.identity.challenge import insufficient_scope
from shared.identity.owner import Owner, tenant_partition
from shared.identity.permissions import APP_ROLES, Permission, least_grant
from shared.identity.principal import PrincipalKind
from shared.notifications import subscription as subscriptions
from shared.notifications.subscribing import anything, check
from shared.web.bodies import (
    OWN_SCOPE,
    TENANT_SCOPE,
    NewSubscription,
    SubscriptionBody,
    SubscriptionChange,
    SubscriptionList,
    TrialBody,
)
from shared.web.conditional import entity_tags, field
from shared.web.entity_tag import entity_tag
from shared.web.json_body import JSON, MERGE_PATCH, json_bytes
from shared.web.query import check_known, choice, limit, single
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from starlette.requests import Request

    from shared.ledger.signed_token import Signer
    from shared.notifications.subscribing import Subscribing, Wanted
    from shared.notifications.subscription import Subscription
    from shared.notifications.trial import Trial
    from shared.ports import Clock
    from shared.web.call import Call

SCOPES: Final = (OWN_SCOPE, TENANT_SCOPE)
_BOUND_BYTES: Final = 16
_LIST_PARAMETERS: Final = frozenset(
    {
        "limit",
        "cursor",
        "scope",
    }
)


class SubscriptionRoutes:
    """The routes of subscriptions. ``cursors`` signs cursors and nothing else."""

    def __init__(self, subscribing: Subscribing, trial: Trial, clock: Clock, *, cursors: Signer) -> None:
        self._subscribing = subscribing
        self._trial = trial
        self._clock = clock
        self._cursors = cursors

    async def create_subscription(self, call: Call) -> Response:
        """``POST /subscriptions``; the answer holds the secret, this once."""
        wanted = NewSubscription.read(await json_bytes(call))
        made, secret = await self._subscribing.subscribe(
            _partition(call, wanted.scope), wanted.wish(), correlation_id=call.correlation_id
        )
        return self._told(made, 201, secret=secret, location=f"{BASE_PATH}/subscriptions/{made.id}")

    async def list_subscriptions(self, call: Call) -> Response:
        """``GET /subscriptions``: one's own, or with ``?scope=tenant`` those of the tenant."""
        query = call.request.query_params
        check_known(query, _LIST_PARAMETERS)
        partition = _partition(call, choice(query, "scope", SCOPES))
        size = limit(query)
        cursor = single(query, "cursor")
        start = None if cursor is None else self._read_cursor(cursor, partition)
        page = await self._subscribing.page(partition, limit=size, first_row_key=start)
        body = SubscriptionList(
            items=[SubscriptionBody.of(each, now=self._clock.now()) for each in page.subscriptions],
            next_cursor=None if page.next_row_key is None else self._cursor(page.next_row_key, partition),
        )
        return Response(body.model_dump_json(), media_type=JSON)

    async def get_subscription(self, call: Call) -> Response:
        """``GET /subscriptions/{subscription_id}``."""
        return self._told(await self._find(call))

    async def update_subscription(self, call: Call) -> Response:
        """``PATCH /subscriptions/{subscription_id}``: a JSON merge patch; If-Match is required.

        Conditions are looked at before the content of the request (RFC 9110 §13.2.1), and again when the row
        is written.
        """
        found = await self._find(call)
        wanted = _edits(call.request, required=True)
        check(found, wanted)
        patch = SubscriptionChange.read(await json_bytes(call, MERGE_PATCH, JSON)).patch()
        changed = await self._subscribing.change(
            found.owner, found.id, patch, wanted=wanted, correlation_id=call.correlation_id
        )
        return self._told(changed)

    async def delete_subscription(self, call: Call) -> Response:
        """``DELETE /subscriptions/{subscription_id}``: nothing is told from now on."""
        found = await self._find(call)
        await self._subscribing.delete(found.owner, found.id, wanted=_edits(call.request))
        return Response(status_code=204)

    async def rotate_secret(self, call: Call) -> Response:
        """``POST /subscriptions/{subscription_id}/rotate-secret``; the answer holds the new one once."""
        found = await self._find(call)
        rotated, secret = await self._subscribing.rotate_secret(
            found.owner, found.id, wanted=_edits(call.request)
        )
        return self._told(rotated, secret=secret)

    async def test_subscription(self, call: Call) -> Response:
        """``POST /subscriptions/{subscription_id}/test``: tells the target of a test, and how that went."""
        found = await self._find(call)
        check(found, _edits(call.request))
        result = await self._trial.send(found, correlation_id=call.correlation_id)
        return Response(TrialBody.of(result).model_dump_json(), 202, media_type=JSON)

    async def verify_subscription(self, call: Call) -> Response:
        """``POST /subscriptions/{subscription_id}/verify``: challenges the target again."""
        found = await self._find(call)
        check(found, _edits(call.request))
        verified = await self._subscribing.verify(found.owner, found.id, correlation_id=call.correlation_id)
        return self._told(verified)

    async def _find(self, call: Call) -> Subscription:
        """The caller's own subscription of that id, or the tenant's where the caller manages those."""
        id_ = str(call.request.path_params["subscription_id"])
        try:
            return await self._subscribing.find(call.owner, id_)
        except NotFoundError:
            if not _manages_tenant(call):
                raise
            return await self._subscribing.find(tenant_partition(call.caller.tenant_id), id_)

    def _told(
        self,
        subscription: Subscription,
        status: int = 200,
        *,
        secret: str | None = None,
        location: str | None = None,
    ) -> Response:
        body = SubscriptionBody.of(subscription, now=self._clock.now(), secret=secret)
        headers = {"etag": body.etag} | ({} if location is None else {"location": location})
        return Response(body.model_dump_json(), status, headers, media_type=JSON)

    def _cursor(self, next_row_key: str, partition: str) -> str:
        id_ = next_row_key.removeprefix(subscriptions.ROW_KEYS[0])
        return self._cursors.sign(_bound_to(partition) + bytes.fromhex(id_))

    def _read_cursor(self, text: str, partition: str) -> str:
        payload = self._cursors.read(text)
        if payload is None or payload[:_BOUND_BYTES] != _bound_to(partition):
            raise InvalidRequestError(
                "This cursor is not from a list of yours with the same scope; start without one.",
                code="invalid-cursor",
            )
        return subscriptions.row_key(payload[_BOUND_BYTES:].hex())


def _manages_tenant(call: Call) -> bool:
    """Whether an application acts for itself; the route has asked for the role that it needs (``.All``)."""
    caller = call.caller
    own = Owner(caller.tenant_id, caller.object_id).partition
    return caller.kind is PrincipalKind.APP and call.owner == own


def _partition(call: Call, scope: str) -> str:
    """Where subscriptions of the scope are kept; raises PermissionDeniedError."""
    if scope == OWN_SCOPE:
        return call.owner
    if not _manages_tenant(call):
        grant = least_grant(Permission.SUBSCRIPTIONS_MANAGE, APP_ROLES)
        raise PermissionDeniedError(
            f"Subscriptions of a whole tenant are for an application with the app role {grant} that acts "
            "for itself, without a user and without Dropbell-Owner.",
            reason="permission-missing:tenant",
            headers=insufficient_scope(grant),
        )
    return tenant_partition(call.caller.tenant_id)


def _edits(request: Request, *, required: bool = False) -> Wanted:
    """Whether a subscription is in a version that the request wants to change, as its If-Match says.

    Raises PreconditionMissingError where the field is required, InvalidRequestError where it cannot be read:
    to act as if it had not been sent would overwrite what it was meant to protect.
    """
    text = field(request, "if-match")
    if text is None:
        if required:
            raise PreconditionMissingError(
                "Send the subscription's ETag in If-Match, so that nobody else's change is overwritten."
            )
        return anything
    tags = entity_tags(text)
    if tags is None:
        raise InvalidRequestError('If-Match must be * or a list of entity tags such as "a1b2".')
    return lambda subscription: tags.include(entity_tag(subscription.etag))


def _bound_to(partition: str) -> bytes:
    """What a cursor belongs to, as a digest."""
    return hashlib.sha256(f"subscriptions of {partition}".encode()).digest()[:_BOUND_BYTES]
