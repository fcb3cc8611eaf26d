"""The fields Content-Digest and Repr-Digest (RFC 9530 §2, §3): structured dictionaries (RFC 9651)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import http_sf

from shared.errors import InvalidRequestError
from shared.files.digest import DigestAlgorithm

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from shared.files.digest import Digests

_WANTED = "sha-256=10, sha-512=3"
"""Preferences from 0 to 10 (RFC 9530 §4)."""


def digests(headers: Headers, name: str) -> Digests:
    """What the field announces, by algorithm; empty when it is not there.

    Algorithms that are not known are passed over as long as there is one that is. Raises InvalidRequestError
    (``invalid-digest``).
    """
    values = headers.getlist(name)
    if not values:
        return {}
    try:
        members = http_sf.parse(", ".join(values).encode("latin-1"), tltype="dictionary")
    except ValueError:
        raise _invalid(name, "is not a dictionary of byte sequences") from None
    if not isinstance(members, dict):
        raise TypeError("a structured dictionary was expected")
    found: dict[DigestAlgorithm, bytes] = {}
    for algorithm in DigestAlgorithm:
        if algorithm in members:
            member = members[algorithm]
            value = member[0] if isinstance(member, tuple) else None
            if not isinstance(value, bytes) or len(value) != algorithm.size_bytes:
                raise _invalid(name, f"has no {algorithm} digest of {algorithm.size_bytes} bytes")
            found[algorithm] = value
    if not found:
        raise _invalid(name, "names no algorithm that is known here: sha-256, sha-512")
    return found


def repr_digest(sha256: str) -> str:
    """The Repr-Digest field of a file, from its SHA-256 in hexadecimal."""
    return http_sf.ser({DigestAlgorithm.SHA_256.value: bytes.fromhex(sha256)})


def _invalid(name: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{name} {why}; write it as: sha-256=:<base64>: (RFC 9530).",
        code="invalid-digest",
        headers={f"want-{name.lower()}": _WANTED},
    )
