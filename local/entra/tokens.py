"""What Entra puts into its v2.0 tokens, and how they are signed.

https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from local.entra.signing import ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.entra.directory import App, Directory, User
    from local.entra.signing import SigningKey

type Claims = dict[str, Any]

_ID_TOKEN_LIFETIME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Validity:
    """When a token is issued and how long it holds."""

    now_seconds: int
    lifetime_seconds: int

    def claims(self) -> Claims:
        """``iat``, ``nbf`` and ``exp``."""
        return {
            "iat": self.now_seconds,
            "nbf": self.now_seconds,
            "exp": self.now_seconds + self.lifetime_seconds,
        }


@dataclass(frozen=True, slots=True)
class Tenant:
    """The directory and the name under which it issues tokens."""

    directory: Directory
    issuer: str

    def user_claims(
        self, user: User, client: App, scopes: Sequence[str], roles: Sequence[str], validity: Validity
    ) -> Claims:
        """Access token of a user who signed in to ``client``: scopes, and the app roles of the user."""
        claims = self._access_claims(user.object_id, client, validity) | {
            "name": user.display_name,
            "preferred_username": user.preferred_username,
            "sub": pairwise_subject(self.directory.api.client_id, user.object_id),
        }
        if scopes:
            claims["scp"] = " ".join(scopes)
        if roles:
            claims["roles"] = list(roles)
        return claims

    def app_claims(self, client: App, roles: Sequence[str], validity: Validity) -> Claims:
        """Access token of an application in its own name: app roles, no scopes."""
        claims = self._access_claims(client.object_id, client, validity)
        claims |= {"idtyp": "app", "sub": client.object_id}
        if roles:
            claims["roles"] = list(roles)
        return claims

    def id_claims(self, user: User, client: App, nonce: str | None, now_seconds: int) -> Claims:
        """ID token: tells ``client`` who signed in (OpenID Connect Core §2)."""
        claims = Validity(now_seconds, _ID_TOKEN_LIFETIME_SECONDS).claims() | {
            "aud": client.client_id,
            "iss": self.issuer,
            "name": user.display_name,
            "oid": user.object_id,
            "preferred_username": user.preferred_username,
            "rh": _opaque(),
            "sub": pairwise_subject(client.client_id, user.object_id),
            "tid": self.directory.tenant_id,
            "uti": _opaque(),
            "ver": "2.0",
        }
        return claims | {"nonce": nonce} if nonce else claims

    def client_info(self, user: User) -> str:
        """MSAL's account key (``uid.utid``), as base64url JSON beside the tokens."""
        return _base64url(json.dumps({"uid": user.object_id, "utid": self.directory.tenant_id}).encode())

    def _access_claims(self, object_id: str, client: App, validity: Validity) -> Claims:
        return validity.claims() | {
            "aud": self.directory.api.client_id,
            "iss": self.issuer,
            "aio": _opaque(),
            "azp": client.client_id,
            "azpacr": "1" if client.is_confidential else "0",
            "oid": object_id,
            "rh": _opaque(),
            "tid": self.directory.tenant_id,
            "uti": _opaque(),
            "ver": "2.0",
        }


def pairwise_subject(audience: str, object_id: str) -> str:
    """A ``sub`` that differs from one audience to the next (OpenID Connect Core §8.1)."""
    return _base64url(hashlib.sha256(f"{audience}/{object_id}".encode()).digest())


def signed(claims: Claims, key: SigningKey, **header: Any) -> str:
    """The claims as a signed token; ``header`` adds members to its header."""
    return jwt.encode(claims, key.private_key, algorithm=ALGORITHM, headers={"kid": key.kid} | header)


def _opaque() -> str:
    return secrets.token_urlsafe(16)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
