"""What each field of a body means: sentences, formats and closed lists that the models do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.files.file import FileStatus
from shared.notifications.delivery_record import AttemptOutcome, DeliveryStatus
from shared.notifications.subscription import ChannelKind, EventType, SubscriptionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

type Details = Mapping[str, Any]


def _one_of(meaning: str, values: Iterable[StrEnum]) -> Details:
    return {"description": meaning, "enum": [value.value for value in values]}


def _instant(meaning: str) -> Details:
    return {"description": meaning, "format": "date-time"}


def _text(meaning: str, *examples: Any) -> Details:
    return {"description": meaning, **({"examples": list(examples)} if examples else {})}


FIELDS: Final[Mapping[str, Details]] = {
    "announced_at": _instant("When the deliveries were queued."),
    "attempts": _text("Every attempt so far, oldest first."),
    "channel": _one_of("How the subscriber is told.", ChannelKind),
    "complete_url": _text("Where to say that all bytes are there, with POST."),
    "content_type": _text("The media type.", "application/pdf"),
    "correlation_id": _text("Names the request that brought the file; also on its webhooks."),
    "created_at": _instant("When it was made."),
    "deleted_at": _instant("When it was deleted; null until then."),
    "detail": _text("What went wrong, in words."),
    "duration_ms": _text("How long the attempt took, in milliseconds."),
    "etag": _text("The version, quotes included; the same as the ETag field.", '"5f70bf18a086007016e9"'),
    "events": {
        "description": "Of what the subscriber is told.",
        "items": {"type": "string", "enum": [event.value for event in EventType]},
    },
    "expires_at": _instant("When it ends."),
    "file_id": _text("The file's id."),
    "filter": _text("Not taken yet; leave it out."),
    "headers": _text("Fields to send along, as they are."),
    "id": _text("The id."),
    "items": _text("The page."),
    "labels": _text("Words of your own about the file.", {"project": "roof"}),
    "method": _text("The method to send the bytes with."),
    "name": _text("The file's name, for people; never used as a path.", "report.pdf"),
    "next_attempt_at": _instant("When it is tried again; null when it will not be."),
    "next_cursor": _text("Send it as `cursor` to get the next page; null after the last one."),
    "number": _text("1 for the first attempt."),
    "outcome": _one_of("How the attempt ended.", AttemptOutcome),
    "queued_at": _instant("When the message went to the queue; null until then."),
    "reason": _text("Why it ended this way, in words; null where nothing is to be told."),
    "secret": _text(
        "Verifies the signatures of webhooks; null but in the answer to the creation.", "whsec_…"
    ),
    "settled_at": _instant("When nothing was left to do; null until then."),
    "sha256": {"description": "SHA-256 of the bytes, in hexadecimal.", "pattern": "^[0-9a-f]{64}$"},
    "size_bytes": _text("The size in bytes.", 1048576),
    "started_at": _instant("When the attempt began."),
    "status_code": _text("The target's HTTP status; null when it gave none."),
    "stored_at": _instant("When the last byte was stored."),
    "subscription_id": _text("The subscription's id."),
    "target": _text("Where to: for a webhook a public https URL.", "https://example.com/hook"),
    "trace_id": {
        "description": "The trace that follows the file (W3C Trace Context).",
        "pattern": "^[0-9a-f]{32}$",
    },
    "updated_at": _instant("When anything of it last changed."),
    "upload_url": _text("Where to send the bytes. It is a secret: it can create this blob."),
    "url": _text("The link itself; null but in the answer to the creation."),
}
"""By the field's name, which means the same in every body …"""

_FILE: Final[Mapping[str, Details]] = {
    "id": {"description": "A UUID; sorts by time.", "format": "uuid"},
    "status": _one_of("Where the file is on its way.", FileStatus),
}

FIELDS_OF: Final[Mapping[str, Mapping[str, Details]]] = {
    "FileBody": _FILE,
    "FileDetail": _FILE,
    "DeliveryBody": {"status": _one_of("Where the delivery is.", DeliveryStatus)},
    "SubscriptionBody": {"status": _one_of("Whether deliveries are made.", SubscriptionStatus)},
}
"""… but for these."""


def with_details(component: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The component's schema with what the tables tell of its fields; what the model says itself stays."""
    if component.partition("-")[0] == "Instant":
        return {**schema, "format": "date-time", "description": "RFC 3339, in UTC."}
    own = FIELDS_OF.get(component, {})
    properties = {
        name: _merged(details, {**FIELDS.get(name, {}), **own.get(name, {})})
        for name, details in schema.get("properties", {}).items()
    }
    return {**schema, **({"properties": properties} if properties else {})}


def _merged(schema: dict[str, Any], details: Details) -> dict[str, Any]:
    """``details`` beside the schema; constraints go to the member that is not null."""
    if "description" in schema:
        return schema
    notes = {key: value for key, value in details.items() if key in {"description", "examples"}}
    constraints = {key: value for key, value in details.items() if key not in notes}
    if "$ref" in schema or schema.get("type") == "null":
        return {**schema, **notes}
    if "anyOf" in schema:
        members = [
            member if member == {"type": "null"} or "$ref" in member else {**constraints, **member}
            for member in schema["anyOf"]
        ]
        return {**schema, "anyOf": members, **notes}
    return (
        {**constraints, **schema, **notes}
        if "items" not in constraints
        else {**schema, **notes, **_items(schema, constraints)}
    )


def _items(schema: dict[str, Any], constraints: Details) -> Details:
    return {} if "$ref" in schema.get("items", {}) else constraints
