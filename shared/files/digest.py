"""Digests of content on its way through (RFC 9530), and their comparison with what was announced."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.errors import UnprocessableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class DigestAlgorithm(StrEnum):
    """The algorithms of RFC 9530 §5 that are fit against an adversary."""

    SHA_256 = "sha-256"
    SHA_512 = "sha-512"

    @property
    def size_bytes(self) -> int:
        """Length of a digest."""
        return {DigestAlgorithm.SHA_256: 32, DigestAlgorithm.SHA_512: 64}[self]


type Digests = Mapping[DigestAlgorithm, bytes]


class RunningDigest:
    """Size and SHA-256 of what passes, and whatever else it has to be compared with at the end."""

    def __init__(self, *expected: Digests) -> None:
        self._expected = [pair for digests in expected for pair in digests.items()]
        self._sha256 = hashlib.sha256()
        wants_sha512 = any(algorithm is DigestAlgorithm.SHA_512 for algorithm, _ in self._expected)
        self._sha512 = hashlib.sha512() if wants_sha512 else None
        self.size_bytes = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(chunk)
        self._sha256.update(chunk)
        if self._sha512 is not None:
            self._sha512.update(chunk)

    @property
    def sha256(self) -> str:
        """Of all bytes so far, 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def check(self) -> None:
        """Raise UnprocessableError (``digest-mismatch``) unless all bytes so far are those announced."""
        actual = {DigestAlgorithm.SHA_256: self._sha256, DigestAlgorithm.SHA_512: self._sha512}
        for algorithm, expected in self._expected:
            running = actual[algorithm]
            if running is None or not hmac.compare_digest(running.digest(), expected):
                raise UnprocessableError(
                    f"The bytes that arrived have another {algorithm} digest than announced.",
                    code="digest-mismatch",
                )
