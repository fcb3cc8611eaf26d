"""The operations on subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from shared.web.bodies import SubscriptionChange, SubscriptionList, TrialBody
from shared.web.openapi.bodies import JSON, MERGE_PATCH, NewSubscription, SubscriptionBody
from shared.web.openapi.operation import Answer, Operation, Parameter, Request
from shared.web.openapi.parameters import CURSOR, IF_MATCH, IF_MATCH_OPTIONAL, LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBSCRIPTIONS: Final = "Subscriptions"
OF_SUBSCRIPTIONS: Final = ("target-not-allowed", "invalid-filter", "channel-not-offered")
_SCOPE: Final = Parameter(
    "scope",
    "query",
    Literal["own", "tenant"],
    "`tenant`: those of the whole tenant, for an application with `Subscriptions.Manage.All` that acts for "
    "itself.",
)
_CHALLENGE: Final = (
    "A webhook target proves that it wants to be told: it gets a signed event of the type "
    "`dropbell.subscription.challenge.v1` and answers 2xx with `data.challenge` within the first 1024 bytes. "
    "Until then the subscription is `pending` and its target is told nothing else; `status_reason` says what "
    "was missing."
)

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
        f"[Standard Webhooks](https://www.standardwebhooks.com). {_CHALLENGE}",
        request=Request(
            {JSON: NewSubscription},
            example={"channel": "webhook", "target": "https://example.com/hook", "events": ["file.stored"]},
        ),
        problems=(
            "invalid-body",
            *OF_SUBSCRIPTIONS,
            "upload-incomplete",
            "too-large",
            "unsupported-media-type",
            "too-many-subscriptions",
        ),
    ),
    "list_subscriptions": Operation(
        SUBSCRIPTIONS,
        "List subscriptions",
        {
            200: Answer(
                "A page of subscriptions, without their secrets. `next_cursor` leads to the next one, `null` "
                "after the last.",
                {JSON: SubscriptionList},
            )
        },
        parameters=(LIMIT, CURSOR, _SCOPE),
        problems=("invalid-query", "invalid-cursor"),
    ),
    "get_subscription": Operation(
        SUBSCRIPTIONS,
        "Read a subscription",
        {200: Answer("The subscription, without its secret.", {JSON: SubscriptionBody}, headers=("ETag",))},
        problems=("not-found",),
    ),
    "update_subscription": Operation(
        SUBSCRIPTIONS,
        "Change a subscription, pause it, resume it",
        {200: Answer("The subscription as it is now.", {JSON: SubscriptionBody}, headers=("ETag",))},
        "Another webhook target proves itself as that of a new subscription does.",
        (IF_MATCH,),
        Request(
            {MERGE_PATCH: SubscriptionChange, JSON: SubscriptionChange},
            meaning="A JSON merge patch (RFC 7396).",
            example={"status": "paused"},
        ),
        (
            "invalid-request",
            "invalid-body",
            *OF_SUBSCRIPTIONS,
            "upload-incomplete",
            "not-found",
            "target-not-proven",
            "subscription-disabled",
            "changed",
            "if-match-missing",
            "too-large",
            "unsupported-media-type",
        ),
    ),
    "delete_subscription": Operation(
        SUBSCRIPTIONS,
        "End a subscription",
        {204: Answer("It is gone; deliveries under way are not tried again.")},
        parameters=(IF_MATCH_OPTIONAL,),
        problems=("invalid-request", "not-found", "changed"),
    ),
    "rotate_secret": Operation(
        SUBSCRIPTIONS,
        "Take a new signing secret",
        {
            200: Answer(
                "The subscription, with its new `secret`: told this once.",
                {JSON: SubscriptionBody},
                headers=("ETag",),
            )
        },
        "For 24 hours every message carries two signatures, one by each secret, so that receivers can change "
        "over without a gap. At most two secrets are live: taken again within that time, the oldest stops "
        "at once.",
        (IF_MATCH_OPTIONAL,),
        problems=("invalid-request", "not-found", "changed"),
    ),
    "test_subscription": Operation(
        SUBSCRIPTIONS,
        "Send a test",
        {202: Answer("The target was told, and this came of it.", {JSON: TrialBody})},
        "One event of the type `dropbell.subscription.test.v1`, sent at once and tried once; also while the "
        "subscription is paused.",
        (IF_MATCH_OPTIONAL,),
        problems=(
            "invalid-request",
            "not-found",
            "target-not-proven",
            "subscription-disabled",
            "changed",
        ),
    ),
    "verify_subscription": Operation(
        SUBSCRIPTIONS,
        "Challenge the target again",
        {
            200: Answer(
                "The subscription: `active` once its target has proved itself, else `pending` with "
                "`status_reason`.",
                {JSON: SubscriptionBody},
                headers=("ETag",),
            )
        },
        _CHALLENGE,
        (IF_MATCH_OPTIONAL,),
        problems=("invalid-request", "not-found", "subscription-disabled", "changed"),
    ),
}
