"""Spans as plain values: who is whose child, which trace they belong to, what is kept."""

from __future__ import annotations

import asyncio
import logging

import pytest

from shared.adapters.memory_telemetry import MemoryTelemetry
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure
from shared.telemetry.recorder import Telemetry, is_sampled
from shared.telemetry.spans import (
    MAX_SPANS,
    SpanKind,
    System,
    adopt,
    current,
    dependency,
    failing,
    link,
    position,
    tell,
    traceparent,
)
from shared.telemetry.trace_context import TraceContext

ELSEWHERE = TraceContext("1" * 32, "2" * 16)
OTHER = TraceContext("3" * 32, "4" * 16)
SAMPLED_ID, UNSAMPLED_ID = "f" * 16 + "0" * 15 + "1", "0" * 16 + "f" * 16


def test_dependencies_are_children_of_what_calls_them() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("job", SpanKind.CONSUMER), dependency("outer", System.BLOB, target="uploads"):
        with dependency("inner", System.TABLE):
            pass
        with dependency("sibling", System.TABLE):
            pass

    job, outer, inner, sibling = sink.spans
    assert [span.name for span in sink.spans] == ["job", "outer", "inner", "sibling"]
    assert (job.parent, outer.parent, inner.parent, sibling.parent) == (None, job, outer, outer)
    assert len({span.span_id for span in sink.spans}) == 4
    assert all(span.started_ns <= span.ended_ns for span in sink.spans)
    assert job.started_ns <= inner.started_ns
    assert inner.ended_ns <= job.ended_ns
    assert current() is None


def test_tasks_of_the_work_belong_to_it() -> None:
    sink = MemoryTelemetry()

    async def call(name: str) -> None:
        with dependency(name, System.BLOB):
            await asyncio.sleep(0)

    async def work() -> None:
        with Telemetry(sink).work("job", SpanKind.SERVER):
            await asyncio.gather(call("a"), call("b"))

    asyncio.run(work())
    assert {span.name: span.parent and span.parent.name for span in sink.spans} == {
        "job": None,
        "a": "job",
        "b": "job",
    }


def test_the_trace_can_become_known_in_the_middle() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("announce", SpanKind.CONSUMER):
        with dependency("before", System.TABLE):
            pass
        adopt(ELSEWHERE)
        here = position()
        with dependency("after", System.QUEUE):
            adopt(None)

    (export,) = sink.exports
    assert (export.trace_id, export.parent_id) == (ELSEWHERE.trace_id, ELSEWHERE.span_id)
    assert here == TraceContext(ELSEWHERE.trace_id, export.spans[0].span_id)
    assert len(export.spans) == 3


def test_work_that_has_a_parent_is_linked_instead() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("PATCH", SpanKind.SERVER, parent=OTHER):
        adopt(ELSEWHERE)
        adopt(ELSEWHERE)

    (export,) = sink.exports
    assert (export.trace_id, export.parent_id) == (OTHER.trace_id, OTHER.span_id)
    assert export.spans[0].links == [ELSEWHERE]


def test_outside_of_work_nothing_is_kept_and_nothing_fails() -> None:
    with dependency("lonely", System.WEBHOOK) as span:
        assert span.context.traceparent == traceparent()
        tell(file_id="x")
        adopt(ELSEWHERE)
        link(ELSEWHERE)
        measure(Metric.FILES_ACCEPTED)
    assert (current(), position(), traceparent()) == (None, None, None)


def test_what_is_told_stands_on_the_first_span() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("job", SpanKind.SERVER), dependency("inside", System.TABLE):
        tell(file_id="x", reason=None)
        link(ELSEWHERE)

    root, inside = sink.spans
    assert (root.attributes, root.links) == ({"file_id": "x"}, [ELSEWHERE])
    assert inside.attributes == {}


