"""Tokens with one flaw each, for tests of whoever validates tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from local.entra.signing import SigningKey
from local.entra.tokens import signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.entra.tokens import Claims

_HOUR_SECONDS = 3600
_ANOTHER_API = "7f6c1b52-6a0e-4a0e-9d4b-3a3f0c6d2e11"


class Flaw(StrEnum):
    """What is wrong with the token; all else about it is right."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_KEY = "wrong_key"
    UNSIGNED = "unsigned"
    UNKNOWN_KID = "unknown_kid"
    HS256_PUBLIC_KEY = "hs256_public_key"


def flawed(claims: Claims, key: SigningKey, flaw: Flaw) -> str:
    """A token of ``claims`` that has ``flaw``; ``key`` is the issuer's active key."""
    if flaw in _CLAIM_FLAWS:
        return signed(claims | _CLAIM_FLAWS[flaw](claims), key)
    return _SIGNATURE_FLAWS[flaw](claims, key)


def _shifted(claims: Claims, seconds: int) -> Claims:
    return {name: claims[name] + seconds for name in ("iat", "nbf", "exp")}


def _expired(claims: Claims) -> Claims:
    return _shifted(claims, claims["iat"] - claims["exp"] - _HOUR_SECONDS)


def _not_yet_valid(claims: Claims) -> Claims:
    return _shifted(claims, _HOUR_SECONDS)


def _wrong_issuer(claims: Claims) -> Claims:
    return {"iss": claims["iss"].replace(claims["tid"], str(uuid.uuid4()))}


def _wrong_audience(_claims: Claims) -> Claims:
    return {"aud": _ANOTHER_API}


@cache
def _stranger() -> SigningKey:
    return SigningKey.generate()


def _wrong_key(claims: Claims, key: SigningKey) -> str:
    """Signed by a stranger's key under the issuer's key id."""
    return signed(claims, SigningKey(_stranger().private_key, key.kid))


def _unknown_kid(claims: Claims, key: SigningKey) -> str:
    return signed(claims, SigningKey(key.private_key, secrets.token_urlsafe(20)))


def _unsigned(claims: Claims, key: SigningKey) -> str:
    """RFC 7519 §6: algorithm none and an empty signature."""
    return _signing_input({"typ": "JWT", "alg": "none", "kid": key.kid}, claims) + "."


def _hs256_public_key(claims: Claims, key: SigningKey) -> str:
    """The public key taken for an HMAC secret (RFC 8725 §2.1); PyJWT rightly refuses to make one."""
    signing_input = _signing_input({"typ": "JWT", "alg": "HS256", "kid": key.kid}, claims)
    digest = hmac.digest(key.public_pem(), signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{_base64url(digest)}"


_CLAIM_FLAWS: dict[Flaw, Callable[[Claims], Claims]] = {
    Flaw.EXPIRED: _expired,
    Flaw.NOT_YET_VALID: _not_yet_valid,
    Flaw.WRONG_ISSUER: _wrong_issuer,
    Flaw.WRONG_AUDIENCE: _wrong_audience,
}
_SIGNATURE_FLAWS: dict[Flaw, Callable[[Claims, SigningKey], str]] = {
    Flaw.WRONG_KEY: _wrong_key,
    Flaw.UNSIGNED: _unsigned,
    Flaw.UNKNOWN_KID: _unknown_kid,
    Flaw.HS256_PUBLIC_KEY: _hs256_public_key,
}


def _signing_input(header: Claims, claims: Claims) -> str:
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
    return ".".join(_base64url(part) for part in parts)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
