"""Tokens out of the running issuer, judged by the application's own validation."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from shared.errors import UnauthenticatedError
from shared.identity.permissions import SCOPES, Permission
from tests.conformance.entra.conftest import validator_for
from tests.conformance.entra.issuer_process import API_CLIENT_ID, TENANT_ID, running_issuer

if TYPE_CHECKING:
    from pathlib import Path

    from shared.identity.token import TokenValidator
    from tests.conformance.entra.issuer_process import IssuerProcess

CALLERS_PERMISSIONS = frozenset().union(*SCOPES.values())


async def refusal(validator: TokenValidator, token: str) -> str | None:
    with pytest.raises(UnauthenticatedError) as refused:
        await validator.authenticate(f"Bearer {token}")
    return refused.value.reason


@pytest.mark.parametrize(
    ("body", "permissions"),
    [
        ({"user": "alice"}, CALLERS_PERMISSIONS),
        ({"user": "olga"}, frozenset(Permission)),
        ({"user": "olga", "roles": []}, CALLERS_PERMISSIONS),
        ({"user": "bob", "scopes": ["Files.Read"]}, {Permission.FILES_READ}),
        ({"user": "bob", "scopes": ["api://dropbell/Deliveries.Read"]}, {Permission.DELIVERIES_READ}),
        ({"app": "ingest-app"}, CALLERS_PERMISSIONS),
        ({"app": "ingest-app", "roles": ["Operations.Read"]}, {Permission.OPERATIONS_READ}),
    ],
)
async def test_minted_tokens_grant_what_was_asked_for(
    issuer: IssuerProcess,
    validator: TokenValidator,
    body: dict[str, object],
    permissions: frozenset[Permission],
) -> None:
    principal = await validator.authenticate(f"Bearer {issuer.mint(**body)}")
    assert principal.permissions == permissions


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ("expired", "expired"),
        ("not_yet_valid", "not-before"),
        ("wrong_issuer", "issuer"),
        ("wrong_audience", "audience"),
        ("wrong_key", "signature"),
        ("unsigned", "malformed"),
        ("unknown_kid", "unknown-key"),
        ("hs256_public_key", "algorithm"),
        ("audience_list", "audience"),
        ("graph", "graph"),
        ("v1", "issuer"),
        ("other_tenant", "issuer"),
        ("tenant_mismatch", "tenant"),
        ("tenant_not_a_guid", "claim:tid"),
        ("no_grant", "no-grant"),
        ("app_with_scopes", "app-with-scopes"),
        ("duplicate_claim", "payload"),
        ("huge", "too-long"),
        ("revoked_key", "unknown-key"),
        ("key_in_header", "signature"),
        ("key_address_in_header", "signature"),
        ("critical_header", "crit"),
        ("tampered", "signature"),
        ("truncated_signature", "signature"),
    ],
)
@pytest.mark.parametrize("caller", [{"user": "alice"}, {"app": "ingest-app"}])
async def test_each_flaw_is_found(
    issuer: IssuerProcess, validator: TokenValidator, caller: dict[str, str], flaw: str, reason: str
) -> None:
    assert await refusal(validator, issuer.mint(**caller, flaw=flaw)) == reason


async def test_an_app_token_without_its_mark_is_no_app_token(
    issuer: IssuerProcess, validator: TokenValidator
) -> None:
    token = issuer.mint(app="ingest-app", flaw="app_without_idtyp")
    assert await refusal(validator, token) == "no-grant"


@pytest.mark.parametrize("caller", [{"user": "olga"}, {"app": "ingest-app"}])
async def test_scopes_that_look_like_grants_permit_nothing(
    issuer: IssuerProcess, validator: TokenValidator, caller: dict[str, str]
) -> None:
    principal = await validator.authenticate(f"Bearer {issuer.mint(**caller, flaw='wrong_scope')}")
    assert principal.permissions == frozenset()


async def test_a_token_without_scopes_and_roles_is_refused(
    issuer: IssuerProcess, validator: TokenValidator
) -> None:
    assert await refusal(validator, issuer.mint(user="alice", scopes=[])) == "no-grant"
    assert await refusal(validator, issuer.mint(app="ingest-app", roles=[])) == "no-grant"


def test_access_tokens_are_shaped_like_entras(issuer: IssuerProcess) -> None:
    def claims(token: str) -> dict[str, Any]:
        return jwt.decode(token, options={"verify_signature": False})

    user = claims(issuer.mint(user="olga", lifetime_seconds=60))
    app = claims(issuer.mint(app="ingest-app"))
    assert user.keys() - app.keys() == {"name", "preferred_username", "scp"}
    assert app.keys() - user.keys() == {"idtyp"}
    assert (user["aud"], user["tid"], user["ver"], user["iss"]) == (
        API_CLIENT_ID,
        TENANT_ID,
        "2.0",
        issuer.issuer,
    )
    assert user["exp"] - user["iat"] == 60
    assert app["sub"] == app["oid"]
    assert (user["azpacr"], app["azpacr"]) == ("0", "1")
    assert "kid" in jwt.get_unverified_header(issuer.mint(user="bob"))


async def test_rollover_keeps_old_tokens_until_their_key_is_revoked(tmp_path: Path) -> None:
    with running_issuer(tmp_path) as issuer:
        validator = validator_for(issuer)
        before = issuer.mint(user="alice")
        await validator.authenticate(f"Bearer {before}")

        issuer.session().post(f"{issuer.base_url}/local/keys/rollover", timeout=10)
        after = issuer.mint(user="alice")
        assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
        await validator.authenticate(f"Bearer {after}")
        await validator.authenticate(f"Bearer {before}")

        issuer.session().post(f"{issuer.base_url}/local/keys/rollover", json={"revoke": True}, timeout=10)
        fresh = validator_for(issuer)
        await fresh.authenticate(f"Bearer {issuer.mint(user='alice')}")
        assert await refusal(fresh, before) == "unknown-key"


async def test_kept_keys_survive_a_restart_and_an_outage_does_not_refuse_tokens(tmp_path: Path) -> None:
    kept = ("--data-dir", str(tmp_path / "data"))
    with running_issuer(tmp_path, *kept) as issuer:
        token = issuer.mint(user="alice")
        validator = validator_for(issuer)
        await validator.authenticate(f"Bearer {token}")
    await validator.authenticate(f"Bearer {token}")
    with running_issuer(tmp_path, *kept, port=issuer.port) as restarted:
        await validator_for(restarted).authenticate(f"Bearer {token}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_issuer_stops_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    with running_issuer(tmp_path) as issuer:
        issuer.process.send_signal(number)
        assert issuer.process.wait(timeout=3) == 0
