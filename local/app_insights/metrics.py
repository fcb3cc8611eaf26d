"""The metrics: the latest value of each series, and as much of its past as a sparkline shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from local.app_insights.envelopes import Envelope

MAX_SERIES = 500
MAX_POINTS = 240
"""Of one series: four hours, at one export a minute."""


@dataclass(frozen=True, slots=True)
class Point:
    """One export: the sum of what was measured since the one before, how often, and its extremes."""

    at: datetime
    value: float
    count: int
    minimum: float | None
    maximum: float | None

    def to_json(self) -> dict[str, object]:
        """The point as the API shows it."""
        return {
            "time": rfc3339(self.at),
            "value": self.value,
            "count": self.count,
            "min": self.minimum,
            "max": self.maximum,
        }


@dataclass(slots=True)
class Series:
    """One metric with one set of dimensions."""

    name: str
    dimensions: dict[str, str]
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    total: float = 0.0
    total_count: int = 0

    def add(self, point: Point) -> None:
        """Take the next export."""
        self.points.append(point)
        self.total += point.value
        self.total_count += point.count

    def to_json(self) -> dict[str, object]:
        """The series as the API shows it: the latest point, the sums since the beginning, the past."""
        return {
            "name": self.name,
            "dimensions": self.dimensions,
            **self.points[-1].to_json(),
            "total": self.total,
            "total_count": self.total_count,
            "history": [point.to_json() for point in self.points],
        }


class MetricStore:
    """Every series, at most ``MAX_SERIES`` of them; the one that was quiet for longest goes first."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, frozenset[tuple[str, str]]], Series] = {}

    def __iter__(self) -> Iterator[Series]:
        """Iterate by name and dimensions."""
        in_order = sorted(
            self._series.values(), key=lambda each: (each.name, sorted(each.dimensions.items()))
        )
        return iter(in_order)

    def add(self, envelope: Envelope) -> None:
        """Take the points of one envelope; what is no number is passed over."""
        found = envelope.base.get("metrics")
        for metric in found if isinstance(found, list) else []:
            if isinstance(metric, dict) and _number(metric.get("value")) is not None:
                self._add(envelope, metric)

    def _add(self, envelope: Envelope, metric: dict[str, Any]) -> None:
        name = str(metric.get("name"))
        dimensions = dict(envelope.properties)
        key = (name, frozenset(dimensions.items()))
        series = self._series.pop(key, None) or Series(name, dimensions)
        self._series[key] = series  # the newest last
        count = _number(metric.get("count"))
        series.add(
            Point(
                at=envelope.started_at,
                value=_number(metric.get("value")) or 0.0,
                count=1 if count is None else int(count),
                minimum=_number(metric.get("min")),
                maximum=_number(metric.get("max")),
            )
        )
        while len(self._series) > MAX_SERIES:
            del self._series[next(iter(self._series))]


def rfc3339(moment: datetime) -> str:
    """Return ``moment``, which is in UTC, as RFC 3339 with microseconds."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
