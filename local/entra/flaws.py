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

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from local.entra.oauth_error import OAuthError
from local.entra.signing import ALGORITHM, SigningKey
from local.entra.tokens import signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.entra.tokens import Claims

_HOUR_SECONDS = 3600
_ANOTHER_TENANT = "0f9d7c86-2b57-4d7e-8f43-9a51c3a4b7d0"
_MICROSOFT_GRAPH = "00000003-0000-0000-c000-000000000000"
_ANOTHER_API = "7f6c1b52-6a0e-4a0e-9d4b-3a3f0c6d2e11"


class Flaw(StrEnum):
    """What is wrong with the token; all else about it is right. docs/identity.md explains each."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    AUDIENCE_LIST = "audience_list"
    GRAPH = "graph"
    V1 = "v1"
    OTHER_TENANT = "other_tenant"
    TENANT_MISMATCH = "tenant_mismatch"
    TENANT_NOT_A_GUID = "tenant_not_a_guid"
    WRONG_SCOPE = "wrong_scope"
    NO_GRANT = "no_grant"
    APP_WITH_SCOPES = "app_with_scopes"
    APP_WITHOUT_IDTYP = "app_without_idtyp"
    DUPLICATE_CLAIM = "duplicate_claim"
    HUGE = "huge"
    REVOKED_KEY = "revoked_key"
    KEY_IN_HEADER = "key_in_header"
    KEY_ADDRESS_IN_HEADER = "key_address_in_header"
    CRITICAL_HEADER = "critical_header"
    TAMPERED = "tampered"
    TRUNCATED_SIGNATURE = "truncated_signature"
    WRONG_KEY = "wrong_key"
    UNSIGNED = "unsigned"
    UNKNOWN_KID = "unknown_kid"
    HS256_PUBLIC_KEY = "hs256_public_key"


def flawed(claims: Claims, key: SigningKey, flaw: Flaw) -> str:
    """A token of ``claims`` that has ``flaw``; ``key`` is the issuer's active key.

    Raises OAuthError when the caller's kind of token cannot have it.
    """
    if flaw in _CLAIM_FLAWS:
        changed = claims | _CLAIM_FLAWS[flaw](claims)
        present = {name: value for name, value in changed.items() if value is not None}
        if present == claims:
            raise OAuthError("invalid_request", f"The flaw {flaw} is for tokens of apps.")
        return signed(present, key)
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


def _audience_list(claims: Claims) -> Claims:
    return {"aud": [claims["aud"], _ANOTHER_API]}


def _v1(claims: Claims) -> Claims:
    """Version 1.0, which an API gets that does not ask for version 2 in its registration."""
    return {
        "iss": f"https://sts.windows.net/{claims['tid']}/",
        "aud": f"api://{claims['aud']}",
        "ver": "1.0",
        "appid": claims["azp"],
        "appidacr": claims["azpacr"],
        "azp": None,
        "azpacr": None,
    }


def _other_tenant(claims: Claims) -> Claims:
    return {"iss": claims["iss"].replace(claims["tid"], _ANOTHER_TENANT), "tid": _ANOTHER_TENANT}


def _tenant_mismatch(_claims: Claims) -> Claims:
    return {"tid": _ANOTHER_TENANT}


def _tenant_not_a_guid(_claims: Claims) -> Claims:
    return {"tid": "common"}


def _wrong_scope(claims: Claims) -> Claims:
    """Names that look like grants and are none. Such a token proves who calls and permits nothing."""
    if "scp" in claims:
        return {"scp": "files.read files.readwrite Files.ReadWriteX", "roles": None}
    return {"roles": ["files.readwrite.all", "Files.ReadWrite"]}


def _no_grant(_claims: Claims) -> Claims:
    return {"scp": None, "roles": None}


def _app_with_scopes(claims: Claims) -> Claims:
    return {"idtyp": "app", "scp": claims.get("scp", "Files.ReadWrite")}


def _app_without_idtyp(_claims: Claims) -> Claims:
    return {"idtyp": None}


def _huge(_claims: Claims) -> Claims:
    """Twice as long as the API reads; short enough for most web servers' limit of header fields."""
    return {"groups": "x" * 24_000}


@cache
def _stranger() -> SigningKey:
    return SigningKey.generate()


