"""Follows pieces of work and decides what is exported of them.

Sampling is decided when the work is done, for its part of the trace as a whole:

- anything failed: kept, whatever the ratio;
- otherwise by the trace id, as OpenTelemetry's TraceIdRatioBased does, so that every process keeps the same
  traces (https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased);
- a caller's sampling flag has no say: nobody outside can switch this telemetry off.

Events other than one-per-step ones are rare, and all of them are kept. Metrics are never sampled.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from shared.telemetry.events import SAMPLED
from shared.telemetry.spans import TracePart, inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.telemetry.measurements import Measurement
    from shared.telemetry.spans import Happening, Span, SpanKind
    from shared.telemetry.trace_context import TraceContext

WHOLE_PERCENT: Final = 100.0
_SCORES: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be exported of one piece of work."""

    trace_id: str
    parent_id: str | None
    spans: Sequence[Span]
    span_percent: float
    """Of how many in a hundred these are the ones that were kept."""
    happenings: Sequence[tuple[Happening, float]]
    """Each with its own percentage."""
    measurements: Sequence[Measurement]


class Sink(Protocol):
    """Takes telemetry away."""

    def take(self, export: Export) -> None:
        """Must return at once and raise nothing, whatever the state of the far end."""
        ...


class Telemetry:
    """Follows work; without a sink, only its place in the trace is kept."""

    def __init__(self, sink: Sink | None = None, *, sample_ratio: float = 1.0) -> None:
        """``sample_ratio`` is the share of traces kept, from 0 to 1."""
        self._sink = sink
        self._ratio = sample_ratio

    @contextmanager
    def work(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None = None,
        quiet: type[Exception] | None = None,
        only_if_told: bool = False,
    ) -> Iterator[TracePart]:
        """Follow a piece of work from here to the end of the context.

        An exception passes through and counts as a failure, unless it is of the ``quiet`` type. With
        ``only_if_told``, spans are dropped where nothing failed and nothing was recorded: a look that found
        nothing is no news.
        """
        part = self.begin(name, kind, parent=parent)
        part.only_if_told = only_if_told
        try:
            with inside(part.root):
                yield part
        except Exception as error:
            part.root.failed = part.root.failed or quiet is None or not isinstance(error, quiet)
            raise
        finally:
            self.finish(part)

    def begin(self, name: str, kind: SpanKind, *, parent: TraceContext | None = None) -> TracePart:
        """The part of a trace that ``finish`` ends. Use ``work`` where a context will do."""
        trace_id = secrets.token_hex(16) if parent is None else parent.trace_id
        part = TracePart(
            trace_id, None if parent is None else parent.span_id, is_exported=self._sink is not None
        )
        part.begin(name, kind, parent=None)
        return part

    def finish(self, part: TracePart) -> None:
        """End the part and hand over what is kept of it; a second time does nothing."""
        if part.ended:
            return
        part.ended = True
        part.root.end()
        if self._sink is not None:
            if part.spans_left_out:
                part.root.tell(spans_left_out=part.spans_left_out)
            self._sink.take(self._export(part))

    def _export(self, part: TracePart) -> Export:
        percent = WHOLE_PERCENT * self._ratio
        failed = any(span.failed for span in part.spans) or any(
            happening.level >= logging.ERROR for happening in part.happenings
        )
        if failed:
            percent = WHOLE_PERCENT
        is_news = failed or bool(part.happenings) or not part.only_if_told
        is_kept = failed or (is_news and is_sampled(part.trace_id, self._ratio))
        return Export(
            part.trace_id,
            part.parent_id,
            part.spans if is_kept else (),
            percent,
            [
                (happening, percent if happening.name in SAMPLED else WHOLE_PERCENT)
                for happening in part.happenings
                if is_kept or happening.name not in SAMPLED
            ],
            part.measurements,
        )


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Whether the trace is among the ``ratio`` of all traces that are kept: its lower 64 bits decide."""
    return int(trace_id[16:], 16) < ratio * _SCORES
