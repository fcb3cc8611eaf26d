"""Makes tokens, good ones and such as an attacker would send, and plays the issuer that publishes keys."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.errors import UnavailableError

if TYPE_CHECKING:
    import asyncio

ISSUER = "https://login.example/abcdef11-1111-4111-8111-111111111111/v2.0"
DISCOVERY_URL = f"{ISSUER}/.well-known/openid-configuration"
KEYS_URL = "https://login.example/keys"
TENANT = "abcdef11-1111-4111-8111-111111111111"
AUDIENCE = "22222222-2222-4222-8222-222222222222"
USER = "33333333-3333-4333-8333-333333333333"
CLIENT = "44444444-4444-4444-8444-444444444444"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
KID = "key-1"
WEAK = "weak"
"""The name of a key of 1024 bits."""


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """The key pair of this name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == WEAK else 2048)


def jwk(name: str = KID, **changes: Any) -> dict[str, Any]:
    """A published key; a change to None leaves the member out."""
    numbers = rsa_key(name).public_key().public_numbers()
    members = {"kty": "RSA", "use": "sig", "kid": name, "n": _uint(numbers.n), "e": _uint(numbers.e)}
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


class FakeIssuer:
    """shared.ports.JsonSource: answers with its documents, or not at all, and counts what it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.discovery: object = {"issuer": ISSUER, "jwks_uri": KEYS_URL}
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
        if url == DISCOVERY_URL:
            return self.discovery
        assert url == KEYS_URL
        self.key_fetches += 1
        return self.key_set
