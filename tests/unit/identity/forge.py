"""Makes tokens, good ones and such as an attacker would send, and plays the issuer that publishes keys."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.errors import UnavailableError
from shared.identity.signing_keys import SigningKeyCaches
from shared.identity.token import TokenPolicy, TokenValidator
from shared.identity.trusted_issuer import ENTRA_V1, OPENID_CONNECT, TrustedIssuer

if TYPE_CHECKING:
    import asyncio

TENANT = "abcdef11-1111-4111-8111-111111111111"
PARTNER = "abcdef11-2222-4222-8222-222222222222"
"""A second tenant that is let in."""
STRANGER = "abcdef11-3333-4333-8333-333333333333"
"""A tenant that is not."""
ISSUER = f"https://login.example/{TENANT}/v2.0"
DISCOVERY_URL = f"{ISSUER}/.well-known/openid-configuration"
V1_ISSUER = f"https://sts.example/{TENANT}/"
V1_AUDIENCE = "api://dropbell"
OIDC_ISSUER = "https://people.example/"
OIDC_AUDIENCE = "https://dropbell.example/api"
KEYS_URL = "https://login.example/keys"
AUDIENCE = "22222222-2222-4222-8222-222222222222"
USER = "33333333-3333-4333-8333-333333333333"
CLIENT = "44444444-4444-4444-8444-444444444444"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
KID = "key-1"
WEAK = "weak"
"""The name of a key of 1024 bits."""
CURVE = "curve"
"""The name of a key of curve P-256."""
DAEMON = "55555555-5555-4555-8555-555555555555"
"""A program whose app-only tokens lack the mark."""

ENTRA = TrustedIssuer(
    "https://login.example/{tid}/v2.0",
    frozenset({AUDIENCE}),
    "https://login.example/{tid}/v2.0/.well-known/openid-configuration",
    tenants=frozenset({TENANT, PARTNER}),
    app_clients=frozenset({DAEMON}),
)
ROWS = (
    ENTRA,
    TrustedIssuer(
        "https://sts.example/{tid}/",
        frozenset({V1_AUDIENCE}),
        "https://login.example/{tid}/.well-known/openid-configuration",
        ENTRA_V1,
        frozenset({TENANT}),
    ),
    TrustedIssuer(
        OIDC_ISSUER,
        frozenset({OIDC_AUDIENCE}),
        f"{OIDC_ISSUER}.well-known/openid-configuration",
        replace(OPENID_CONNECT, app_only=("gty", "client-credentials")),
        algorithms=frozenset({"RS256", "PS256", "ES256"}),
    ),
)
"""One issuer of each kind."""
DOCUMENTED = {issuer.discovery_url: issuer.name for row in ROWS for issuer in row.resolved()}


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """The key pair of this name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == WEAK else 2048)


def jwk(name: str = KID, **changes: Any) -> dict[str, Any]:
    """A published key; a change to None leaves the member out."""
    numbers = rsa_key(name).public_key().public_numbers()
    members = {"kty": "RSA", "use": "sig", "kid": name, "n": _uint(numbers.n), "e": _uint(numbers.e)}
    return {key: value for key, value in (members | changes).items() if value is not None}


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """The key pair ``CURVE``."""
    return ec.generate_private_key(ec.SECP256R1())


def ec_jwk(**changes: Any) -> dict[str, Any]:
    """The published key ``CURVE``; a change to None leaves the member out."""
    numbers = ec_key().public_key().public_numbers()
    x, y = (b64(number.to_bytes(32)) for number in (numbers.x, numbers.y))
    members = {"kty": "EC", "crv": "P-256", "use": "sig", "kid": CURVE, "x": x, "y": y}
    return {key: value for key, value in (members | changes).items() if value is not None}