def test_of_thousands_of_spans_the_first_are_kept_and_the_rest_counted() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("upload", SpanKind.SERVER):
        for _ in range(MAX_SPANS + 9):
            with dependency("Blob stage", System.BLOB), dependency("nested", System.BLOB):
                pass

    assert len(sink.spans) == MAX_SPANS
    assert sink.spans[0].attributes["spans_left_out"] == 2 * (MAX_SPANS + 9) - (MAX_SPANS - 1)
    kept = set(map(id, sink.spans))
    assert all(span.parent is None or id(span.parent) in kept for span in sink.spans)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_the_trace_id_alone_decides_who_is_sampled(ratio: float) -> None:
    ids = [f"{0xABCDEF:016x}{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(10_000)]
    share = sum(is_sampled(trace_id, ratio) for trace_id in ids) / len(ids)
    assert share == pytest.approx(ratio, abs=0.01)


def work(sink: MemoryTelemetry, *, ratio: float, trace_id: str = UNSAMPLED_ID, how: str = "") -> None:
    parent = TraceContext(trace_id, "2" * 16)
    with Telemetry(sink, sample_ratio=ratio).work("job", SpanKind.SERVER, parent=parent):
        if how == "error_event":
            record(Event.DUE_FAILED, level=logging.ERROR, kind="k")
        with dependency("call", System.TABLE) as span:
            span.failed = how == "failed_call"
        record(Event.REQUEST, route="r")
        record(Event.AUDIT, action="redrive")
        measure(Metric.FILES_ACCEPTED)


def test_a_sampled_trace_is_kept_with_its_weight() -> None:
    sink = MemoryTelemetry()
    work(sink, ratio=0.25, trace_id=SAMPLED_ID)
    (export,) = sink.exports
    assert (len(export.spans), export.span_percent) == (2, 25.0)
    assert [(h.name, percent) for h, percent in export.happenings] == [
        ("dropbell.request", 25.0),
        ("dropbell.audit", 100.0),
    ]


def test_of_one_that_is_not_sampled_rare_events_and_metrics_are_kept() -> None:
    sink = MemoryTelemetry()
    work(sink, ratio=0.25)
    (export,) = sink.exports
    assert list(export.spans) == []
    assert [(h.name, percent) for h, percent in export.happenings] == [("dropbell.audit", 100.0)]
    assert sink.measured == {"dropbell.files.accepted": [1]}


@pytest.mark.parametrize("how", ["error_event", "failed_call"])
@pytest.mark.parametrize("ratio", [0.0, 0.25])
def test_what_failed_is_always_kept_and_stands_for_itself(how: str, ratio: float) -> None:
    sink = MemoryTelemetry()
    work(sink, ratio=ratio, how=how)
    (export,) = sink.exports
    assert (len(export.spans), export.span_percent) == (2, 100.0)
    assert all(percent == 100.0 for _, percent in export.happenings)


def test_an_exception_is_a_failure_unless_it_is_expected() -> None:
    sink = MemoryTelemetry()
    telemetry = Telemetry(sink)
    for error in (ValueError("secret"), KeyError("secret")):
        with pytest.raises(type(error)), telemetry.work("job", SpanKind.CONSUMER, quiet=KeyError):
            raise error
    first, second = sink.spans
    assert (first.failed, second.failed) == (True, False)
    assert (first.attributes, second.attributes) == ({"error": "ValueError"}, {"error": "KeyError"})


def test_only_the_kinds_asked_for_fail_a_span() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("job", SpanKind.SERVER):
        for error in (KeyError(), OSError()):
            with (
                pytest.raises(type(error)),
                dependency("call", System.QUEUE) as span,
                failing(span, OSError),
            ):
                raise error
    assert [span.failed for span in sink.spans] == [False, False, True]


def test_a_look_that_found_nothing_is_no_news() -> None:
    sink = MemoryTelemetry()
    telemetry = Telemetry(sink)
    with telemetry.work("sweep", SpanKind.CONSUMER, only_if_told=True), dependency("query", System.TABLE):
        measure(Metric.SWEEP_FINDINGS)
    assert sink.spans == []
    assert sink.measured == {"dropbell.sweep.findings": [1]}
    with telemetry.work("sweep", SpanKind.CONSUMER, only_if_told=True):
        record(Event.EVENT_MISSED, level=logging.WARNING, file_id="x")
    assert [span.name for span in sink.spans] == ["sweep"]


def test_what_comes_after_the_end_is_left_out() -> None:
    sink = MemoryTelemetry()
    telemetry = Telemetry(sink)
    part = telemetry.begin("job", SpanKind.SERVER)
    telemetry.finish(part)
    part.begin("late", SpanKind.CLIENT, parent=part.root)
    telemetry.finish(part)
    assert [span.name for span in sink.spans] == ["job"]


def test_a_log_record_is_written_where_nothing_is_exported_and_of_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dropbell")

    def tell_of(sink: MemoryTelemetry | None) -> list[int]:
        caplog.clear()
        with Telemetry(sink).work("job", SpanKind.SERVER):
            record(Event.REQUEST, route="r")
            record(Event.REQUEST, level=logging.WARNING, route="r")
        return [each.levelno for each in caplog.records]

    assert tell_of(None) == [logging.INFO, logging.WARNING]
    sink = MemoryTelemetry()
    assert tell_of(sink) == [logging.WARNING]
    assert [h.level for h in sink.happenings] == [logging.INFO, logging.WARNING]


def test_every_record_in_a_piece_of_work_has_its_ids() -> None:
    sink = MemoryTelemetry()
    with Telemetry(sink).work("job", SpanKind.SERVER, parent=ELSEWHERE):
        tell(correlation_id="order-4711")
        record(Event.QUOTA_EXCEEDED)
        record(Event.FILE_ANNOUNCED, correlation_id="the file's", trace_id="the file's")
    quota, announced = sink.happenings
    assert quota.fields == {"trace_id": ELSEWHERE.trace_id, "correlation_id": "order-4711"}
    assert announced.fields == {"correlation_id": "the file's", "trace_id": "the file's"}
