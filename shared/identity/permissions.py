"""What a caller may do, and which scopes and app roles say so.

The tables are the policy. Names match exactly, upper and lower case included; a name that is not listed
grants nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Permission(StrEnum):
    """One thing that routes ask for."""

    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    SUBSCRIPTIONS_MANAGE = "subscriptions.manage"
    DELIVERIES_READ = "deliveries.read"
    OPERATIONS_READ = "operations.read"
    OPERATIONS_REDRIVE = "operations.redrive"


type GrantTable = Mapping[str, frozenset[Permission]]
"""Name of a scope or app role → what it grants, the least powerful name first."""

SCOPES: Final[GrantTable] = {
    "Files.Read": frozenset({Permission.FILES_READ}),
    "Files.ReadWrite": frozenset({Permission.FILES_READ, Permission.FILES_WRITE}),
    "Subscriptions.Manage": frozenset({Permission.SUBSCRIPTIONS_MANAGE}),
    "Deliveries.Read": frozenset({Permission.DELIVERIES_READ}),
}
"""Delegated permissions: what a user lets a client do in their name (claim ``scp``)."""

OPERATOR_ROLES: Final[GrantTable] = {
    "Operations.Read": frozenset({Permission.OPERATIONS_READ}),
    "Operations.Redrive": frozenset({Permission.OPERATIONS_REDRIVE}),
}
"""App roles that count for a user too, beside the scopes (claim ``roles`` of a delegated token)."""

APP_ROLES: Final[GrantTable] = {
    **{f"{scope}.All": granted for scope, granted in SCOPES.items()},
    **OPERATOR_ROLES,
}
"""Application permissions: what an administrator lets a daemon do in its own name (claim ``roles``)."""


def granted_by(names: Iterable[str], table: GrantTable) -> frozenset[Permission]:
    """All that ``names`` grant together, by ``table``."""
    nothing: frozenset[Permission] = frozenset()
    return nothing.union(*(table.get(name, nothing) for name in names))


def least_grant(permission: Permission, table: GrantTable) -> str | None:
    """The least powerful name in ``table`` that grants ``permission``; None when none does."""
    candidates = [name for name, granted in table.items() if permission in granted]
    return min(candidates, key=lambda name: len(table[name]), default=None)
