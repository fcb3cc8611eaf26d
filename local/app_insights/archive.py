"""The telemetry as a file of JSON lines, one envelope each, so that a restart shows the same traces."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from local.app_insights.envelopes import Envelope, InvalidEnvelope, read_envelope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)


class Archive:
    """One append-only file, made shorter by ``rewrite``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes = 0
        """Of the lines that were written since the last ``rewrite``, and of those."""

    def load(self) -> list[Envelope]:
        """Return all envelopes in the order in which they came; a line that a crash cut short is skipped."""
        if not self._path.exists():
            return []
        envelopes = []
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            try:
                envelopes.append(read_envelope(json.loads(line)))
            except (InvalidEnvelope, ValueError):
                log.warning("archive line %d cannot be read and is skipped", number)
        return envelopes

    def append(self, envelopes: Iterable[Envelope]) -> None:
        """Write the envelopes of one batch."""
        text = b"".join(map(_line, envelopes))
        with self._path.open("ab") as file:
            file.write(text)
        self.size_bytes += len(text)

    def rewrite(self, envelopes: Iterable[Envelope]) -> None:
        """Replace the file atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        self.size_bytes = 0
        with fresh.open("wb") as file:
            for envelope in envelopes:
                self.size_bytes += file.write(_line(envelope))
        fresh.replace(self._path)


def _line(envelope: Envelope) -> bytes:
    return json.dumps(envelope.raw).encode() + b"\n"
