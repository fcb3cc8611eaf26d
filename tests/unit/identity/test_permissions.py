from __future__ import annotations

import pytest

from shared.errors import PermissionDeniedError
from shared.identity.permissions import APP_ROLES, OPERATOR_ROLES, SCOPES, GrantTable, Permission, granted_by
from shared.identity.principal import Principal, PrincipalKind, require

TENANT = "11111111-1111-4111-8111-111111111111"
OBJECT = "33333333-3333-4333-8333-333333333333"


def principal(kind: PrincipalKind, *permissions: Permission) -> Principal:
    return Principal(kind, TENANT, OBJECT, OBJECT, frozenset(permissions))


@pytest.mark.parametrize(
    ("table", "names", "permissions"),
    [
        (SCOPES, ["Files.Read"], {"files.read"}),
        (SCOPES, ["Files.ReadWrite"], {"files.read", "files.write"}),
        (SCOPES, ["Subscriptions.Manage"], {"subscriptions.manage"}),
        (SCOPES, ["Deliveries.Read"], {"deliveries.read"}),
        (SCOPES, ["Files.Read", "Deliveries.Read"], {"files.read", "deliveries.read"}),
        (SCOPES, ["files.read"], set()),
        (SCOPES, ["Files.Read.All"], set()),
        (SCOPES, ["Operations.Read"], set()),
        (SCOPES, [], set()),
        (APP_ROLES, ["Files.Read.All"], {"files.read"}),
        (APP_ROLES, ["Files.ReadWrite.All"], {"files.read", "files.write"}),
        (APP_ROLES, ["Subscriptions.Manage.All"], {"subscriptions.manage"}),
        (APP_ROLES, ["Deliveries.Read.All"], {"deliveries.read"}),
        (APP_ROLES, ["Operations.Read"], {"operations.read"}),
        (APP_ROLES, ["Operations.Redrive"], {"operations.redrive"}),
        (APP_ROLES, ["Files.Read"], set()),
        (OPERATOR_ROLES, ["Operations.Read", "Files.Read.All"], {"operations.read"}),
    ],
)
def test_names_grant(table: GrantTable, names: list[str], permissions: set[str]) -> None:
    assert granted_by(names, table) == permissions


def test_every_permission_can_be_granted_to_users_and_to_apps() -> None:
    everything = frozenset(Permission)
    assert granted_by(SCOPES, SCOPES) | granted_by(OPERATOR_ROLES, OPERATOR_ROLES) == everything
    assert granted_by(APP_ROLES, APP_ROLES) == everything


def test_a_permission_that_is_there_is_enough() -> None:
    require(principal(PrincipalKind.USER, Permission.FILES_READ), Permission.FILES_READ)


@pytest.mark.parametrize(
    ("kind", "permission", "grant", "advice"),
    [
        (PrincipalKind.USER, Permission.FILES_READ, "Files.Read", "ask for the scope"),
        (PrincipalKind.USER, Permission.FILES_WRITE, "Files.ReadWrite", "ask for the scope"),
        (PrincipalKind.USER, Permission.OPERATIONS_READ, "Operations.Read", "an administrator"),
        (PrincipalKind.APP, Permission.FILES_WRITE, "Files.ReadWrite.All", "an administrator"),
        (PrincipalKind.APP, Permission.OPERATIONS_REDRIVE, "Operations.Redrive", "an administrator"),
    ],
)
def test_a_missing_permission_is_named_with_what_would_help(
    kind: PrincipalKind, permission: Permission, grant: str, advice: str
) -> None:
    with pytest.raises(PermissionDeniedError) as denied:
        require(principal(kind), permission)
    assert permission.value in denied.value.detail
    assert advice in denied.value.detail
    assert denied.value.headers == {
        "WWW-Authenticate": f'Bearer realm="dropbell", error="insufficient_scope", scope="{grant}"'
    }


def test_writing_does_not_follow_from_reading() -> None:
    with pytest.raises(PermissionDeniedError):
        require(principal(PrincipalKind.USER, Permission.FILES_READ), Permission.FILES_WRITE)