def _wrong_key(claims: Claims, key: SigningKey) -> str:
    """Signed by a stranger's key under the issuer's key id."""
    return signed(claims, SigningKey(_stranger().private_key, key.kid))


def _unknown_kid(claims: Claims, key: SigningKey) -> str:
    return signed(claims, SigningKey(key.private_key, secrets.token_urlsafe(20)))


def _revoked_key(claims: Claims, _key: SigningKey) -> str:
    """Signed by a key of its own that is not published any more."""
    return signed(claims, _stranger())


def _key_in_header(claims: Claims, key: SigningKey) -> str:
    """The token brings the key that it was signed with (RFC 7515 §4.1.3)."""
    return signed(claims, SigningKey(_stranger().private_key, key.kid), jwk=_stranger().public_jwk())


def _key_address_in_header(claims: Claims, key: SigningKey) -> str:
    """The token says where to fetch its key (RFC 7515 §4.1.2 and §4.1.5)."""
    address = "https://attacker.example/keys"
    return signed(claims, SigningKey(_stranger().private_key, key.kid), jku=address, x5u=address)


def _critical_header(claims: Claims, key: SigningKey) -> str:
    """An extension that must be understood or the token refused (RFC 7515 §4.1.11)."""
    header = {"typ": "JWT", "alg": ALGORITHM, "kid": key.kid, "crit": ["exp2"], "exp2": 0}
    return _signed_input(_signing_input(header, claims), key)


def _graph(claims: Claims, key: SigningKey) -> str:
    """Microsoft signs these over another header than the one sent, so that only Graph can verify them."""
    return signed(claims | {"aud": _MICROSOFT_GRAPH}, key, nonce=secrets.token_urlsafe(32))


def _duplicate_claim(claims: Claims, key: SigningKey) -> str:
    header = json.dumps({"typ": "JWT", "alg": ALGORITHM, "kid": key.kid}).encode()
    payload = b'{"aud":"' + _ANOTHER_API.encode() + b'",' + json.dumps(claims).encode()[1:]
    return _signed_input(f"{_base64url(header)}.{_base64url(payload)}", key)


def _tampered(claims: Claims, key: SigningKey) -> str:
    """The payload was changed after signing."""
    header, _, signature = signed(claims, key).split(".")
    payload = json.dumps(claims | {"exp": claims["exp"] + _HOUR_SECONDS}).encode()
    return f"{header}.{_base64url(payload)}.{signature}"


def _truncated_signature(claims: Claims, key: SigningKey) -> str:
    return signed(claims, key)[:-2]


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
    Flaw.AUDIENCE_LIST: _audience_list,
    Flaw.V1: _v1,
    Flaw.OTHER_TENANT: _other_tenant,
    Flaw.TENANT_MISMATCH: _tenant_mismatch,
    Flaw.TENANT_NOT_A_GUID: _tenant_not_a_guid,
    Flaw.WRONG_SCOPE: _wrong_scope,
    Flaw.NO_GRANT: _no_grant,
    Flaw.APP_WITH_SCOPES: _app_with_scopes,
    Flaw.APP_WITHOUT_IDTYP: _app_without_idtyp,
    Flaw.HUGE: _huge,
}
_SIGNATURE_FLAWS: dict[Flaw, Callable[[Claims, SigningKey], str]] = {
    Flaw.WRONG_KEY: _wrong_key,
    Flaw.UNSIGNED: _unsigned,
    Flaw.UNKNOWN_KID: _unknown_kid,
    Flaw.HS256_PUBLIC_KEY: _hs256_public_key,
    Flaw.GRAPH: _graph,
    Flaw.DUPLICATE_CLAIM: _duplicate_claim,
    Flaw.REVOKED_KEY: _revoked_key,
    Flaw.KEY_IN_HEADER: _key_in_header,
    Flaw.KEY_ADDRESS_IN_HEADER: _key_address_in_header,
    Flaw.CRITICAL_HEADER: _critical_header,
    Flaw.TAMPERED: _tampered,
    Flaw.TRUNCATED_SIGNATURE: _truncated_signature,
}


def _signing_input(header: Claims, claims: Claims) -> str:
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
    return ".".join(_base64url(part) for part in parts)


def _signed_input(signing_input: str, key: SigningKey) -> str:
    """A token of any bytes; PyJWT rightly refuses to make some of them."""
    signature = key.private_key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{_base64url(signature)}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
