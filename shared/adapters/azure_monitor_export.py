"""From our spans, events and measurements to OpenTelemetry's, and from there to Application Insights.

Imported and used by the exporting thread only (``azure_monitor``): it takes half a second to import, and its
calls wait for the network.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from azure.core.settings import settings as azure_sdk
from azure.identity import ManagedIdentityCredential
from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN_ID,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shared.telemetry import spans
from shared.telemetry.measurements import SHAPES, Metric, Shape
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context

    from shared.telemetry.measurements import Measurement
    from shared.telemetry.recorder import Export
    from shared.telemetry.spans import Happening, Span, Value

ROLE: Final = "dropbell"
"""``cloud_RoleName`` in Application Insights."""
TIMEOUT_SECONDS: Final = 10
_SAMPLE_RATE: Final = "_MS.sampleRate"
"""The attribute by which the exporter tells how many items one stands for, in percent."""
_CUSTOM_EVENT: Final = "microsoft.custom_event.name"
"""The attribute that makes a log record a row of ``customEvents``."""
_KINDS: Final[Mapping[spans.SpanKind, SpanKind]] = {kind: SpanKind[kind.name] for kind in spans.SpanKind}
_DATABASES: Final = frozenset({System.BLOB, System.TABLE})
_DELTAS: Final[dict[type, AggregationTemporality]] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}


class _Ids(IdGenerator):
    """Gives out the ids that our spans have already."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


_NOT_SENT: Final = ("ai.device.id", "ai.device.locale", "ai.device.type", "ai.internal.nodeName")
"""What the exporter says of the machine with every item: a fifth of the bytes, and the instance says it."""


def _lean(envelope: Any) -> Any:
    for tag in _NOT_SENT:
        envelope.tags.pop(tag, None)
    return envelope


class _SpanExporter(AzureMonitorTraceExporter):
    """Says nothing of the machine."""

    def _span_to_envelope(self, span: Any) -> Any:
        return _lean(super()._span_to_envelope(span))


class _EventExporter(AzureMonitorLogExporter):
    """Events carry a sample rate, too: the exporter itself knows that of spans only."""

    def _log_to_envelope(self, readable_log_record: Any) -> Any:
        envelope: Any = _lean(super()._log_to_envelope(readable_log_record))
        properties = envelope.data.base_data.properties
        envelope.sample_rate = float(properties.pop(_SAMPLE_RATE))
        properties.pop("logger_name", None)  # the exporter's addition; says nothing here
        return envelope


