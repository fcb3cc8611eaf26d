"""What is followed arrives the same, kept in memory or exported to Application Insights as it is."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.azure_monitor import AzureMonitor
from shared.adapters.memory_telemetry import MemoryTelemetry
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure
from shared.telemetry.recorder import Telemetry
from shared.telemetry.spans import SpanKind, System, dependency, link, tell
from shared.telemetry.trace_context import TraceContext
from tests.conformance.telemetry.ingestion import Ingestion, ingestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shared.telemetry.recorder import Sink

CLIENT = TraceContext("a" * 16 + "0" * 15 + "1", "2" * 16)
BEFORE = TraceContext(CLIENT.trace_id, "3" * 16)
AT_ONCE_SECONDS = 0.5
"""Nobody waits for the network in so short a time, and a busy machine is not slower."""


@pytest.fixture
def endpoint() -> Iterator[Ingestion]:
    with ingestion() as running:
        yield running


def monitor(endpoint: Ingestion, **options: Any) -> AzureMonitor:
    return AzureMonitor(endpoint.connection_string, interval_seconds=0.05, **options)


def some_work(sink: Sink, *, ratio: float = 0.25) -> None:
    """A request with two dependencies, one failed; an event; a retry that is linked; and what is counted."""
    telemetry = Telemetry(sink, sample_ratio=ratio)
    with telemetry.work("POST /api/v1/files", SpanKind.SERVER, parent=CLIENT):
        tell(file_id="file-1", correlation_id="order-4711", status_code=201)
        with dependency("Table apply", System.TABLE, target="dropbell"):
            pass
        with dependency("Queue send", System.QUEUE, target="notifications", kind=SpanKind.PRODUCER):
            pass
        record(Event.REQUEST, route="create_file", duration_ms=1.5, trace_id=CLIENT.trace_id)
        measure(Metric.BYTES_ACCEPTED, 10)
        measure(Metric.BYTES_ACCEPTED, 32)
        measure(Metric.TIME_TO_DELIVERED, 0.25)
        measure(Metric.DELIVERY_ATTEMPTS, outcome="delivered", channel="webhook")
    with telemetry.work("deliver", SpanKind.CONSUMER, parent=CLIENT):
        link(BEFORE)
        with dependency("Webhook", System.WEBHOOK, target="hooks.example") as span:
            span.tell(status_code=503)
            span.failed = True
        record(Event.DELIVERY_ATTEMPT, level=logging.WARNING, attempt=2)


def told_by_memory() -> list[dict[str, Any]]:
    sink = MemoryTelemetry()
    some_work(sink)
    return [
        {
            "name": span.name,
            "trace": export.trace_id,
            "parent": span.parent.name if span.parent else export.parent_id,
            "is_request": span.kind in {SpanKind.SERVER, SpanKind.CONSUMER},
            "success": not span.failed,
            "percent": export.span_percent,
            "links": [(each.trace_id, each.span_id) for each in span.links],
            "told": {name: str(value) for name, value in span.attributes.items()},
        }
        for export in sink.exports
        for span in export.spans
    ]


def told_by_envelopes(envelopes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    spans = [
        each for each in envelopes if each["data"]["baseType"] in {"RequestData", "RemoteDependencyData"}
    ]
    names = {each["data"]["baseData"]["id"]: each["data"]["baseData"]["name"] for each in spans}
    found = []
    for envelope in spans:
        data, tags = envelope["data"]["baseData"], envelope["tags"]
        told = dict(data["properties"])
        links = json.loads(told.pop("_MS.links", "[]"))
        parent = tags["ai.operation.parentId"]
        found.append(
            {
                "name": data["name"],
                "trace": tags["ai.operation.id"],
                "parent": names.get(parent, parent),
                "is_request": envelope["data"]["baseType"] == "RequestData",
                "success": data["success"],
                "percent": envelope["sampleRate"],
                "links": [(each["operation_Id"], each["id"]) for each in links],
                "told": told,
            }
        )
    return found


def test_both_sinks_tell_the_same_of_the_same_work(endpoint: Ingestion) -> None:
    sink = monitor(endpoint)
    some_work(sink)
    assert sink.close(30)

    assert told_by_envelopes(endpoint.envelopes) == told_by_memory()


def test_application_insights_is_told_names_types_and_targets_that_help(endpoint: Ingestion) -> None:
    sink = monitor(endpoint)
    some_work(sink)
    assert sink.close(30)

    request, attempt = (each["data"]["baseData"] for each in endpoint.of_type("RequestData"))
    assert (request["name"], request["responseCode"]) == ("POST /api/v1/files", "201")
    assert attempt["name"] == "deliver"
    calls = [each["data"]["baseData"] for each in endpoint.of_type("RemoteDependencyData")]
    assert [(call["name"], call["type"], call["target"]) for call in calls] == [
        ("Table apply", "azure.table", "dropbell"),
        ("Queue send", "Queue Message | servicebus", "notifications"),
        ("Webhook", "webhook", "hooks.example"),
    ]
    assert {each["tags"]["ai.cloud.role"] for each in endpoint.envelopes} == {"dropbell"}
    tags = {
        tag
        for kind in ("RequestData", "EventData")
        for each in endpoint.of_type(kind)
        for tag in each["tags"]
    }
    assert not [tag for tag in tags if tag.startswith("ai.device.")], "the instance says it all"


def test_events_stand_in_the_trace_with_their_weight(endpoint: Ingestion) -> None:
    sink = monitor(endpoint)
    some_work(sink)
    assert sink.close(30)

    spans = {
        each["data"]["baseData"]["name"]: each["data"]["baseData"] for each in endpoint.of_type("RequestData")
    }
    request, attempt = endpoint.of_type("EventData")
    assert request["data"]["baseData"]["name"] == "dropbell.request"
    assert request["tags"]["ai.operation.id"] == CLIENT.trace_id
    assert request["tags"]["ai.operation.parentId"] == spans["POST /api/v1/files"]["id"]
    assert (request["sampleRate"], attempt["sampleRate"]) == (25.0, 100.0)
    fields = request["data"]["baseData"]["properties"]
    told = {"route": "create_file", "duration_ms": "1.5", "level": "info", "correlation_id": "order-4711"}
    assert fields == told
    assert attempt["data"]["baseData"]["properties"]["level"] == "warning"


def test_metrics_are_summed_and_sent_at_the_end(endpoint: Ingestion) -> None:
    sink = monitor(endpoint)
    some_work(sink)
    assert sink.close(30)

    points = {
        each["data"]["baseData"]["metrics"][0]["name"]: each["data"]["baseData"]
        for each in endpoint.of_type("MetricData")
    }
    assert points["dropbell.bytes.accepted"]["metrics"][0]["value"] == 42
    assert points["dropbell.time_to_delivered"]["metrics"][0].items() >= {"value": 0.25, "count": 1}.items()
    assert points["dropbell.delivery.attempts"]["properties"] == {
        "outcome": "delivered",
        "channel": "webhook",
    }
    assert set(points) <= {metric.value for metric in Metric}


def refuse(endpoint: Ingestion) -> None:
    endpoint.status = 500


def forbid(endpoint: Ingestion) -> None:
    endpoint.status = 403


def hang(endpoint: Ingestion) -> None:
    endpoint.silent = True


def vanish(endpoint: Ingestion) -> None:
    endpoint.socket.close()


@pytest.mark.parametrize("misbehave", [refuse, forbid, hang, vanish])
def test_an_endpoint_that_misbehaves_costs_the_work_nothing(
    endpoint: Ingestion, misbehave: Callable[[Ingestion], None], caplog: pytest.LogCaptureFixture
) -> None:
    misbehave(endpoint)
    sink = monitor(endpoint, max_waiting=10)
    began = time.monotonic()
    for _ in range(200):
        some_work(sink)
    assert time.monotonic() - began < AT_ONCE_SECONDS * 4

    began = time.monotonic()
    sink.close(0.2)
    assert time.monotonic() - began < 0.2 + AT_ONCE_SECONDS
    endpoint.released.set()
    assert "Traceback" not in caplog.text


def test_after_an_outage_telemetry_goes_on_and_says_how_much_is_missing(endpoint: Ingestion) -> None:
    endpoint.status = 400  # refused for good, so that nothing is tried again
    sink = monitor(endpoint)
    some_work(sink)
    while endpoint.calls < 2:
        time.sleep(0.02)
    endpoint.status = 200
    some_work(sink)
    assert sink.close(30)

    assert {each["data"]["baseData"]["name"] for each in endpoint.of_type("RequestData")} == {
        "POST /api/v1/files",
        "deliver",
    }
    (dropped,) = [
        each["data"]["baseData"]["metrics"][0]["value"]
        for each in endpoint.of_type("MetricData")
        if each["data"]["baseData"]["metrics"][0]["name"] == "dropbell.telemetry.dropped"
    ]
    assert dropped == 7, "five spans and two events"


def test_a_connection_string_that_is_none_ends_telemetry_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = AzureMonitor("InstrumentationKey=secret-and-wrong", interval_seconds=0.01)
    some_work(sink)
    assert sink.close(30)
    some_work(sink)
    assert "telemetry cannot be set up: ValueError" in caplog.text
    assert "secret" not in caplog.text
