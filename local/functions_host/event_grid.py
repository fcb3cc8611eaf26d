"""What Event Grid posts to the webhook of the blob trigger: the handshake, and notifications.

Source: learn.microsoft.com, "Event Grid event schema", "CloudEvents v1.0 schema", "Endpoint validation".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

_SUBJECT_PREFIX = "/blobServices/default/containers/"


class EventError(ValueError):
    """The body is not what Event Grid sends; the sentence says what is wrong."""


@dataclass(frozen=True)
class BlobEvent:
    """A blob that something happened to."""

    container: str
    name: str
    etag: str
    blob_type: str


def validation_code(body: bytes) -> str:
    """The code that a subscription handshake wants back.

    Raises:
        EventError: there is none.
    """
    for event in _events(body):
        code = _data(event).get("validationCode")
        if isinstance(code, str) and code:
            return code
    raise EventError("The validation event carries no data.validationCode.")


def blob_events(body: bytes) -> list[BlobEvent]:
    """The blobs of a notification.

    Raises:
        EventError: the body, or one of its events, cannot be read.
    """
    return [_blob_event(event) for event in _events(body)]


def _events(body: bytes) -> list[dict[str, Any]]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise EventError("The body is not JSON.") from error
    events = document if isinstance(document, list) else [document]
    if not all(isinstance(event, dict) for event in events):
        raise EventError("The body must be an event or an array of events.")
    return events


def _data(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data")
    if isinstance(data, str):  # a CloudEvent's data may be encoded a second time
        try:
            data = json.loads(data)
        except ValueError as error:
            raise EventError("The data of an event is not JSON.") from error
    if not isinstance(data, dict):
        raise EventError("An event has no data object.")
    return data


def _blob_event(event: dict[str, Any]) -> BlobEvent:
    data = _data(event)
    container, name = _address(event.get("subject"), data.get("url"))
    etag = str(data.get("eTag") or "").strip('"')
    return BlobEvent(container, name, f'"{etag}"', str(data.get("blobType") or "BlockBlob"))


def _address(subject: object, url: object) -> tuple[str, str]:
    """Container and blob name: plain in the subject, percent-encoded in the URL."""
    if isinstance(subject, str) and subject.startswith(_SUBJECT_PREFIX):
        container, found, name = subject.removeprefix(_SUBJECT_PREFIX).partition("/blobs/")
        if found and container and name:
            return container, name
    if isinstance(url, str):
        parts = urlsplit(url)
        path = parts.path.lstrip("/")
        if ".blob." not in (parts.hostname or ""):  # the emulator's form: the account leads the path
            path = path.partition("/")[2]
        container, _, name = path.partition("/")
        if container and name:
            return container, unquote(name)
    raise EventError("An event names no blob: neither its subject nor its data.url can be read.")
