"""What the host writes to standard output, and what it leaves out.

A line is ``[time] message`` and nothing else, as Azure Functions Core Tools write it, so that scripts
that look for a function's log lines find them here too.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
"""``logging.logLevel`` of host.json in Python's numbers."""


class Console:
    """Writes lines whose category is enabled at their level."""

    def __init__(self, log_levels: Mapping[str, str] | None = None, stream: TextIO | None = None) -> None:
        self._rules = {
            category: LEVELS.get(level.lower(), logging.INFO)
            for category, level in (log_levels or {}).items()
        }
        self._stream = stream or sys.stdout
        self._thresholds: dict[str, int] = {}

    def write(self, level: int, category: str, message: str) -> None:
        """Write one record as one line (plus the lines that the message itself has)."""
        if level < self._threshold(category):
            return
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self._stream.write(f"[{stamp}Z] {message}\n")
        self._stream.flush()

    def _threshold(self, category: str) -> int:
        if category not in self._thresholds:
            self._thresholds[category] = threshold(self._rules, category)
        return self._thresholds[category]


def threshold(rules: Mapping[str, int], category: str) -> int:
    """The lowest level that a category shows: its longest matching rule, else ``default``, else all."""
    matching = [name for name in rules if category == name or category.startswith(f"{name}.")]
    if matching:
        return rules[max(matching, key=len)]
    return rules.get("default", logging.NOTSET)


class ConsoleHandler(logging.Handler):
    """Lets the host's own modules use ``logging``."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record under the category of the host."""
        self._console.write(record.levelno, "Host", self.format(record))


def log_to(console: Console) -> None:
    """Send the records of this process to the console; the Azure SDKs' own noise is left out."""
    logging.basicConfig(handlers=[ConsoleHandler(console)], level=logging.INFO, force=True)
    # The listeners report an outage once, in a sentence; the SDKs report it at every attempt.
    for name in ("azure", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
