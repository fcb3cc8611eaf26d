"""W3C Trace Context: the client starts the trace that runs to the last delivery."""

from __future__ import annotations

import secrets


def new_traceparent() -> str:
    """Make a ``traceparent`` header for a new, sampled trace (W3C Trace Context §3.2)."""
    trace_id = _nonzero_hex(16)
    parent_id = _nonzero_hex(8)
    return f"00-{trace_id}-{parent_id}-01"


def _nonzero_hex(size_bytes: int) -> str:
    # All zeroes means "invalid" in both fields.
    bits = 8 * size_bytes
    return f"{secrets.randbelow(2**bits - 1) + 1:0{2 * size_bytes}x}"
