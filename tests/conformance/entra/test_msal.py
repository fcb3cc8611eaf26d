"""The unchanged MSAL library against the issuer, and the application's validation of what it got."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import msal
import pytest

from shared.identity.permissions import Permission
from shared.identity.principal import PrincipalKind
from tests.conformance.entra.issuer_process import CLI_CLIENT_ID, DAEMON_CLIENT_ID, DAEMON_SECRET, TENANT_ID

if TYPE_CHECKING:
    from shared.identity.token import TokenValidator
    from tests.conformance.entra.issuer_process import IssuerProcess

ALICE = "16ebe823-4c7e-43bd-bed2-d9b86e8d3442"
READ_WRITE = "api://dropbell/Files.ReadWrite"


@pytest.fixture
def public_client(issuer: IssuerProcess) -> Any:
    return msal.PublicClientApplication(
        CLI_CLIENT_ID,
        authority=issuer.authority,
        instance_discovery=False,
        http_client=issuer.session(),
    )


def approve(issuer: IssuerProcess, flow: dict[str, Any], user: str) -> None:
    form = {"user_code": flow["user_code"], "user": user}
    assert issuer.session().post(flow["verification_uri"], data=form, timeout=10).status_code == 200


async def test_device_code_flow_signs_a_user_in(
    issuer: IssuerProcess, public_client: Any, validator: TokenValidator
) -> None:
    flow = public_client.initiate_device_flow(scopes=[READ_WRITE])
    assert flow["user_code"] in flow["message"]
    threading.Timer(0.3, approve, (issuer, flow, "alice")).start()

    result = public_client.acquire_token_by_device_flow(flow)

    assert result.get("error_description") is None
    principal = await validator.authenticate(f"Bearer {result['access_token']}")
    assert principal.kind is PrincipalKind.USER
    assert (principal.tenant_id, principal.object_id) == (TENANT_ID, ALICE)
    assert principal.client_id == CLI_CLIENT_ID
    assert principal.permissions == {Permission.FILES_READ, Permission.FILES_WRITE}


async def test_msal_finds_the_account_and_refreshes_silently(
    issuer: IssuerProcess, public_client: Any, validator: TokenValidator
) -> None:
    flow = public_client.initiate_device_flow(scopes=[READ_WRITE])
    approve(issuer, flow, "bob@dropbell.example")
    first = public_client.acquire_token_by_device_flow(flow)
    [account] = public_client.get_accounts()
    assert account["username"] == "bob@dropbell.example"

    cached = public_client.acquire_token_silent([READ_WRITE], account=account)
    assert cached["access_token"] == first["access_token"]
    for _ in range(2):
        # Twice, because every refresh replaces the refresh token.
        fresh = public_client.acquire_token_silent([READ_WRITE], account=account, force_refresh=True)
        assert fresh["access_token"] != first["access_token"]
        assert (await validator.authenticate(f"Bearer {fresh['access_token']}")).permissions == {
            Permission.FILES_READ,
            Permission.FILES_WRITE,
        }
    other = public_client.acquire_token_silent(["api://dropbell/Deliveries.Read"], account=account)
    principal = await validator.authenticate(f"Bearer {other['access_token']}")
    assert principal.permissions == {Permission.DELIVERIES_READ}


async def test_authorization_code_with_pkce(
    issuer: IssuerProcess, public_client: Any, validator: TokenValidator
) -> None:
    flow = public_client.initiate_auth_code_flow(
        ["api://dropbell/.default"],
        redirect_uri="http://localhost:54321",
        login_hint="olga",
        response_mode="form_post",
    )
    page = issuer.session().get(flow["auth_uri"], timeout=10).text
    assert 'action="http://localhost:54321"' in page
    response = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))

    result = public_client.acquire_token_by_auth_code_flow(flow, response)

    assert result["id_token_claims"]["preferred_username"] == "olga@dropbell.example"
    principal = await validator.authenticate(f"Bearer {result['access_token']}")
    assert principal.permissions == frozenset(Permission)


async def test_client_credentials(issuer: IssuerProcess, validator: TokenValidator) -> None:
    daemon = msal.ConfidentialClientApplication(
        DAEMON_CLIENT_ID,
        client_credential=DAEMON_SECRET,
        authority=issuer.authority,
        instance_discovery=False,
        http_client=issuer.session(),
    )

    result = daemon.acquire_token_for_client(["api://dropbell/.default"])

    principal = await validator.authenticate(f"Bearer {result['access_token']}")
    assert principal.kind is PrincipalKind.APP
    assert principal.client_id == DAEMON_CLIENT_ID
    assert Permission.FILES_WRITE in principal.permissions
    assert Permission.OPERATIONS_READ not in principal.permissions


def test_msal_hears_of_a_wrong_secret(issuer: IssuerProcess) -> None:
    daemon = msal.ConfidentialClientApplication(
        DAEMON_CLIENT_ID,
        client_credential="guess",
        authority=issuer.authority,
        instance_discovery=False,
        http_client=issuer.session(),
    )
    assert daemon.acquire_token_for_client(["api://dropbell/.default"])["error"] == "invalid_client"


def test_msal_hears_of_an_unknown_scope(public_client: Any) -> None:
    assert (
        public_client.initiate_device_flow(scopes=["api://dropbell/Files.Steal"])["error"] == "invalid_scope"
    )
