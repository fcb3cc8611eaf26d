"""Build BlobCreated events in the Event Grid schema.

Source: learn.microsoft.com/azure/event-grid/event-schema-blob-storage. Azurite's log tells neither the
request id nor the client request id: the first is made up, the second (optional in the schema) is left out.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from local.event_grid.access_log import BlobCreation

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
SUBSCRIPTION_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"

_SUBJECT_PREFIX = "/blobServices/default/containers/"

type Event = dict[str, object]
"""One event in the Event Grid schema."""


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """What the log does not tell about a blob; None where the blob is gone already."""

    etag: str | None = None
    content_type: str | None = None
    content_length_bytes: int | None = None
    blob_type: str | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """The storage account that the events are about."""

    account_name: str
    blob_endpoint: str

    @property
    def resource_id(self) -> str:
        """Resource id in the shape Azure gives it."""
        return (
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
            f"/providers/Microsoft.Storage/storageAccounts/{self.account_name}"
        )


def subject(container: str, name: str) -> str:
    """Return the subject of a blob's events."""
    return f"{_SUBJECT_PREFIX}{container}/blobs/{name}"


def parse_subject(text: str) -> tuple[str, str]:
    """Return container and blob name of a subject; a container's name holds no slash."""
    container, _, name = text.removeprefix(_SUBJECT_PREFIX).partition("/blobs/")
    return container, name


def blob_created(topic: Topic, creation: BlobCreation, now: datetime, sequence: int) -> Event:
    """Return the event of a creation with what the log tells of it; ``with_facts`` adds the rest.

    Args:
        topic: The account.
        creation: What the log told.
        now: Time of the event, with time zone.
        sequence: Grows from event to event.
    """
    address = f"{topic.blob_endpoint.rstrip('/')}/{quote(creation.container)}/{quote(creation.name)}"
    return {
        "topic": topic.resource_id,
        "subject": subject(creation.container, creation.name),
        "eventType": BLOB_CREATED,
        "id": str(uuid.uuid4()),
        "eventTime": event_time(now),
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {
            "api": creation.api,
            "requestId": str(uuid.uuid4()),
            "url": address,
            # Strings that sort as the events of one blob name follow each other.
            "sequencer": f"{sequence:048X}",
            "storageDiagnostics": {"batchId": str(uuid.uuid4())},
        },
    }


def with_facts(event: Event, facts: BlobFacts) -> Event:
    """Return ``event`` with the known facts in its data."""
    data = event["data"]
    if not isinstance(data, dict):
        raise TypeError("An event's data is an object.")
    known = {
        "eTag": facts.etag,
        "contentType": facts.content_type,
        "contentLength": facts.content_length_bytes,
        "blobType": facts.blob_type,
    }
    return event | {"data": data | {name: value for name, value in known.items() if value is not None}}


def has_facts(event: Event) -> bool:
    """Tell whether the event already carries what was known of its blob."""
    data = event["data"]
    return isinstance(data, dict) and "eTag" in data


def subscription_validation(topic: Topic, code: str, now: datetime) -> Event:
    """Return the event whose ``validationCode`` an endpoint has to send back."""
    return {
        "topic": topic.resource_id,
        "subject": "",
        "eventType": SUBSCRIPTION_VALIDATION,
        "id": str(uuid.uuid4()),
        "eventTime": event_time(now),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {"validationCode": code},
    }


def event_time(moment: datetime) -> str:
    """Return ``moment`` as Event Grid writes it: ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
