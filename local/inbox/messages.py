"""What arrives in the inbox, and how it is shown as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping  # noqa: TC003 - the archive reads annotations at run time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from local.inbox.signatures import UNCHECKED, SignatureCheck


class Channel(StrEnum):
    """How a message came."""

    WEBHOOK = "webhook"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request to a path under ``/hooks/``."""

    id: str
    received_at: datetime
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    answered_status: int
    signature: SignatureCheck = UNCHECKED

    channel = Channel.WEBHOOK

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return len(self.body)

    def to_json(self) -> dict[str, object]:
        """Return the message as the listing shows it."""
        return {
            "id": self.id,
            "channel": self.channel,
            "received_at": rfc3339(self.received_at),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": dict(self.headers),
            "body": self.body.decode(errors="replace"),
            "size_bytes": self.size_bytes,
            "json": parse_json(self.body),
            "signature_verified": self.signature.verified,
            "signature_reason": self.signature.reason,
            "answered_status": self.answered_status,
        }


@dataclass(frozen=True, slots=True)
class Email:
    """One message that came over SMTP."""

    id: str
    received_at: datetime
    envelope_from: str
    envelope_to: tuple[str, ...]
    sender: str
    subject: str
    headers: Mapping[str, str]
    text: str | None
    html: str | None
    attachments: tuple[str, ...]
    size_bytes: int
    answered_status: int

    channel = Channel.EMAIL

    def to_json(self) -> dict[str, object]:
        """Return the message as the listing shows it."""
        return {
            "id": self.id,
            "channel": self.channel,
            "received_at": rfc3339(self.received_at),
            "from": self.sender,
            "to": ", ".join(self.envelope_to),
            "subject": self.subject,
            "headers": dict(self.headers),
            "body": self.text or self.html or "",
            "text": self.text,
            "html": self.html,
            "list_unsubscribe": self.headers.get("list-unsubscribe"),
            "list_unsubscribe_post": self.headers.get("list-unsubscribe-post"),
            "attachments": list(self.attachments),
            "envelope": {"from": self.envelope_from, "to": list(self.envelope_to)},
            "size_bytes": self.size_bytes,
            "signature_verified": None,
            "signature_reason": None,
            "answered_status": self.answered_status,
        }


type Message = Webhook | Email


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(text: str) -> str:
    """Return ``text`` as it can be encoded: lone surrogates, from wrong bytes, become question marks."""
    return text.encode(errors="replace").decode()


def collect_headers(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header fields by lower-case name; the values of a repeated field are joined by commas."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = printable(name.lower()), printable(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def truncate_to_ms(moment: datetime) -> datetime:
    """Return ``moment`` at the precision that ``rfc3339`` shows, so that what was shown compares exactly."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parse_json(body: bytes) -> object:
    """Return the JSON value in ``body``, or None when it holds none that can be shown again as JSON."""
    try:
        value: object = json.loads(body, parse_constant=_refuse_constant)
        # A listing nests the value a few levels deeper: hostile depth must not break that.
        json.dumps([[[[[[[[value]]]]]]]])
    except (ValueError, RecursionError):
        return None
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON (RFC 8259, section 6).")
