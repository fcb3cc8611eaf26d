"""The caller, as far as the application needs to know: identifiers and permissions, nothing personal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import PermissionDeniedError
from shared.identity.challenge import insufficient_scope
from shared.identity.permissions import APP_ROLES, OPERATOR_ROLES, SCOPES, Permission, least_grant


class PrincipalKind(StrEnum):
    """Whether a person stands behind the call."""

    USER = "user"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, by a token whose signature and claims were verified.

    ``tenant_id`` and ``object_id`` identify the caller for ever: claims ``tid`` and ``oid`` at Entra (GUIDs
    in lower case), the issuer and ``sub`` elsewhere. ``client_id`` is the program that calls.
    """

    kind: PrincipalKind
    tenant_id: str
    object_id: str
    client_id: str
    permissions: frozenset[Permission]


def require(principal: Principal, permission: Permission) -> None:
    """Return when ``principal`` has ``permission``; raise PermissionDeniedError (403) when not.

    The answer names the scope or app role that would help (RFC 6750 §3.1, insufficient_scope).
    """
    if permission in principal.permissions:
        return
    if principal.kind is PrincipalKind.APP:
        grant = least_grant(permission, APP_ROLES)
        advice = f"an administrator can assign the app role {grant} to this application"
    elif grant := least_grant(permission, SCOPES):
        advice = f"ask for the scope {grant} when signing in"
    else:
        grant = least_grant(permission, OPERATOR_ROLES)
        advice = f"an administrator can assign the app role {grant} to this user"
    raise PermissionDeniedError(
        f"This needs the permission {permission}: {advice}.",
        reason=f"permission-missing:{permission}",
        headers=insufficient_scope(grant),
    )
