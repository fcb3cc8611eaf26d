from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.app_insights.archive import Archive
from local.app_insights.telemetry import TelemetryStore
from tests.unit.app_insights.samples import call, envelope, event, request

if TYPE_CHECKING:
    from pathlib import Path

FILE = {"file_id": "f-1"}


def ids(store: TelemetryStore, name: str, value: str) -> list[str]:
    return [trace.id for trace in store.find([(name, value)])]


def test_a_trace_is_found_by_what_any_of_its_records_carries() -> None:
    store = TelemetryStore()
    store.add(
        [
            request("POST /api/v1/files", "a", 0, trace_id="t1", properties=FILE),
            event("dropbell.delivery.attempt", 5, trace_id="t1", properties={"delivery_id": "d-1"}),
            request(
                "GET /api/v1/files/{id}", "b", 100, trace_id="t2", properties=FILE | {"correlation_id": "c"}
            ),
        ]
    )
    assert ids(store, "file_id", "f-1") == ["t2", "t1"]
    assert ids(store, "delivery_id", "d-1") == ["t1"]
    assert ids(store, "correlation_id", "c") == ["t2"]
    assert ids(store, "trace_id", "t1") == ["t1"]
    assert ids(store, "file_id", "elsewhere") == []
    assert [each.id for each in store.find([("file_id", "f-1"), ("correlation_id", "c")])] == ["t2"]


def test_the_oldest_traces_go_first_and_out_of_the_index() -> None:
    store = TelemetryStore(max_traces=2)
    for number in range(4):
        store.add([request("r", "a", number, trace_id=f"t{number}", properties=FILE)])
    assert [trace.id for trace in store.traces] == ["t3", "t2"]
    assert ids(store, "file_id", "f-1") == ["t3", "t2"]
    assert ids(store, "trace_id", "t0") == []
    assert len(store) == 2


def test_the_bytes_are_bounded_even_within_one_trace() -> None:
    big = {"text": "x" * 1000}
    store = TelemetryStore(max_total_bytes=10_000)
    store.add([request("r", "a", 0, trace_id="old", properties=big)])
    store.add([call("c", str(number), number, properties=big) for number in range(50)])
    (trace,) = store.traces
    assert 5 <= len(trace.envelopes) <= 9
    assert trace.envelopes[-1].span_id == "49"
    assert sum(each.size_bytes for each in store) <= 10_000


def test_what_belongs_to_no_trace_is_kept_in_order() -> None:
    store = TelemetryStore()
    metric = envelope("MetricData", trace_id=None, metrics=[{"name": "m", "value": 1, "count": 1}])
    records = [event("a", trace_id=None), request("r", "a"), metric, call("c", "b")]
    store.add(records)
    assert list(store) == records
    assert [series.name for series in store.metrics] == ["m"]


def test_a_restart_keeps_everything_but_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "data" / "telemetry.jsonl"
    store = TelemetryStore(Archive(path))
    store.add([request("r \ud800", "a", properties=FILE), event("e", trace_id=None)])
    with path.open("ab") as file:
        file.write(b'{"name": "cut sh')
    again = TelemetryStore(Archive(path))
    assert list(again) == list(store)
    assert ids(again, "file_id", "f-1") == ids(store, "file_id", "f-1") != []
    again.add([call("c", "b")])
    assert list(TelemetryStore(Archive(path))) == list(again)


def test_the_archive_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    store = TelemetryStore(Archive(path), max_total_bytes=10_000)
    for number in range(200):
        store.add([request("r", "a", number, trace_id=f"t{number}")])
    assert path.stat().st_size < 25_000
    assert list(TelemetryStore(Archive(path), max_total_bytes=10_000)) == list(store)


@pytest.mark.parametrize("value", [None, True, "3", [], {}])
def test_a_metric_that_is_no_number_is_passed_over(value: object) -> None:
    store = TelemetryStore()
    metrics = [{"name": "bad", "value": value}, "nonsense", {"name": "good", "value": 2}]
    store.add([envelope("MetricData", metrics=metrics)])
    store.add([envelope("MetricData", metrics=metrics[0])])
    assert [series.name for series in store.metrics] == ["good"]


def test_a_series_knows_its_latest_value_its_sum_and_its_past() -> None:
    store = TelemetryStore()
    for minute, value in enumerate((1.0, 2.5)):
        point = {"name": "m", "value": value, "count": 3, "min": 0.1, "max": 2}
        store.add(
            [envelope("MetricData", 60_000 * minute, metrics=[point], properties={"outcome": "failed"})]
        )
    store.add(
        [envelope("MetricData", metrics=[{"name": "m", "value": 9}], properties={"outcome": "delivered"})]
    )
    other, series = (each.to_json() for each in store.metrics)
    assert (other["dimensions"], other["value"]) == ({"outcome": "delivered"}, 9)
    assert series["time"] == "2026-01-31T12:01:00.000000Z"
    assert (series["value"], series["total"], series["count"], series["total_count"]) == (2.5, 3.5, 3, 6)
    assert (series["min"], series["max"]) == (0.1, 2)
    assert isinstance(series["history"], list)
    assert [point["value"] for point in series["history"]] == [1.0, 2.5]
