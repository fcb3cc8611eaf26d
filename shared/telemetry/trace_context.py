"""W3C Trace Context: the one trace that follows a file (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Self

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A position in a trace: the trace and the span that is the parent of what comes next."""

    trace_id: str
    """32 hexadecimal digits, not all zero."""
    span_id: str
    """16 hexadecimal digits, not all zero."""

    @classmethod
    def start(cls) -> Self:
        """A new trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @classmethod
    def parse(cls, traceparent: str | None) -> Self | None:
        """Read a ``traceparent`` field; None when it is absent or malformed (§3.2.2.3: ignore it then).

        The caller's sampling flag is dropped on purpose: a client must not be able to switch telemetry off.
        """
        match = _TRACEPARENT.fullmatch(traceparent or "")
        if match is None:
            return None
        version, trace_id, span_id, _flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id)

    def child(self) -> Self:
        """The next span of the same trace."""
        return type(self)(self.trace_id, secrets.token_hex(8))

    @property
    def traceparent(self) -> str:
        """The field's value, version 00, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"
