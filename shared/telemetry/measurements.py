"""Metrics: what is counted and timed, by name. Dimensions are few and take few values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from shared.telemetry.spans import current

if TYPE_CHECKING:
    from collections.abc import Mapping


class Shape(Enum):
    """How values of a metric are put together (OpenTelemetry's instruments)."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(StrEnum):
    """Names; ``SHAPES`` has the shape and the unit (UCUM) of each."""

    FILES_ACCEPTED = "dropbell.files.accepted"
    BYTES_ACCEPTED = "dropbell.bytes.accepted"
    TIME_TO_ANNOUNCED = "dropbell.time_to_announced"
    TIME_TO_DELIVERED = "dropbell.time_to_delivered"
    DELIVERY_ATTEMPTS = "dropbell.delivery.attempts"
    CIRCUITS_OPENED = "dropbell.circuits.opened"
    CIRCUITS_CLOSED = "dropbell.circuits.closed"
    DEAD_LETTERS = "dropbell.dead_letters"
    SWEEP_FINDINGS = "dropbell.sweep.findings"
    QUOTA_REFUSALS = "dropbell.quota.refusals"
    SIGNING_KEY_LOOKUPS = "dropbell.signing_keys.lookups"
    TELEMETRY_DROPPED = "dropbell.telemetry.dropped"


SHAPES: Final[Mapping[Metric, tuple[Shape, str, str]]] = {
    Metric.FILES_ACCEPTED: (Shape.COUNTER, "{file}", "Files that became visible."),
    Metric.BYTES_ACCEPTED: (Shape.COUNTER, "By", "Their bytes."),
    Metric.TIME_TO_ANNOUNCED: (Shape.HISTOGRAM, "s", "From accepted to announced."),
    Metric.TIME_TO_DELIVERED: (Shape.HISTOGRAM, "s", "From accepted to delivered, for each subscriber."),
    Metric.DELIVERY_ATTEMPTS: (Shape.COUNTER, "{attempt}", "By outcome and channel."),
    Metric.CIRCUITS_OPENED: (Shape.COUNTER, "{circuit}", "Targets that are spared from now on."),
    Metric.CIRCUITS_CLOSED: (Shape.COUNTER, "{circuit}", "Targets that are well again."),
    Metric.DEAD_LETTERS: (
        Shape.COUNTER,
        "{message}",
        "By cause: exhausted, rejected, interrupted, unreadable.",
    ),
    Metric.SWEEP_FINDINGS: (Shape.COUNTER, "{finding}", "What the timer had to mend, by kind."),
    Metric.QUOTA_REFUSALS: (Shape.COUNTER, "{request}", "Uploads refused for a quota."),
    Metric.SIGNING_KEY_LOOKUPS: (Shape.COUNTER, "{lookup}", "By result: hit, or miss (the issuer is asked)."),
    Metric.TELEMETRY_DROPPED: (Shape.COUNTER, "{item}", "Spans and events that could not be exported."),
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one metric."""

    metric: Metric
    value: float
    dimensions: Mapping[str, str] = field(default_factory=dict)


def measure(metric: Metric, value: float = 1, **dimensions: str) -> None:
    """Count or time something in the present work; outside of any that is followed, nothing is kept."""
    span = current()
    if span is not None and span.part.is_exported:
        span.part.measurements.append(Measurement(metric, value, dimensions))
