"""From the claims of a verified token to a principal: every check that needs no signature and no network.

The claims are those of Entra ID v2 access tokens:
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference and …/claims-validation
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.identity.challenge import token_refused
from shared.identity.permissions import APP_ROLES, OPERATOR_ROLES, SCOPES, granted_by
from shared.identity.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.identity.permissions import Permission

MAX_LEEWAY_SECONDS: Final = 300
"""Most that clocks may be apart (Entra's own validation libraries allow five minutes)."""

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_VERSION: Final = "2.0"


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens are believed.

    Args:
        issuer: The one value that ``iss`` may have, compared exactly.
        audiences: The values that ``aud`` may have: the client ids of this API.
        discovery_url: The issuer's OpenID Connect discovery document, which leads to its signing keys.
        leeway_seconds: How far the issuer's clock and ours may be apart, at most 300.
        max_token_bytes: Longer tokens are refused unread.
    """

    issuer: str
    audiences: frozenset[str]
    discovery_url: str
    leeway_seconds: int = 60
    max_token_bytes: int = 16_384

    def __post_init__(self) -> None:
        if not self.issuer or not self.discovery_url:
            raise ValueError("a token policy needs an issuer and its discovery URL")
        if not self.audiences or not all(self.audiences):
            raise ValueError("a token policy needs audiences, none of them empty")
        if not 0 <= self.leeway_seconds <= MAX_LEEWAY_SECONDS:
            raise ValueError(f"leeway_seconds must lie between 0 and {MAX_LEEWAY_SECONDS}")
        if self.max_token_bytes <= 0:
            raise ValueError("max_token_bytes must be positive")


def principal_from_claims(claims: Mapping[str, object], policy: TokenPolicy, now: datetime) -> Principal:
    """Who the verified ``claims`` speak of.

    Raises UnauthenticatedError when they are not meant for this API, not for now, or grant nothing.
    """
    _check_destination(claims, policy)
    _check_times(claims, policy.leeway_seconds, now.timestamp())
    kind, permissions = _kind_and_permissions(claims)
    return Principal(
        kind=kind,
        tenant_id=_guid(claims, "tid"),
        object_id=_guid(claims, "oid"),
        client_id=_guid(claims, "azp"),
        permissions=permissions,
    )


def _check_destination(claims: Mapping[str, object], policy: TokenPolicy) -> None:
    if claims.get("iss") != policy.issuer:
        raise token_refused("The token comes from an issuer that is not trusted here.", reason="issuer")
    audience = claims.get("aud")
    # RFC 7519 allows a list. Entra never sends one, and a token for several APIs can be replayed among them.
    if not isinstance(audience, str) or audience not in policy.audiences:
        raise token_refused("The token was issued for another API.", reason="audience")
    if claims.get("ver") != _VERSION:
        raise token_refused("The token must be an Entra ID token of version 2.0.", reason="version")


def _check_times(claims: Mapping[str, object], leeway_seconds: int, now_seconds: float) -> None:
    expires, not_before, issued = (_numeric_date(claims, name) for name in ("exp", "nbf", "iat"))
    if expires <= now_seconds - leeway_seconds:
        raise token_refused("The token has expired; sign in again.", reason="expired", code="token-expired")
    if not_before > now_seconds + leeway_seconds:
        raise token_refused("The token is not valid yet; check the clock.", reason="not-before")
    if issued > now_seconds + leeway_seconds:
        raise token_refused("The token was issued in the future; check the clock.", reason="issued-at")


def _kind_and_permissions(claims: Mapping[str, object]) -> tuple[PrincipalKind, frozenset[Permission]]:
    app_only = claims.get("idtyp") == "app"
    roles = _names(claims, "roles")
    if "scp" in claims:
        scope = claims["scp"]
        if app_only or not isinstance(scope, str) or not scope.strip():
            raise token_refused("The scp claim of the token cannot be used.", reason="claim:scp")
        return PrincipalKind.USER, granted_by(scope.split(), SCOPES) | granted_by(roles, OPERATOR_ROLES)
    if not app_only or not roles:
        raise token_refused("The token carries neither scopes nor app roles for this API.", reason="no-grant")
    return PrincipalKind.APP, granted_by(roles, APP_ROLES)


def _numeric_date(claims: Mapping[str, object], name: str) -> float:
    """Seconds since 1970 (RFC 7519 §2, NumericDate)."""
    value = claims.get(name)
    # To Python, True is an int and NaN a float; neither is a date.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise token_refused("A time claim of the token is missing or not a number.", reason=f"claim:{name}")


def _guid(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not _GUID.fullmatch(value):
        raise token_refused("The token does not say who is calling.", reason=f"claim:{name}")
    return value.lower()


def _names(claims: Mapping[str, object], name: str) -> list[str]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise token_refused(f"The {name} claim of the token cannot be used.", reason=f"claim:{name}")
    return value