class Exporters:
    """OpenTelemetry's pipeline, driven by hand: each call sends what it is given and returns."""

    def __init__(
        self, connection_string: str, *, identity_client_id: str | None = None, instance: str = ""
    ) -> None:
        """Set up for ``connection_string``; raises ValueError for one that is malformed."""
        azure_sdk.tracing_enabled = (
            False  # the adapters make better spans; the SDKs would begin by themselves
        )
        options: dict[str, Any] = {
            "connection_string": connection_string,
            "disable_offline_storage": True,  # nothing of it shall lie on a disk
            "timeout": TIMEOUT_SECONDS,  # to connect
            "read_timeout": TIMEOUT_SECONDS,
            "retry_total": 1,
        }
        if identity_client_id is not None:
            options["credential"] = ManagedIdentityCredential(client_id=identity_client_id or None)
        self._traces = _SpanExporter(**options)
        self._events = _EventExporter(**options)
        self._metrics = AzureMonitorMetricExporter(**options)
        resource = Resource({SERVICE_NAME: ROLE, SERVICE_INSTANCE_ID: instance})

        self._ids = _Ids()
        tracers = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._made_spans = InMemorySpanExporter()
        tracers.add_span_processor(SimpleSpanProcessor(self._made_spans))
        self._tracer = tracers.get_tracer(ROLE)

        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self._made_events = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own lapse
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._made_events))
        self._logger = loggers.get_logger(ROLE)

        self._reader = InMemoryMetricReader(preferred_temporality=_DELTAS)
        meters = MeterProvider(metric_readers=[self._reader], resource=resource, shutdown_on_exit=False)
        meter = meters.get_meter(ROLE)
        self._counters = {
            metric: meter.create_counter(metric.value, unit, description)
            for metric, (shape, unit, description) in SHAPES.items()
            if shape is Shape.COUNTER
        }
        self._histograms = {
            metric: meter.create_histogram(metric.value, unit, description)
            for metric, (shape, unit, description) in SHAPES.items()
            if shape is Shape.HISTOGRAM
        }

    def export(self, batch: Sequence[Export], dropped: int = 0) -> None:
        """Send spans and events, count measurements; ``dropped`` pieces of work did not get this far."""
        if dropped:
            self._counters[Metric.TELEMETRY_DROPPED].add(dropped)
        for each in batch:
            for measurement in each.measurements:
                self._count(measurement)
            for span in each.spans:
                self._make_span(each, span)
            for happening, percent in each.happenings:
                self._make_event(each, happening, percent)
        made_spans, made_events = self._made_spans.get_finished_spans(), self._made_events.get_finished_logs()
        self._made_spans.clear()
        self._made_events.clear()
        if made_spans and self._traces.export(made_spans).name != "SUCCESS":
            self._counters[Metric.TELEMETRY_DROPPED].add(len(made_spans))
        if made_events and self._events.export(made_events).name != "SUCCESS":
            self._counters[Metric.TELEMETRY_DROPPED].add(len(made_events))

    def export_metrics(self) -> None:
        """Send what has been counted since the last time."""
        data = self._reader.get_metrics_data()
        if data is not None:
            self._metrics.export(data)

    def _count(self, measurement: Measurement) -> None:
        dimensions = dict(measurement.dimensions)
        if measurement.metric in self._counters:
            self._counters[measurement.metric].add(measurement.value, dimensions)
        else:
            self._histograms[measurement.metric].record(measurement.value, dimensions)

    def _make_span(self, export: Export, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = int(export.trace_id, 16), int(span.span_id, 16)
        parent_id = span.parent.span_id if span.parent else export.parent_id
        attributes: dict[str, Value] = {
            _SAMPLE_RATE: export.span_percent,
            **_semantic(span),
            **span.attributes,
        }
        made = self._tracer.start_span(
            span.name,
            context=_context(export.trace_id, parent_id),
            kind=_KINDS[span.kind],
            attributes=attributes,
            links=[Link(_span_context(link.trace_id, link.span_id)) for link in span.links],
            start_time=span.started_ns,
        )
        if span.failed:
            made.set_status(StatusCode.ERROR)
        made.end(span.ended_ns or export.spans[0].ended_ns)

    def _make_event(self, export: Export, happening: Happening, percent: float) -> None:
        attributes: dict[str, Value] = {_CUSTOM_EVENT: happening.name, _SAMPLE_RATE: percent}
        attributes["level"] = logging.getLevelName(happening.level).lower()
        attributes |= happening.fields
        attributes.pop(
            "trace_id", None
        )  # in a log record it has to be a field; here it is the operation's id
        self._logger.emit(
            LogRecord(
                timestamp=happening.at_ns,
                context=_context(export.trace_id, happening.span_id),
                severity_number=_SEVERITIES[happening.level],
                attributes=attributes,
            )
        )


_SEVERITIES: Final = {
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
}


def _context(trace_id: str, span_id: str | None) -> Context:
    """The context in which something is a child of ``span_id``; without one, the trace begins there."""
    if span_id is None:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, INVALID_SPAN_ID, is_remote=False)))
    return set_span_in_context(NonRecordingSpan(_span_context(trace_id, span_id)))


def _span_context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _semantic(span: Span) -> dict[str, Value]:
    """OpenTelemetry's attributes, from which the exporter makes type, target and result code.

    Not those of HTTP clients: from them it would make the name, with the path of the URL.
    """
    told: dict[str, Value] = {}
    if span.kind is spans.SpanKind.SERVER:
        method, _, route = span.name.partition(" ")
        told = {"http.request.method": method, "http.route": route}
        if "status_code" in span.attributes:
            told["http.response.status_code"] = span.attributes["status_code"]
    elif span.system is not None:
        told = {"db.system.name" if span.system in _DATABASES else "messaging.system": span.system.value}
        if span.target:
            told["peer.service"] = span.target
    return told
