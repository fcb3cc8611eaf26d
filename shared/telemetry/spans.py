"""Spans: what one process does for one request, event or message, as its part of a file's trace.

The model is OpenTelemetry's (https://opentelemetry.io/docs/specs/otel/trace/api/): spans with a parent, a
kind, attributes and links. They are plain values until the work is done, because two things are known only
then: which trace an event or a message belongs to (that stands in what it leads to), and whether anything
failed (what failed is always kept, see ``recorder``). Whoever exports them turns them into OpenTelemetry's
own objects, away from the request.

What is current is carried by a context variable, so that adapters need nobody to hand them anything.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.telemetry.measurements import Measurement

type Value = str | int | float | bool

MAX_SPANS: Final = 48
"""Of one part. A large file has thousands of blocks; after so many of them there is nothing new to see."""


class SpanKind(StrEnum):
    """OpenTelemetry's kinds that are used here."""

    SERVER = "server"
    CONSUMER = "consumer"
    CLIENT = "client"
    PRODUCER = "producer"


class System(StrEnum):
    """What a span of kind CLIENT or PRODUCER calls."""

    BLOB = "azure.blob"
    TABLE = "azure.table"
    QUEUE = "servicebus"
    WEBHOOK = "webhook"
    CHAT = "chat"
    EMAIL = "email"
    ISSUER = "oidc"


@dataclass(slots=True, eq=False)
class Span:
    """Something that takes time. Ids and times as in W3C Trace Context and OpenTelemetry."""

    part: TracePart
    name: str
    kind: SpanKind
    parent: Span | None = None
    """None for the first span of its part."""
    system: System | None = None
    target: str = ""
    """The host, container, table or queue; never a path or a query, which may carry secrets."""
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started_ns: int = field(default_factory=time.time_ns)
    """Unix time in nanoseconds, as is ``ended_ns``."""
    ended_ns: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    links: list[TraceContext] = field(default_factory=list)
    failed: bool = False
    """Something is wrong here, and worth a look; a conflict that is resolved is not."""

    @property
    def context(self) -> TraceContext:
        """Its place in the trace, as far as that is known."""
        return TraceContext(self.part.trace_id, self.span_id)

    def tell(self, **attributes: Value | None) -> None:
        """Add attributes; None is left out."""
        self.attributes |= {name: value for name, value in attributes.items() if value is not None}

    def end(self) -> None:
        """Take the time."""
        self.ended_ns = max(time.time_ns(), self.started_ns)


@dataclass(frozen=True, slots=True)
class Happening:
    """A wide event, at the span in which it happened."""

    name: str
    level: int
    """As in ``logging``."""
    at_ns: int
    span_id: str
    fields: dict[str, Value]


@dataclass(slots=True, eq=False)
class TracePart:
    """The spans of one piece of work in one process; they are kept or dropped together."""

    trace_id: str
    parent_id: str | None = None
    """The span, of another process or of a client, that the first span is a child of."""
    is_exported: bool = False
    spans: list[Span] = field(default_factory=list)
    """In the order in which they began; the first is the parent of all."""
    happenings: list[Happening] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    spans_left_out: int = 0
    only_if_told: bool = False
    """Whether the spans are worth nothing without an event among them."""
    ended: bool = False

    @property
    def root(self) -> Span:
        """The span of the work itself."""
        return self.spans[0]

    def adopt(self, position: TraceContext | None) -> None:
        """Join a trace that has become known only now.

        Work that has a parent already stays where it is, and is linked to the other trace.
        """
        if position is None or position.trace_id == self.trace_id:
            return
        if self.parent_id is None:
            self.trace_id, self.parent_id = position.trace_id, position.span_id
        elif position not in self.root.links:
            self.root.links.append(position)

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: Span | None,
        system: System | None = None,
        target: str = "",
    ) -> Span:
        """A new span; of those beyond the limit only the number is kept."""
        span = Span(self, name, kind, parent, system, target)
        if self.ended or len(self.spans) >= MAX_SPANS:
            self.spans_left_out += 1
        else:
            self.spans.append(span)
        return span


_current: ContextVar[Span | None] = ContextVar("dropbell_span", default=None)


def current() -> Span | None:
    """The span that the present task works in."""
    return _current.get()


def make_current(span: Span | None) -> None:
    """Go on in ``span``. For streams, whose work may end in another task than it began in."""
    _current.set(span)


@contextmanager
def inside(span: Span) -> Iterator[Span]:
    """Work in ``span``; ends it. An exception passes through, and its type is told."""
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.tell(error=type(error).__name__)
        raise
    finally:
        _current.reset(token)
        span.end()


@contextmanager
def failing(span: Span, *kinds: type[Exception]) -> Iterator[None]:
    """Have an exception of these kinds, which passes through, count as a failure of ``span``."""
    try:
        yield
    except kinds:
        span.failed = True
        raise


@contextmanager
def dependency(
    name: str,
    system: System,
    *,
    target: str = "",
    kind: SpanKind = SpanKind.CLIENT,
    span_id: str | None = None,
) -> Iterator[Span]:
    """A call of something outside, as a child of what is current.

    Outside of any work that is followed, the span is made all the same (it has a place in a trace of its own,
    which the called one may need) and then forgotten.
    """
    parent = _current.get()
    part = TracePart(secrets.token_hex(16)) if parent is None else parent.part
    span = part.begin(name, kind, parent=parent, system=system, target=target)
    span.span_id = span_id or span.span_id
    with inside(span):
        yield span


def adopt(position: TraceContext | None) -> None:
    """Say of the present work which trace it belongs to, once that is known."""
    span = _current.get()
    if span is not None:
        span.part.adopt(position)


def position() -> TraceContext | None:
    """Where the present work stands in its trace; None outside of any that is followed."""
    span = _current.get()
    return None if span is None else span.context


def traceparent() -> str | None:
    """``position`` as the field's value."""
    span = _current.get()
    return None if span is None else span.context.traceparent


def tell(**attributes: Value | None) -> None:
    """Add attributes to the first span of the present work: what it was about."""
    span = _current.get()
    if span is not None:
        span.part.root.tell(**attributes)


def link(position: TraceContext | None) -> None:
    """Link the first span of the present work to another one, such as the attempt before."""
    span = _current.get()
    if span is not None and position is not None:
        span.part.root.links.append(position)
