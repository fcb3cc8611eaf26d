"""``Sink`` on Application Insights, through Microsoft's OpenTelemetry exporter.

Work hands its spans over as plain values and goes on. A thread of its own turns them into OpenTelemetry's
objects and sends them, a few seconds later, so that:

- nothing here can slow down or fail a request: what does not fit the queue is dropped and counted, an
  endpoint that hangs holds up the thread and nobody else;
- a cold start does not pay for the import of the exporter (about half a second): the thread does it once the
  first request has been answered.

``azure-monitor-opentelemetry``'s own set-up is not used: it imports, instruments and samples before the first
request, and its processors decide span by span. Its exporters are; they define what arrives.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.adapters.azure_monitor_export import Exporters
    from shared.telemetry.recorder import Export

MAX_WAITING: Final = 4096
"""Pieces of work that wait to be exported; a minute of a busy instance."""
CLOSE_SECONDS: Final = 2.0
"""As long as the end of the process waits for the last of it."""
_SWITCHES: Final = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
)
"""What the exporter tells Microsoft about itself, and asks it. It knows no other way to turn this off."""

_logger = logging.getLogger("dropbell.telemetry")


class AzureMonitor:
    """Exports from a thread of its own, which starts with the first thing to export."""

    def __init__(
        self,
        connection_string: str,
        *,
        identity_client_id: str | None = None,
        interval_seconds: float = 5.0,
        metric_interval_seconds: float = 60.0,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Take where to send and how often.

        ``identity_client_id`` names the managed identity to send as, empty for the system-assigned one; None
        to send with the connection string alone.
        """
        self._connection_string = connection_string
        self._identity_client_id = identity_client_id
        self._interval_seconds = interval_seconds
        self._metric_interval_seconds = metric_interval_seconds
        self._waiting: deque[Export] = deque()
        self._max_waiting = max_waiting
        self._dropped = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, export: Export) -> None:
        """See ``Sink``."""
        if self._closing.is_set():
            return
        if len(self._waiting) >= self._max_waiting:
            self._dropped += 1
            return
        self._waiting.append(export)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="export-telemetry")
            self._thread.start()
            atexit.register(self.close)

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Export what is left, for so long at the most; returns whether it got that far."""
        self._closing.set()
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._wake.wait(self._interval_seconds)  # the first request comes first
        exporters = self._open()
        if exporters is None:
            return
        metrics_due = time.monotonic() + self._metric_interval_seconds
        while True:
            is_last = self._closing.is_set()
            self._export_waiting(exporters)
            if is_last or time.monotonic() >= metrics_due:
                self._attempt(exporters.export_metrics)
                metrics_due = time.monotonic() + self._metric_interval_seconds
            if is_last:
                return
            self._wake.wait(self._interval_seconds)

    def _open(self) -> Exporters | None:
        for switch in _SWITCHES:
            os.environ.setdefault(switch, "true")
        try:
            from shared.adapters.azure_monitor_export import Exporters

            return Exporters(
                self._connection_string,
                identity_client_id=self._identity_client_id,
                instance=f"{platform.node()}/{os.getpid()}",
            )
        except Exception as error:  # noqa: BLE001 - telemetry that cannot be set up must not end anything else
            self._complain("telemetry cannot be set up", error)
            self._closing.set()
            self._waiting.clear()
            return None

    def _export_waiting(self, exporters: Exporters) -> None:
        batch: list[Export] = []
        while self._waiting:
            batch.append(self._waiting.popleft())
        dropped, self._dropped = self._dropped, 0
        self._attempt(lambda: exporters.export(batch, dropped))

    def _attempt(self, export: Callable[[], None]) -> None:
        try:
            export()
        except Exception as error:  # noqa: BLE001 - as above: the next batch may fare better
            self._complain("telemetry was not exported", error)

    def _complain(self, what: str, error: Exception) -> None:
        _logger.warning("%s: %s", what, type(error).__name__)
