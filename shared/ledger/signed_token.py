"""Texts that clients carry for us and cannot make up or change: cursors, links."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_MAC_BYTES = 16
"""128 bits: nobody guesses one (RFC 2104 §5)."""


class Signer:
    """Signs for one purpose; a text made for another one is not believed."""

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = hmac.digest(key, b"dropbell " + purpose.encode(), hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        """A URL-safe text that holds ``payload``, readable by anybody, and its signature."""
        return base64.urlsafe_b64encode(self._mac(payload) + payload).decode().rstrip("=")

    def read(self, text: str) -> bytes | None:
        """The payload; None for anything that ``sign`` did not make. Compares in constant time."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload = raw[_MAC_BYTES:]
        return payload if hmac.compare_digest(self.sign(payload).encode(), text.encode()) else None

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)[:_MAC_BYTES]
