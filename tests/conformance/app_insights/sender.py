"""Sends telemetry as an application does: through the unchanged exporters of Azure Monitor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span

ROLE = "dropbell"
INSTANCES = ("worker-1", "worker-2")
EVENT_NAME = "microsoft.custom_event.name"
QUIET = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}
"""Settings without which the exporters call out to the internet."""


def connection_string(address: str) -> str:
    """As ``local.up`` gives it to the application."""
    key = "00000000-0000-4000-8000-000000000001"
    return f"InstrumentationKey={key};IngestionEndpoint={address}/;LiveEndpoint={address}/"


@dataclass
class Sender:
    """The exporters towards one address. ``QUIET`` has to be in the environment."""

    address: str
    spans: list[ReadableSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        options: dict[str, Any] = {
            "connection_string": connection_string(self.address),
            "disable_offline_storage": True,
        }
        resources = [
            Resource.create({"service.name": ROLE, "service.instance.id": instance}) for instance in INSTANCES
        ]
        self.exporter = AzureMonitorTraceExporter(**options)
        self._tracers = [TracerProvider(resource=each).get_tracer("sender") for each in resources]
        self._logs = []
        for resource in resources:
            provider = LoggerProvider(resource=resource)
            provider.add_log_record_processor(SimpleLogRecordProcessor(AzureMonitorLogExporter(**options)))
            self._logs.append(provider)
        reader = PeriodicExportingMetricReader(AzureMonitorMetricExporter(**options), 3_600_000)
        self._meters = MeterProvider([reader], resource=resources[0])

    @property
    def meter(self) -> Meter:
        """To measure with; ``flush`` exports."""
        return self._meters.get_meter("sender")

    def span(
        self,
        name: str,
        kind: SpanKind,
        start: datetime,
        duration_ms: float,
        *,
        parent: Span | None = None,
        links: Sequence[Span] = (),
        attributes: Mapping[str, Any] | None = None,
        failure: str | None = None,
        worker: int = 0,
    ) -> Span:
        """Make a span that is over; ``flush`` exports it."""
        span = self._tracers[worker].start_span(
            name,
            context=trace.set_span_in_context(parent) if parent else None,
            kind=kind,
            attributes=attributes,
            links=[Link(each.get_span_context()) for each in links],
            start_time=_ns(start),
        )
        if failure is not None:
            span.set_status(Status(StatusCode.ERROR, failure))
        span.end(_ns(start + timedelta(milliseconds=duration_ms)))
        self.spans.append(span)  # type: ignore[arg-type]  # of the SDK, which makes readable spans
        return span

    def event(
        self, name: str, at: datetime, span: Span | None, properties: Mapping[str, object], worker: int = 0
    ) -> None:
        """Export a wide event."""
        texts = {key: str(value) for key, value in properties.items()}
        self.log("", at, span, {EVENT_NAME: name, **texts}, worker=worker)

    def log(
        self,
        message: str,
        at: datetime,
        span: Span | None,
        attributes: Mapping[str, Any] | None = None,
        severity: SeverityNumber = SeverityNumber.INFO,
        worker: int = 0,
    ) -> None:
        """Export a log record; an exception if the attributes tell of one."""
        self._logs[worker].get_logger("sender").emit(
            timestamp=_ns(at),
            context=trace.set_span_in_context(span) if span else None,
            severity_number=severity,
            body=message,
            attributes=dict(attributes or {}),
        )

    def flush(self) -> None:
        """Export the spans, in batches as the SDK does, and the metrics."""
        while self.spans:
            batch, self.spans = self.spans[:512], self.spans[512:]
            assert self.exporter.export(batch) is SpanExportResult.SUCCESS
        self._meters.force_flush()

    def close(self) -> None:
        """Export what is left, and end the threads."""
        self.flush()
        self._meters.shutdown()
        for provider in self._logs:
            provider.shutdown()
        self.exporter.shutdown()


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000


def is_sampled(span: Span) -> bool:
    """Whether the span was recorded."""
    return span.get_span_context().trace_flags.sampled


def trace_id_of(span: Span) -> str:
    """The span's trace, as it is exported."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def span_id_of(span: Span) -> str:
    """The span, as it is exported."""
    return trace.format_span_id(span.get_span_context().span_id)
