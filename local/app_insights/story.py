"""A trace as a picture needs it: spans nested and in order, what was noted in them, idle times between.

Pure: envelopes come in, values go out. Times are milliseconds since the first record of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from local.app_insights.deliveries import deliveries_of
from local.app_insights.envelopes import LINKS, SPANS, Envelope, Kind
from local.app_insights.metrics import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

MIN_FOLDED_MS = 10.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CATEGORIES = {
    "blob": "blob",
    "table": "table",
    "queue": "queue",
    "mail": "mail",
    "webhook": "webhook",
    "chat": "webhook",
}
"""By what the name of a dependency begins with, or what its type holds."""
SHOWN_FIELDS = ("url", "data", "target", "type", "responseCode", "resultCode", "source")


@dataclass(slots=True)
class Row:
    """One line of the picture: a span, or something that was noted outside of any span that is here."""

    id: str
    envelope: Envelope
    category: str
    start_ms: float
    duration_ms: float
    parent: Row | None = None
    depth: int = 0
    children: list[Row] = field(default_factory=list)
    notes: list[Envelope] = field(default_factory=list)
    retry_of: Row | None = None

    @property
    def end_ms(self) -> float:
        """When it was over."""
        return self.start_ms + self.duration_ms

    @property
    def wait(self) -> tuple[str, float] | None:
        """What the row waited for, and since when: the schedule of retries, or a queue between processes."""
        if self.retry_of is not None:
            reason, since_ms = "retry", self.retry_of.end_ms
        elif self.envelope.kind is Kind.REQUEST and self.parent is not None:
            reason, since_ms = "queue", self.parent.end_ms
        else:
            return None
        return (reason, since_ms) if self.start_ms > since_ms else None

    @property
    def is_failure(self) -> bool:
        """Whether it went wrong, or something in it is an error."""
        return self.envelope.is_failure or any(note.is_failure for note in self.notes)


@dataclass(frozen=True, slots=True)
class Story:
    """A whole trace."""

    trace_id: str
    started_at: datetime
    duration_ms: float
    busy_ms: float
    """How long anything at all was going on."""
    rows: Sequence[Row]
    folds: Sequence[tuple[float, float]]
    """The idle times that a compressed axis leaves out."""
    envelopes: Sequence[Envelope]

    def to_json(self) -> dict[str, object]:
        """The story as the page reads it."""
        by_span = {row.envelope.span_id: row for row in self.rows if row.envelope.span_id}
        return {
            "trace_id": self.trace_id,
            "started_at": rfc3339(self.started_at),
            "duration_ms": self.duration_ms,
            "busy_ms": self.busy_ms,
            "rows": [self._row_json(row, by_span) for row in self.rows],
            "folds": [{"start_ms": start, "end_ms": end} for start, end in self.folds],
            "deliveries": self._deliveries_json(),
        }

    def _row_json(self, row: Row, by_span: Mapping[str, Row]) -> dict[str, object]:
        envelope, wait = row.envelope, row.wait
        return {
            "id": row.id,
            "parent": row.parent.id if row.parent else None,
            "depth": row.depth,
            "children": len(row.children),
            "category": row.category,
            "name": envelope.name,
            "start_ms": row.start_ms,
            "duration_ms": row.duration_ms,
            "failed": row.is_failure,
            "result": str(envelope.base.get("responseCode") or envelope.base.get("resultCode") or ""),
            "instance": envelope.instance,
            "parent_missing": row.parent is None and envelope.parent_id is not None,
            "wait": None if wait is None else {"reason": wait[0], "since_ms": wait[1]},
            "retry_of": row.retry_of.id if row.retry_of else None,
            "links": [
                {
                    "trace_id": trace_id,
                    "span_id": span_id,
                    "row": by_span[span_id].id if span_id in by_span else None,
                    "name": by_span[span_id].envelope.name if span_id in by_span else None,
                }
                for trace_id, span_id in envelope.links
            ],
            "fields": _fields(envelope),
            "notes": [self._note_json(note) for note in row.notes],
        }

    def _note_json(self, note: Envelope) -> dict[str, object]:
        return {
            "kind": note.kind.removesuffix("Data").lower(),
            "name": note.name,
            "at_ms": _ms(note.started_at, self.started_at),
            "failed": note.is_failure,
            "level": note.properties.get("level"),
            "properties": dict(note.properties),
            "stack": note.stack,
        }

    def _deliveries_json(self) -> list[dict[str, object]]:
        owner = {id(note): row.id for row in self.rows for note in (*row.notes, row.envelope)}
        return [
            {
                "id": delivery.id,
                "channel": delivery.channel,
                "outcome": delivery.outcome,
                "attempts": [
                    {
                        "row": owner.get(id(event)),
                        "at_ms": _ms(event.started_at, self.started_at),
                        "number": event.properties.get("attempt"),
                        "outcome": event.properties.get("outcome", "unknown"),
                        "status_code": event.properties.get("status_code"),
                        "reason": event.properties.get("reason"),
                    }
                    for event in delivery.attempts
                ],
            }
            for delivery in deliveries_of(self.envelopes)
        ]


def tell(trace_id: str, envelopes: Collection[Envelope]) -> Story:
    """Return the story of a trace, which has at least one record."""
    in_order = sorted(envelopes, key=lambda each: each.started_at)
    started_at = in_order[0].started_at
    rows = _rows(in_order, started_at)
    _nest(rows)
    _find_retries(rows)
    busy = _busy(rows)
    return Story(
        trace_id=trace_id,
        started_at=started_at,
        duration_ms=max(_ms(each.ended_at, started_at) for each in in_order),
        busy_ms=sum(end - start for start, end in busy),
        rows=_in_tree_order(rows),
        folds=_folds(busy),
        envelopes=in_order,
    )


def categorise(envelope: Envelope) -> str:
    """Return what kind of work a record stands for: the colour that it gets."""
    if envelope.kind not in SPANS:
        return "event"
    word = envelope.name.partition(" ")[0]
    if envelope.kind is Kind.REQUEST:
        return "request" if envelope.base.get("url") or word in METHODS else "function"
    kind = str(envelope.base.get("type") or "").lower()
    for known, category in CATEGORIES.items():
        if word.lower() == known or known in kind:
            return category
    if word in METHODS:
        return "webhook" if word == "POST" else "http"
    return "inner" if kind == "inproc" else "http"


def _rows(in_order: Sequence[Envelope], started_at: datetime) -> list[Row]:
    """A row for each span, and for each note that belongs to no span that is here."""
    rows: dict[str, Row] = {}

    def add(envelope: Envelope, identifier: str) -> None:
        while identifier in rows:  # sent twice
            identifier += "+"
        start_ms, duration_ms = _ms(envelope.started_at, started_at), envelope.duration.total_seconds() * 1000
        rows[identifier] = Row(identifier, envelope, categorise(envelope), start_ms, duration_ms)

    for envelope in in_order:
        if envelope.kind in SPANS:
            add(envelope, envelope.span_id or "span")
    for envelope in in_order:
        if envelope.kind in SPANS:
            continue
        owner = rows.get(envelope.parent_id or "")
        if owner is not None and owner.envelope.kind in SPANS:
            owner.notes.append(envelope)
        else:
            add(envelope, "note")
    return list(rows.values())


def _nest(rows: Iterable[Row]) -> None:
    by_id = {row.id: row for row in rows}
    for row in by_id.values():
        parent = by_id.get(row.envelope.parent_id or "")
        if parent is not None and not _encloses(row, parent):
            row.parent = parent
            parent.children.append(row)


def _encloses(row: Row, other: Row) -> bool:
    """Whether ``other`` is ``row`` or stands, at any depth, below it: parents must not form a ring."""
    above: Row | None = other
    while above is not None:
        if above is row:
            return True
        above = above.parent
    return False


def _find_retries(rows: Iterable[Row]) -> None:
    by_id = {row.id: row for row in rows}
    for row in by_id.values():
        earlier = [by_id[span_id] for _, span_id in row.envelope.links if span_id in by_id]
        same = [each for each in earlier if each.envelope.name == row.envelope.name and each is not row]
        row.retry_of = max(same, key=lambda each: each.start_ms, default=None)


def _in_tree_order(rows: Iterable[Row]) -> list[Row]:
    waiting = sorted((row for row in rows if row.parent is None), key=_place, reverse=True)
    in_order = []
    while waiting:
        row = waiting.pop()
        row.depth = 0 if row.parent is None else row.parent.depth + 1
        in_order.append(row)
        waiting += sorted(row.children, key=_place, reverse=True)
    return in_order


def _place(row: Row) -> tuple[float, str]:
    return row.start_ms, row.id


def _busy(rows: Iterable[Row]) -> list[tuple[float, float]]:
    """The times during which any span was open."""
    busy: list[tuple[float, float]] = []
    for start, end in sorted((row.start_ms, row.end_ms) for row in rows):
        if busy and start <= busy[-1][1]:
            busy[-1] = (busy[-1][0], max(end, busy[-1][1]))
        else:
            busy.append((start, end))
    return busy


def _folds(busy: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The longest idle times: as many as it takes until what is left of them is no longer than the work."""
    idle = [(before[1], after[0]) for before, after in pairwise(busy)]
    work_ms = sum(end - start for start, end in busy)
    left_ms = sum(end - start for start, end in idle)
    folds = []
    for start, end in sorted(idle, key=lambda each: each[0] - each[1]):
        if left_ms <= work_ms or end - start < MIN_FOLDED_MS:
            break
        folds.append((start, end))
        left_ms -= end - start
    return sorted(folds)


def _fields(envelope: Envelope) -> dict[str, str]:
    """What the details of a span list: its own fields, then its properties."""
    own: dict[str, Any] = {name: envelope.base.get(name) for name in SHOWN_FIELDS}
    rate = envelope.raw.get("sampleRate")
    own |= {
        "started at": rfc3339(envelope.started_at),
        "instance": envelope.instance,
        "span": envelope.span_id,
        "parent": envelope.parent_id,
        "sample rate": f"{rate} %" if isinstance(rate, int | float) and rate != 100 else None,
    }
    if own["resultCode"] == "0":  # what the exporter says where there is no code
        own["resultCode"] = None
    told = {name: str(value) for name, value in own.items() if value not in (None, "")}
    return told | {name: value for name, value in envelope.properties.items() if name != LINKS}


def _ms(moment: datetime, since: datetime) -> float:
    return round((moment - since).total_seconds() * 1000, 3)