def user_claims(**changes: Any) -> dict[str, Any]:
    """Claims of a delegated token; a change to None leaves the claim out."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": NOW_SECONDS - 10,
        "nbf": NOW_SECONDS - 10,
        "exp": NOW_SECONDS + 3600,
        "tid": TENANT,
        "oid": USER,
        "azp": CLIENT,
        "ver": "2.0",
        "scp": "Files.Read",
    }
    return {key: value for key, value in (claims | changes).items() if value is not None}


def app_claims(**changes: Any) -> dict[str, Any]:
    """Claims of an app-only token."""
    return user_claims(**{"scp": None, "idtyp": "app", "roles": ["Files.Read.All"]} | changes)


def v1_claims(**changes: Any) -> dict[str, Any]:
    """Claims of a delegated token of Entra's version 1.0."""
    entra = {"iss": V1_ISSUER, "aud": V1_AUDIENCE, "ver": "1.0", "azp": None, "appid": CLIENT}
    return user_claims(**entra | changes)


def oidc_claims(**changes: Any) -> dict[str, Any]:
    """Claims of a user's token of a plain OpenID Connect issuer."""
    claims = {
        "iss": OIDC_ISSUER,
        "aud": [OIDC_AUDIENCE, f"{OIDC_ISSUER}userinfo"],
        "iat": NOW_SECONDS - 10,
        "exp": NOW_SECONDS + 3600,
        "sub": "people|7",
        "azp": "web",
        "scope": "openid Files.Read",
    }
    return {key: value for key, value in (claims | changes).items() if value is not None}


def token(claims: object, *, signed_by: str = KID, **header: Any) -> str:
    """A token signed with RS256 whatever its header says; a header change to None leaves the member out."""
    members = {"typ": "JWT", "alg": "RS256", "kid": KID} | header
    return signed(
        json_bytes({k: v for k, v in members.items() if v is not None}), json_bytes(claims), signed_by
    )


def signed(header: bytes, payload: bytes, signed_by: str = KID, signature_bytes: int = 256) -> str:
    """A token of any bytes."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    signature = rsa_key(signed_by).sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{b64(signature[:signature_bytes])}"


def token_by(algorithm: str, claims: object, signed_by: str, **header: Any) -> str:
    """A token signed with PS256 or ES256."""
    members = {"typ": "JWT", "alg": algorithm, "kid": signed_by} | header
    signing_input = f"{b64(json_bytes(members))}.{b64(json_bytes(claims))}"
    content = signing_input.encode()
    if algorithm == "ES256":
        numbers = decode_dss_signature(ec_key().sign(content, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32) for number in numbers)
    else:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        signature = rsa_key(signed_by).sign(content, pss, hashes.SHA256())
    return f"{signing_input}.{b64(signature)}"


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _uint(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))


class FakeClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


HONEST = object()


class FakeIssuer:
    """shared.ports.JsonSource: answers with its documents, or not at all, and counts what it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.discovery: object = HONEST
        """Takes the place of every discovery document."""
        self.key_set: object = {"keys": list(keys or [jwk()])}
        self.down = False
        self.key_fetches = 0
        self.asked = 0
        self.gate: asyncio.Event | None = None
        """While set, answers wait until it opens."""

    async def fetch_json(self, url: str) -> object:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise UnavailableError("The issuer did not answer.", reason="down")
        if url in DOCUMENTED:
            honest = {"issuer": DOCUMENTED[url], "jwks_uri": KEYS_URL}
            return honest if self.discovery is HONEST else self.discovery
        assert url == KEYS_URL
        self.key_fetches += 1
        return self.key_set


def validator_of(
    *rows: TrustedIssuer, source: FakeIssuer | None = None, clock: FakeClock | None = None, **policy: Any
) -> TokenValidator:
    """A validator that trusts ``rows``, or one issuer of each kind."""
    clock = clock or FakeClock()
    keys = SigningKeyCaches(source or FakeIssuer(jwk(), ec_jwk()), clock)
    return TokenValidator(TokenPolicy(rows or ROWS, **policy), keys, clock)
