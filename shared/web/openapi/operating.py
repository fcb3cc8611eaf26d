"""The operations for those who run the service, and for readers who want no more mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.web.dead_letters import BulkBody, LetterChoice, LetterList
from shared.web.delivery_bodies import DeliveryBody
from shared.web.openapi.bodies import HTML, JSON
from shared.web.openapi.operation import Answer, Operation, Parameter, Request
from shared.web.openapi.parameters import CURSOR, LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATING: Final = "Operating"
_OF_BULK: Final = ("invalid-body", "upload-incomplete", "too-large", "unsupported-media-type")
_CHOICE: Final = Request({JSON: LetterChoice}, example={"filter": {"reason": "500"}, "dry_run": True})

OPERATING_OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_dead_letters": Operation(
        OPERATING,
        "List dead letters",
        {200: Answer("A page of dead letters, the oldest first.", {JSON: LetterList})},
        "Messages of the whole service that could not be delivered, each with what the ledger knows of its "
        "delivery. Looking does not take them.",
        parameters=(
            LIMIT,
            CURSOR,
            Parameter("subscription_id", "query", str, "Only letters of this subscription."),
            Parameter("file_id", "query", str, "Only letters about this file."),
            Parameter("reason", "query", str, "Only letters whose reason contains this text."),
            Parameter("enqueued_after", "query", str, "Only letters that came at this time or later."),
            Parameter("enqueued_before", "query", str, "Only letters that came before this time."),
        ),
        problems=("invalid-query", "invalid-cursor"),
    ),
    "redrive_dead_letters": Operation(
        OPERATING,
        "Deliver dead letters again",
        {200: Answer("What was done.", {JSON: BulkBody})},
        "Each delivery begins a new round of attempts; its `webhook-id` stays, so that receivers can drop "
        "what they have seen. Asking again after a failure goes on where it stopped.",
        request=_CHOICE,
        problems=_OF_BULK,
    ),
    "discard_dead_letters": Operation(
        OPERATING,
        "Remove dead letters for good",
        {200: Answer("What was done.", {JSON: BulkBody})},
        "The deliveries stay in the history of their files, as dead.",
        request=_CHOICE,
        problems=_OF_BULK,
    ),
    "redeliver": Operation(
        "Subscriptions",
        "Deliver again",
        {202: Answer("The delivery, on its way again.", {JSON: DeliveryBody})},
        "Of any delivery that is settled, also one that was delivered; the `webhook-id` stays.",
        problems=("not-found", "delivery-under-way", "subscription-not-active"),
    ),
    "show_unsubscribe": Operation(
        OPERATING,
        "Ask before unsubscribing",
        {200: Answer("A page with one button.", {HTML: {"type": "string"}})},
        "The link in an e-mail leads here. Reading the page changes nothing.",
        problems=("not-found",),
    ),
    "unsubscribe": Operation(
        OPERATING,
        "Unsubscribe",
        {200: Answer("A page that says that it is done.", {HTML: {"type": "string"}})},
        "By the button of that page, or by a mail program in one click (RFC 8058).",
        request=Request({"application/x-www-form-urlencoded": {"type": "object"}}),
        problems=("not-found", "invalid-body", "too-large", "upload-incomplete"),
    ),
}
