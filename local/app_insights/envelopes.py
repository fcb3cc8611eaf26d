"""The records that exporters send: envelopes of the Breeze protocol, version 2.

An envelope is kept as it came; what is shown and searched is read from it here. Everything in it is text that
somebody else wrote.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKS = "_MS.links"
"""The property in which an exporter writes a span's links: a JSON list of ``operation_Id`` and ``id``."""
FIRST_ERROR_SEVERITY = 3
"""``severityLevel``: verbose 0, information 1, warning 2, error 3, critical 4."""
YEARS = range(1970, 9000)
"""In which telemetry can be from; leaves room to add a duration."""

_DURATION = re.compile(r"(?:(\d{1,5})\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,9})?)")


class Kind(StrEnum):
    """What an envelope tells of; the values are its ``baseType``."""

    REQUEST = "RequestData"
    DEPENDENCY = "RemoteDependencyData"
    EVENT = "EventData"
    MESSAGE = "MessageData"
    EXCEPTION = "ExceptionData"
    METRIC = "MetricData"
    AVAILABILITY = "AvailabilityData"
    PAGE_VIEW = "PageViewData"


SPANS = frozenset({Kind.REQUEST, Kind.DEPENDENCY})


class InvalidEnvelope(ValueError):  # noqa: N818 - the item is invalid, the request that brought it is not
    """The item cannot be taken; the message says why in one sentence."""


class _Data(BaseModel):
    model_config = ConfigDict(strict=True)

    base_type: str = Field(alias="baseType")
    base_data: dict[str, Any] = Field(alias="baseData")


class _Wire(BaseModel):
    """What an item must have to be an envelope; more is kept and not looked at."""

    model_config = ConfigDict(strict=True)

    name: str = Field(min_length=1)
    time: str
    key: str = Field(alias="iKey", min_length=1)
    tags: dict[str, Any] | None = None
    data: _Data


@dataclass(frozen=True)
class Envelope:
    """One record, and what was read from it."""

    raw: Mapping[str, Any]
    """As it was sent."""
    kind: Kind
    started_at: datetime
    tags: Mapping[str, Any]
    base: Mapping[str, Any]
    size_bytes: int
    """Length of the record as JSON."""

    @property
    def trace_id(self) -> str | None:
        """The operation that the record belongs to."""
        return _text(self.tags.get("ai.operation.id"))

    @property
    def parent_id(self) -> str | None:
        """The span that encloses the record."""
        return _text(self.tags.get("ai.operation.parentId"))

    @property
    def instance(self) -> str | None:
        """The process that sent the record."""
        return _text(self.tags.get("ai.cloud.roleInstance"))

    @property
    def span_id(self) -> str | None:
        """The span's own identifier; None for what is no span."""
        return _text(self.base.get("id")) if self.kind in SPANS else None

    @property
    def name(self) -> str:
        """What the record is called."""
        if self.kind is Kind.MESSAGE:
            return _text(self.base.get("message")) or "(no message)"
        if self.kind is Kind.EXCEPTION:
            return ": ".join(filter(None, (self._exception.get("typeName"), self._exception.get("message"))))
        return _text(self.base.get("name")) or "(no name)"

    @property
    def stack(self) -> str | None:
        """The stack of an exception."""
        return _text(self._exception.get("stack"))

    @property
    def _exception(self) -> Mapping[str, Any]:
        found = self.base.get("exceptions")
        first = found[0] if isinstance(found, list) and found else None
        return first if isinstance(first, dict) else {}

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """The custom dimensions."""
        found = self.base.get("properties")
        if not isinstance(found, dict):
            return {}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}

    @cached_property
    def duration(self) -> timedelta:
        """How long it took; nothing for what has no duration."""
        return parse_duration(self.base.get("duration"))

    @property
    def ended_at(self) -> datetime:
        """When it was over."""
        return self.started_at + self.duration

    @property
    def is_failure(self) -> bool:
        """Whether the record tells of something that went wrong."""
        if self.kind in SPANS:
            return self.base.get("success") is False
        if self.kind is Kind.EVENT:
            return self.properties.get("level") == "error"
        severity = self.base.get("severityLevel")
        is_severe = isinstance(severity, int) and severity >= FIRST_ERROR_SEVERITY
        return self.kind is Kind.EXCEPTION or is_severe

    @cached_property
    def links(self) -> list[tuple[str, str]]:
        """The spans that this one refers to: trace and span identifiers."""
        try:
            found = json.loads(self.properties.get(LINKS, "[]"))
            return [(str(each["operation_Id"]), str(each["id"])) for each in found]
        except (ValueError, TypeError, KeyError, RecursionError):
            return []


def read_envelope(item: object) -> Envelope:
    """Return ``item`` as an envelope.

    Raises:
        InvalidEnvelope: It is none.
    """
    try:
        wire = _Wire.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidEnvelope(f"Field '{where}' on type 'Envelope': {first['msg']}.") from None
    try:
        kind = Kind(wire.data.base_type)
    except ValueError:
        raise InvalidEnvelope("Field 'data.baseType' names no kind of telemetry.") from None
    try:
        moment = datetime.fromisoformat(wire.time)
        started_at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEnvelope("Field 'time' on type 'Envelope' is no time.") from None
    if started_at.year not in YEARS:
        raise InvalidEnvelope("Field 'time' on type 'Envelope' is out of range.")
    assert isinstance(item, dict)  # noqa: S101 - the model took it
    size_bytes = len(json.dumps(item, ensure_ascii=False).encode(errors="surrogatepass"))
    return Envelope(item, kind, started_at, wire.tags or {}, wire.data.base_data, size_bytes)


def parse_duration(text: object) -> timedelta:
    """Return a duration as the protocol writes it, ``[d.]hh:mm:ss[.fff]``; nothing for what is none."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return timedelta()
    days, hours, minutes, seconds = match.groups()
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
