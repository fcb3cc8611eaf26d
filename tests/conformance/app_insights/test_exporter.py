"""What the unchanged exporters send is taken, kept as it is, and found again."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from tests.conformance.app_insights.conftest import AppInsights, quiet_exporters, started
from tests.conformance.app_insights.sender import Sender, span_id_of, trace_id_of
from tests.conformance.app_insights.traces import FileStory, measure

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
type Envelope = dict[str, Any]


def by_type(items: list[Envelope]) -> dict[str, list[Envelope]]:
    found: dict[str, list[Envelope]] = {}
    for each in items:
        found.setdefault(each["data"]["baseType"], []).append(each)
    return found


@pytest.fixture(scope="module")
def story(insights: AppInsights) -> FileStory:
    with closing(Sender(insights.address)) as sender:
        return FileStory(sender, NOW).tell()


@pytest.fixture(scope="module")
def items(insights: AppInsights, story: FileStory) -> list[Envelope]:
    found: list[Envelope] = insights.get(f"/api/traces/{story.trace_id}")["items"]
    return found


def test_the_whole_story_of_a_file_is_one_operation(items: list[Envelope], story: FileStory) -> None:
    assert {each["tags"]["ai.operation.id"] for each in items} == {story.trace_id}
    times = [datetime.fromisoformat(each["time"]) for each in items]
    assert times == sorted(times)
    counts = {name: len(found) for name, found in by_type(items).items()}
    assert counts == {"RequestData": 10, "RemoteDependencyData": 36, "EventData": 10}


def test_spans_of_every_kind_are_there_with_parents_and_links(items: list[Envelope]) -> None:
    spans = {each["data"]["baseData"]["id"]: each for each in items if "id" in each["data"]["baseData"]}
    (root,) = [each for each in spans.values() if "ai.operation.parentId" not in each["tags"]]
    assert root["data"]["baseData"]["name"] == "POST /api/v1/files"
    retries = [each for each in spans.values() if "_MS.links" in each["data"]["baseData"]["properties"]]
    assert len(retries) == 5
    for retry in retries:
        (link,) = json.loads(retry["data"]["baseData"]["properties"]["_MS.links"])
        assert spans[link["id"]]["data"]["baseData"]["name"] == "deliver"
        assert spans[link["id"]]["time"] < retry["time"]


@pytest.mark.parametrize("name", ["file_id", "correlation_id", "trace_id"])
def test_a_file_s_trace_is_found(insights: AppInsights, story: FileStory, name: str) -> None:
    assert insights.get(f"/api/search?{name}={getattr(story, name)}") == {"trace_ids": [story.trace_id]}


def test_the_page_s_story_nests_all_of_it(insights: AppInsights, story: FileStory) -> None:
    told = insights.get(f"/api/traces/{story.trace_id}/story")
    assert len(told["rows"]) == 46
    assert not any(row["parent_missing"] for row in told["rows"])
    assert [len(each["attempts"]) for each in told["deliveries"]] == [4, 3, 1]
    assert {each["outcome"] for each in told["deliveries"]} == {"delivered"}
    assert {row["category"] for row in told["rows"]} == {
        *("request", "function", "blob", "table", "queue", "webhook", "mail")
    }
    waits = [row["wait"]["reason"] for row in told["rows"] if row["wait"]]
    assert (waits.count("queue"), waits.count("retry")) == (4, 5)


def test_logs_and_exceptions_belong_to_their_span(insights: AppInsights) -> None:
    with closing(Sender(insights.address)) as sender:
        span = sender.span("deliver", SpanKind.CONSUMER, NOW, 10)
        broken = {
            "exception.type": "OSError",
            "exception.message": "broken pipe",
            "exception.stacktrace": "Traceback",
        }
        sender.log("", NOW, span, broken, SeverityNumber.ERROR)
        sender.log("so it goes", NOW, span, severity=SeverityNumber.WARN)
    found = by_type(insights.get(f"/api/traces/{trace_id_of(span)}")["items"])
    assert set(found) == {"RequestData", "ExceptionData", "MessageData"}
    (row,) = insights.get(f"/api/traces/{trace_id_of(span)}/story")["rows"]
    assert (row["id"], row["failed"]) == (span_id_of(span), True)
    assert {note["name"] for note in row["notes"]} == {"OSError: broken pipe", "so it goes"}


def test_metrics_are_told_by_name_and_dimensions(insights: AppInsights) -> None:
    with closing(Sender(insights.address)) as sender:
        for files in (2, 3):
            measure(sender, files)
            sender.flush()
    series = {
        (each["name"], *each["dimensions"].values()): each for each in insights.get("/api/metrics")["items"]
    }
    files_accepted = series["dropbell.files.accepted",]
    assert (files_accepted["value"], files_accepted["total"]) == (3, 5)
    assert [point["value"] for point in files_accepted["history"]] == [2, 3]
    assert series["dropbell.delivery.attempts", "failed", "webhook"]["total"] == 25
    announced = series["dropbell.time_to_announced",]
    assert (announced["count"], announced["total_count"]) == (3, 5)
    assert announced["min"] == pytest.approx(0.08)
    assert announced["max"] == pytest.approx(0.1)


def test_the_exporter_hears_of_a_refusal_and_repeats_what_it_may(insights: AppInsights) -> None:
    with closing(Sender(insights.address)) as sender:
        span = sender.span("refused", SpanKind.SERVER, NOW, 1)
        batch, sender.spans = sender.spans, []
        insights.post("/behaviour", {"status": 400, "count": 1})
        assert sender.exporter.export(batch) is SpanExportResult.FAILURE
        assert insights.get(f"/api/traces/{trace_id_of(span)}") == {"items": []}

        requests = insights.post("/behaviour", {"status": 503, "count": 1})["requests"]
        assert sender.exporter.export(batch) is SpanExportResult.SUCCESS
        assert insights.get("/behaviour")["requests"] == requests + 2
    assert len(insights.get(f"/api/traces/{trace_id_of(span)}")["items"]) == 1


def test_a_restart_keeps_the_traces(tmp_path: Path) -> None:
    with started(tmp_path / "data") as insights:
        with quiet_exporters(), closing(Sender(insights.address)) as sender:
            sender.span("kept", SpanKind.SERVER, NOW - timedelta(days=1), 1)
            measure(sender, 1)
        before = [insights.get(path) for path in ("/api/items", "/api/traces", "/api/metrics")]
        insights.process.kill()
        insights.process.wait()
    with started(tmp_path / "data") as insights:
        assert [insights.get(path) for path in ("/api/items", "/api/traces", "/api/metrics")] == before
        assert len(before[0]["items"]) > 5
