"""``/subscriptions`` and ``/subscriptions/{subscription_id}``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.errors import NotFoundError
from shared.web.bodies import NewSubscription, SubscriptionBody
from shared.web.json_body import JSON, json_bytes
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from shared.notifications.subscribing import Subscribing
    from shared.web.call import Call


class SubscriptionRoutes:
    """The routes of subscriptions."""

    def __init__(self, subscribing: Subscribing) -> None:
        self._subscribing = subscribing

    async def create_subscription(self, call: Call) -> Response:
        """``POST /subscriptions``; the answer holds the secret, this once."""
        wanted = NewSubscription.read(await json_bytes(call))
        made, secret = await self._subscribing.subscribe(
            call.owner, channel=wanted.channel, target=wanted.target, events=set(wanted.events)
        )
        body = SubscriptionBody.of(made, secret=secret)
        headers = {"location": f"{BASE_PATH}/subscriptions/{body.id}", "etag": body.etag}
        return Response(body.model_dump_json(), 201, headers, media_type=JSON)

    async def get_subscription(self, call: Call) -> Response:
        """``GET /subscriptions/{subscription_id}``."""
        found = await self._subscribing.find(call.owner, str(call.request.path_params["subscription_id"]))
        if found is None:
            raise NotFoundError("You have no subscription of this id.")
        body = SubscriptionBody.of(found)
        return Response(body.model_dump_json(), headers={"etag": body.etag}, media_type=JSON)
