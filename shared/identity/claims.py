"""From the claims of a verified token to a principal: every check that needs no signature and no network.

https://learn.microsoft.com/entra/identity-platform/claims-validation
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from shared.identity.challenge import step_up, token_refused
from shared.identity.permissions import APP_ROLES, OPERATOR_ROLES, SCOPES, granted_by
from shared.identity.principal import Principal, PrincipalKind
from shared.identity.trusted_issuer import is_guid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.identity.permissions import Permission
    from shared.identity.trusted_issuer import ResolvedIssuer, TrustedIssuer

type Claims = Mapping[str, object]

_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
"""OpenID Connect Core §2: ``sub`` is at most 255 ASCII characters."""
_GRAPH_AUDIENCES: Final = frozenset(
    {
        "00000003-0000-0000-c000-000000000000",
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
    }
)
_CLAIMS_CHALLENGE_CAPABILITY: Final = "cp1"


def is_for_graph(header: Mapping[str, object], claims: Claims) -> bool:
    """Whether this is a token for Microsoft Graph, whose signature nobody but Graph can verify.

    Microsoft signs them over another header than the one sent, and marks them with a ``nonce``.
    """
    audience = claims.get("aud")
    return "nonce" in header or (isinstance(audience, str) and audience in _GRAPH_AUDIENCES)


def principal_from_claims(
    claims: Claims, issuer: ResolvedIssuer, now: datetime, *, leeway_seconds: int = 60
) -> Principal:
    """Who the verified ``claims`` of a token of ``issuer`` speak of.

    Raises UnauthenticatedError when they are not meant for this API, not for now, or grant nothing.
    """
    row, shape = issuer.row, issuer.row.shape
    if claims.get("iss") != issuer.name:
        raise token_refused("The token comes from an issuer that is not trusted here.", reason="issuer")
    _check_audience(claims, row)
    for name, value in shape.fixed:
        if claims.get(name) != value:
            raise token_refused("The token is of another version than expected.", reason=f"claim:{name}")
    _check_times(claims, shape.times, leeway_seconds, now.timestamp())
    tenant = issuer.name if shape.tenant is None else _identifier(claims, shape.tenant, guid=shape.guids)
    if tenant != issuer.tenant:
        raise token_refused("The token names another tenant than its issuer.", reason="tenant")
    client_claim = next((name for name in shape.clients if name in claims), shape.clients[0])
    client = _identifier(claims, client_claim, guid=shape.guids)
    kind, permissions = _kind_and_permissions(claims, row, client)
    return Principal(
        kind=kind,
        tenant_id=tenant,
        object_id=_identifier(claims, shape.subject, guid=shape.guids),
        client_id=client,
        permissions=permissions,
    )


def check_authentication_context(claims: Claims, principal: Principal, required: str) -> None:
    """A user's token must carry ``required`` in ``acrs``: they signed in as Conditional Access demands.

    Raises UnauthenticatedError with a claims challenge when the client says that it can take one (``xms_cc``
    holds ``cp1``), PermissionDeniedError when not. Apps cannot step up and are not asked.
    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    if principal.kind is PrincipalKind.USER and required not in _listed(claims.get("acrs")):
        raise step_up(required, challenge=_CLAIMS_CHALLENGE_CAPABILITY in _listed(claims.get("xms_cc")))


def _check_audience(claims: Claims, row: TrustedIssuer) -> None:
    audience = claims.get("aud")
    # RFC 7519 allows a list. Entra never sends one, and a token for several APIs can be replayed among them.
    found = audience if isinstance(audience, list) and row.shape.either_form else [audience]
    if not all(isinstance(each, str) for each in found) or row.audiences.isdisjoint(found):
        raise token_refused("The token was issued for another API.", reason="audience")


def _check_times(claims: Claims, required: tuple[str, ...], leeway_seconds: int, now_seconds: float) -> None:
    times = {
        name: _numeric_date(claims, name)
        for name in ("exp", "nbf", "iat")
        if name in required or name in claims
    }
    if times["exp"] <= now_seconds - leeway_seconds:
        raise token_refused("The token has expired; sign in again.", reason="expired", code="token-expired")
    if times.get("nbf", now_seconds) > now_seconds + leeway_seconds:
        raise token_refused("The token is not valid yet; check the clock.", reason="not-before")
    if times.get("iat", now_seconds) > now_seconds + leeway_seconds:
        raise token_refused("The token was issued in the future; check the clock.", reason="issued-at")


def _kind_and_permissions(
    claims: Claims, row: TrustedIssuer, client: str
) -> tuple[PrincipalKind, frozenset[Permission]]:
    shape = row.shape
    scopes, roles = _granted(claims, row, shape.scopes, words=True), _granted(claims, row, shape.roles)
    if _is_app_only(claims, row, client, has_scopes=scopes is not None):
        if scopes is not None and not shape.app_scopes:
            raise token_refused("An app-only token cannot carry scopes.", reason="app-with-scopes")
        names = [*(roles or ()), *(scopes or ())]
        if names:
            return PrincipalKind.APP, granted_by(names, APP_ROLES)
    elif scopes:
        return PrincipalKind.USER, granted_by(scopes, SCOPES) | granted_by(roles or (), OPERATOR_ROLES)
    raise token_refused("The token carries neither scopes nor app roles for this API.", reason="no-grant")


def _is_app_only(claims: Claims, row: TrustedIssuer, client: str, *, has_scopes: bool) -> bool:
    mark = row.shape.app_only
    if mark is not None and mark[0] in claims:
        return claims[mark[0]] == mark[1]
    return client in row.app_clients and not has_scopes


def _granted(
    claims: Claims, row: TrustedIssuer, names: tuple[str, ...], *, words: bool = False
) -> list[str] | None:
    """What the claims ``names`` hold together; None when none of them is there."""
    present = [name for name in names if name in claims]
    if not present:
        return None
    found: list[str] = []
    for name in present:
        value = claims[name]
        if isinstance(value, str) and (words or row.shape.either_form):
            # RFC 6749 §3.3: scopes are set apart by spaces, and by nothing else that looks like one.
            found += [word for word in value.split(" ") if word]
        elif (
            isinstance(value, list)
            and (not words or row.shape.either_form)
            and all(isinstance(item, str) for item in value)
        ):
            found += value
        else:
            raise token_refused("A scope or role claim of the token cannot be used.", reason=f"claim:{name}")
    return found


def _numeric_date(claims: Claims, name: str) -> float:
    """Seconds since 1970 (RFC 7519 §2, NumericDate)."""
    value = claims.get(name)
    # To Python, True is an int and NaN a float; neither is a date.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise token_refused("A time claim of the token is missing or not a number.", reason=f"claim:{name}")


def _identifier(claims: Claims, name: str, *, guid: bool) -> str:
    value = claims.get(name)
    if isinstance(value, str) and (is_guid(value) if guid else _IDENTIFIER.fullmatch(value)):
        return value.lower() if guid else value
    raise token_refused("The token does not say who is calling.", reason=f"claim:{name}")


def _listed(value: object) -> list[object]:
    """A claim that is a list, or a single value instead of it."""
    return value if isinstance(value, list) else [value]
