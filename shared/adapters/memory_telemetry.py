"""The memory twin of ``azure_monitor``: keeps what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.telemetry.recorder import Export
    from shared.telemetry.spans import Happening, Span


class MemoryTelemetry:
    """``Sink`` that can be asked what it was given."""

    def __init__(self) -> None:
        self.exports: list[Export] = []

    def take(self, export: Export) -> None:
        """See ``Sink``."""
        self.exports.append(export)

    @property
    def spans(self) -> Sequence[Span]:
        """All spans, in the order in which their work ended."""
        return [span for export in self.exports for span in export.spans]

    @property
    def happenings(self) -> Sequence[Happening]:
        """All events."""
        return [happening for export in self.exports for happening, _ in export.happenings]

    @property
    def measured(self) -> dict[str, list[float]]:
        """The values of each metric."""
        found: dict[str, list[float]] = {}
        for export in self.exports:
            for measurement in export.measurements:
                found.setdefault(measurement.metric.value, []).append(measurement.value)
        return found
