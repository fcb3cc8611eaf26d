"""What was sent, by trace: bounded, found by the identifiers that people have at hand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.app_insights.envelopes import Envelope, Kind
from local.app_insights.metrics import MetricStore
from local.app_insights.summary import Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from local.app_insights.archive import Archive

MAX_TRACES = 5000
MAX_TOTAL_BYTES = 48 * 1024 * 1024
"""Of the envelopes as JSON; in memory they take some five times as much."""
MAX_UNTRACED = 5000
"""Records that belong to no trace, metrics among them."""

SEARCHED = ("file_id", "correlation_id", "delivery_id", "trace_id")
"""The properties by which a trace is found."""


@dataclass(slots=True)
class Trace:
    """All records with one operation identifier, in the order in which they came."""

    id: str
    envelopes: deque[Envelope] = field(default_factory=deque)
    numbers: deque[int] = field(default_factory=deque)
    """For each envelope, the how manieth it was of all that came."""
    identifiers: set[tuple[str, str]] = field(default_factory=set)
    _summary: Summary | None = None

    def add(self, envelope: Envelope, number: int) -> None:
        """Keep one more."""
        self.envelopes.append(envelope)
        self.numbers.append(number)
        self._summary = None

    def drop_first(self) -> Envelope:
        """Forget the one that came first."""
        self.numbers.popleft()
        self._summary = None
        return self.envelopes.popleft()

    @property
    def summary(self) -> Summary:
        """The trace in one line; read again only when something came."""
        if self._summary is None:
            self._summary = summarise(self.id, self.envelopes)
        return self._summary

    @property
    def revision(self) -> int:
        """Grows with every record that comes."""
        return self.numbers[-1]


class TelemetryStore:
    """Keeps the newest traces, at most ``max_traces`` of them and ``max_total_bytes`` of envelopes."""

    def __init__(
        self,
        archive: Archive | None = None,
        *,
        max_traces: int = MAX_TRACES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self.metrics = MetricStore()
        self.revision = 0
        """Grows with every record that comes."""
        self._archive = archive
        self._max_traces = max_traces
        self._max_total_bytes = max_total_bytes
        self._total_bytes = 0
        self._traces: dict[str, Trace] = {}
        self._by_identifier: dict[tuple[str, str], dict[str, None]] = {}
        self._untraced: deque[tuple[int, Envelope]] = deque()
        if archive is not None:
            self._keep(archive.load())
            archive.rewrite(self)

    def __iter__(self) -> Iterator[Envelope]:
        """Iterate over all records in the order in which they came."""
        numbered = list(self._untraced)
        for trace in self._traces.values():
            numbered.extend(zip(trace.numbers, trace.envelopes, strict=True))
        return (envelope for _, envelope in sorted(numbered, key=lambda each: each[0]))

    def __len__(self) -> int:
        return len(self._untraced) + sum(len(trace.envelopes) for trace in self._traces.values())

    def add(self, envelopes: Sequence[Envelope]) -> None:
        """Keep a batch; forget the oldest traces beyond the bounds."""
        self._keep(envelopes)
        if self._archive is not None and envelopes:
            self._archive.append(envelopes)
            if self._archive.size_bytes > 2 * self._max_total_bytes:
                self._archive.rewrite(self)

    @property
    def trace_count(self) -> int:
        """How many traces are kept."""
        return len(self._traces)

    @property
    def traces(self) -> list[Trace]:
        """All traces, newest first."""
        return self._newest_first(self._traces)

    def trace(self, trace_id: str) -> Trace | None:
        """The trace with that identifier."""
        return self._traces.get(trace_id)

    def find(self, wanted: Iterable[tuple[str, str]]) -> list[Trace]:
        """The traces that carry every one of the identifiers, newest first."""
        found: set[str] | None = None
        for name, value in wanted:
            holders = set(self._by_identifier.get((name, value), ()))
            if name == "trace_id" and value in self._traces:
                holders.add(value)
            found = holders if found is None else found & holders
        return self._newest_first(found or ())

    def _newest_first(self, trace_ids: Iterable[str]) -> list[Trace]:
        traces = [self._traces[each] for each in trace_ids]
        return sorted(traces, key=lambda trace: (trace.summary.started_at, trace.id), reverse=True)

    def _keep(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            self.revision += 1
            self._total_bytes += envelope.size_bytes
            if envelope.kind is Kind.METRIC:
                self.metrics.add(envelope)
            if envelope.trace_id is None:
                self._untraced.append((self.revision, envelope))
            else:
                trace = self._traces.setdefault(envelope.trace_id, Trace(envelope.trace_id))
                trace.add(envelope, self.revision)
                self._index(trace, envelope)
            self._forget_oldest()

    def _index(self, trace: Trace, envelope: Envelope) -> None:
        for name in SEARCHED:
            if value := envelope.properties.get(name):
                trace.identifiers.add((name, value))
                self._by_identifier.setdefault((name, value), {})[trace.id] = None

    def _forget_oldest(self) -> None:
        while len(self._untraced) > MAX_UNTRACED:
            self._drop_untraced()
        while len(self._traces) > self._max_traces:
            self._drop_trace()
        while self._total_bytes > self._max_total_bytes:
            if len(self._traces) > 1:
                self._drop_trace()
            elif self._untraced:
                self._drop_untraced()
            elif not self._shorten_last_trace():
                return

    def _drop_untraced(self) -> None:
        _, envelope = self._untraced.popleft()
        self._total_bytes -= envelope.size_bytes

    def _drop_trace(self) -> None:
        trace = self._traces.pop(next(iter(self._traces)))
        self._total_bytes -= sum(envelope.size_bytes for envelope in trace.envelopes)
        for identifier in trace.identifiers:
            holders = self._by_identifier[identifier]
            del holders[trace.id]
            if not holders:
                del self._by_identifier[identifier]

    def _shorten_last_trace(self) -> bool:
        trace = next(iter(self._traces.values()), None)
        if trace is None or len(trace.envelopes) < 2:
            return False
        self._total_bytes -= trace.drop_first().size_bytes
        return True
