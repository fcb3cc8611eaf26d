"""Entity tags of the API (RFC 9110 §8.8.3)."""

from __future__ import annotations

import hashlib

_TAG_HEX_DIGITS = 20


def entity_tag(row_etag: str) -> str:
    """A strong tag for the state of a row, quotes included.

    The Table service's own tag is weak and holds the time of change; If-Match compares strongly (§13.1.1).
    """
    return f'"{hashlib.sha256(row_etag.encode()).hexdigest()[:_TAG_HEX_DIGITS]}"'
