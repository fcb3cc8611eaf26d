"""The operations on subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.web.openapi.bodies import JSON, NewSubscription, SubscriptionBody
from shared.web.openapi.operation import Answer, Operation, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBSCRIPTIONS: Final = "Subscriptions"

NOTIFICATION_OPERATIONS: Final[Mapping[str, Operation]] = {
    "create_subscription": Operation(
        SUBSCRIPTIONS,
        "Ask to be told of files",
        {
            201: Answer(
                "The subscription, with the `secret` that its webhooks are signed with: told this once.",
                {JSON: SubscriptionBody},
                headers=("Location", "ETag"),
            )
        },
        "Each file is told to the target as a [CloudEvents 1.0](https://cloudevents.io) event, signed by "
        "[Standard Webhooks](https://www.standardwebhooks.com).",
        request=Request(
            {JSON: NewSubscription},
            example={"channel": "webhook", "target": "https://example.com/hook", "events": ["file.stored"]},
        ),
        problems=(
            "invalid-body",
            "target-not-allowed",
            "upload-incomplete",
            "too-large",
            "unsupported-media-type",
            "too-many-subscriptions",
        ),
    ),
    "get_subscription": Operation(
        SUBSCRIPTIONS,
        "Read a subscription",
        {200: Answer("The subscription, without its secret.", {JSON: SubscriptionBody}, headers=("ETag",))},
        problems=("not-found",),
    ),
}
