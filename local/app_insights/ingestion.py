"""Read what an exporter posts to ``/v2/track`` or ``/v2.1/track``, and say what was taken of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.app_insights.envelopes import Envelope, InvalidEnvelope, read_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Of a body once it is unpacked. The service takes less; a batch of the local stack is far below both."""


class UnreadableBody(ValueError):  # noqa: N818 - the fault is the body's
    """There is no telemetry in the body; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was in one request."""

    received: int
    envelopes: Sequence[Envelope]
    errors: Sequence[dict[str, object]] = field(default_factory=list)
    """``index``, ``statusCode`` and ``message`` of each item that was not taken."""

    @property
    def status(self) -> int:
        """The answer's status: 206 when a part was taken, 400 when nothing was."""
        if not self.errors:
            return 200
        return 206 if self.envelopes else 400

    def to_json(self) -> dict[str, object]:
        """The answer's body, as the service words it."""
        return {
            "itemsReceived": self.received,
            "itemsAccepted": len(self.envelopes),
            "errors": list(self.errors),
        }


def read_batch(body: bytes) -> Batch:
    """Return the telemetry in ``body``: a JSON array, one object, or one JSON object a line.

    Raises:
        UnreadableBody: It is none of these.
    """
    items = _items(body)
    envelopes: list[Envelope] = []
    errors: list[dict[str, object]] = []
    for index, item in enumerate(items):
        try:
            envelopes.append(read_envelope(item))
        except InvalidEnvelope as error:
            errors.append({"index": index, "statusCode": 400, "message": str(error)})
    return Batch(len(items), envelopes, errors)


def _items(body: bytes) -> list[Any]:
    try:
        text = body.decode("utf-8-sig")
        return _parsed(text)
    except (ValueError, RecursionError):
        raise UnreadableBody("The body must be a JSON array, or one JSON object a line.") from None


def _parsed(text: str) -> list[Any]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line, parse_constant=_refuse_constant) for line in lines]
    return value if isinstance(value, list) else [value]


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON (RFC 8259, section 6).")
