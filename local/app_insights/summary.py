"""A trace in one line, for the list."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from local.app_insights.deliveries import deliveries_of
from local.app_insights.envelopes import SPANS, Envelope, Kind
from local.app_insights.metrics import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

READS = ("GET ", "HEAD ", "OPTIONS ")


@dataclass(frozen=True, slots=True)
class Summary:
    """What the list shows of a trace."""

    trace_id: str
    name: str
    started_at: datetime
    duration_ms: float
    requests: int
    dependencies: int
    events: int
    errors: int
    result: str
    """How the first request ended: a status, or nothing."""
    file_id: str | None
    correlation_id: str | None
    deliveries: dict[str, int]
    """How many deliveries ended, so far, with each outcome."""
    instances: int

    @property
    def is_of_a_file(self) -> bool:
        """Whether the trace tells of something done with a file, rather than of a look at it."""
        return self.file_id is not None and not self.name.startswith(READS)

    def mentions(self, text: str) -> bool:
        """Whether ``text``, in lower case, is part of what the list shows."""
        shown = (self.trace_id, self.name, self.file_id or "", self.correlation_id or "")
        return any(text in each.lower() for each in shown)

    def to_json(self) -> dict[str, object]:
        """The line as the API shows it."""
        return asdict(self) | {"started_at": rfc3339(self.started_at), "failed": self.errors > 0}


def summarise(trace_id: str, envelopes: Collection[Envelope]) -> Summary:
    """Return the summary of a trace, which has at least one record."""
    in_order = sorted(envelopes, key=lambda each: each.started_at)
    kinds = Counter(each.kind for each in in_order)
    root = _root(in_order)
    started_at = in_order[0].started_at
    ended_at = max(each.ended_at for each in in_order)
    return Summary(
        trace_id=trace_id,
        name=root.name,
        started_at=started_at,
        duration_ms=(ended_at - started_at).total_seconds() * 1000,
        requests=kinds[Kind.REQUEST],
        dependencies=kinds[Kind.DEPENDENCY],
        events=kinds[Kind.EVENT],
        errors=_errors(in_order),
        result=str(root.base.get("responseCode") or ""),
        file_id=_first([each for each in in_order if each.kind is not Kind.DEPENDENCY], "file_id"),
        correlation_id=_first(in_order, "correlation_id"),
        deliveries=dict(Counter(each.outcome for each in deliveries_of(in_order))),
        instances=len({each.instance for each in in_order}),
    )


def _root(in_order: Collection[Envelope]) -> Envelope:
    """The request that all began with; while it is still going on, what came of it so far."""
    span_ids = {each.span_id for each in in_order}
    spans = [each for each in in_order if each.kind in SPANS]
    roots = [each for each in spans if each.parent_id not in span_ids]
    requests = [each for each in roots if each.kind is Kind.REQUEST]
    return next(iter([*requests, *roots, *spans, *in_order]))


def _errors(in_order: Collection[Envelope]) -> int:
    """How many things went wrong: a failed call within a failed request is the same thing told twice."""
    failed = [each for each in in_order if each.is_failure]
    failed_spans = {each.span_id for each in failed if each.span_id}
    return sum(each.parent_id not in failed_spans for each in failed)


def _first(in_order: Collection[Envelope], name: str) -> str | None:
    return next((value for each in in_order if (value := each.properties.get(name))), None)
