"""Good tokens: who they speak of, on every kind of issuer; and keys under load."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from typing import Any

import pytest

from shared.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from shared.identity.permissions import Permission
from shared.identity.principal import PrincipalKind
from shared.identity.token import TokenPolicy
from shared.identity.trusted_issuer import OPENID_CONNECT, TrustedIssuer
from tests.unit.identity.forge import (
    CLIENT,
    DAEMON,
    DOCUMENTED,
    ENTRA,
    ISSUER,
    NOW_SECONDS,
    OIDC_AUDIENCE,
    OIDC_ISSUER,
    PARTNER,
    ROWS,
    TENANT,
    USER,
    FakeClock,
    FakeIssuer,
    app_claims,
    b64,
    json_bytes,
    jwk,
    oidc_claims,
    token,
    user_claims,
    v1_claims,
    validator_of,
)

USER_KIND, APP_KIND = PrincipalKind.USER, PrincipalKind.APP
READ, WRITE = Permission.FILES_READ, Permission.FILES_WRITE


def bearer(claims: dict[str, Any], **header: Any) -> str:
    return f"Bearer {token(claims, **header)}"


@pytest.mark.parametrize(
    ("claims", "kind", "who", "permissions"),
    [
        (user_claims(), USER_KIND, (TENANT, USER, CLIENT), {READ}),
        (user_claims(tid=TENANT.upper(), oid=USER.upper()), USER_KIND, (TENANT, USER, CLIENT), {READ}),
        (user_claims(scp="openid Files.ReadWrite  "), USER_KIND, (TENANT, USER, CLIENT), {READ, WRITE}),
        (
            user_claims(roles=["Operations.Redrive", "Files.ReadWrite.All"]),
            USER_KIND,
            (TENANT, USER, CLIENT),
            {READ, Permission.OPERATIONS_REDRIVE},
        ),
        (
            user_claims(
                acct=1, idp="https://sts.windows.net/another-tenant/", email="alice@dropbell.example"
            ),
            USER_KIND,
            (TENANT, USER, CLIENT),
            {READ},
        ),
        (
            user_claims(iss=ISSUER.replace(TENANT, PARTNER), tid=PARTNER),
            USER_KIND,
            (PARTNER, USER, CLIENT),
            {READ},
        ),
        (app_claims(), APP_KIND, (TENANT, USER, CLIENT), {READ}),
        (app_claims(azp=DAEMON, idtyp=None), APP_KIND, (TENANT, USER, DAEMON), {READ}),
        (user_claims(azp=DAEMON), USER_KIND, (TENANT, USER, DAEMON), {READ}),
        (v1_claims(), USER_KIND, (TENANT, USER, CLIENT), {READ}),
        (oidc_claims(), USER_KIND, (OIDC_ISSUER, "people|7", "web"), {READ}),
        (oidc_claims(aud=OIDC_AUDIENCE, nbf=0), USER_KIND, (OIDC_ISSUER, "people|7", "web"), {READ}),
        (oidc_claims(azp=None, client_id="x"), USER_KIND, (OIDC_ISSUER, "people|7", "x"), {READ}),
        (
            oidc_claims(scope="openid", permissions=["Files.ReadWrite", "Operations.Read"]),
            USER_KIND,
            (OIDC_ISSUER, "people|7", "web"),
            {READ, WRITE, Permission.OPERATIONS_READ},
        ),
        (
            oidc_claims(gty="client-credentials", scope="Files.Read.All", sub="web@clients"),
            APP_KIND,
            (OIDC_ISSUER, "web@clients", "web"),
            {READ},
        ),
    ],
)
async def test_who_is_calling(
    claims: dict[str, Any], kind: PrincipalKind, who: tuple[str, str, str], permissions: set[Permission]
) -> None:
    principal = await validator_of().authenticate(bearer(claims))
    assert (principal.tenant_id, principal.object_id, principal.client_id) == who
    assert (principal.kind, principal.permissions) == (kind, frozenset(permissions))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_SECONDS - 59},
        {"nbf": NOW_SECONDS + 60},
        {"iat": NOW_SECONDS + 60},
        {"exp": NOW_SECONDS + 0.5},
        {"exp": 10**12},
    ],
)
async def test_clocks_may_be_a_minute_apart(claims: dict[str, Any]) -> None:
    await validator_of().authenticate(bearer(user_claims(**claims)))


async def test_without_leeway_a_token_ends_with_its_second() -> None:
    validator = validator_of(leeway_seconds=0)
    await validator.authenticate(bearer(user_claims(exp=NOW_SECONDS + 1)))
    with pytest.raises(UnauthenticatedError) as refused:
        await validator.authenticate(bearer(user_claims(exp=NOW_SECONDS)))
    assert refused.value.code == "token-expired"


async def test_claims_that_are_not_needed_do_not_matter() -> None:
    claims = user_claims(sub=7, jti=[], name="Alice", unknown={"claims": ["of", "any", "shape"]})
    await validator_of().authenticate(bearer(claims))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", " Bearer "])
async def test_the_scheme_is_read_as_http_reads_it(scheme: str) -> None:
    await validator_of().authenticate(f"{scheme}{token(user_claims())}")


@pytest.mark.parametrize("media_type", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
async def test_access_token_types_are_taken(media_type: str | None) -> None:
    await validator_of().authenticate(bearer(user_claims(), typ=media_type))


@pytest.mark.parametrize("acrs", [["c1", "c2"], "c1"])
async def test_a_user_with_the_required_authentication_context_is_let_in(acrs: object) -> None:
    await validator_of(required_acrs="c1").authenticate(bearer(user_claims(acrs=acrs)))


async def test_an_app_cannot_step_up_and_is_not_asked() -> None:
    await validator_of(required_acrs="c1").authenticate(bearer(app_claims()))


@pytest.mark.parametrize("acrs", [["c10"], {"c1": 1}, "c1 c2", None])
async def test_a_user_without_the_required_authentication_context_is_refused(acrs: object) -> None:
    with pytest.raises(PermissionDeniedError) as denied:
        await validator_of(required_acrs="c1").authenticate(bearer(user_claims(acrs=acrs, xms_cc=["cp10"])))
    assert (denied.value.code, denied.value.headers) == ("claims-missing", {})


@pytest.mark.parametrize("capabilities", [["cp1"], "cp1", ["x", "cp1"]])
async def test_a_client_that_can_take_a_claims_challenge_gets_one(capabilities: object) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await validator_of(required_acrs="c1").authenticate(bearer(user_claims(xms_cc=capabilities)))
    challenge = refused.value.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = base64.b64decode(challenge.partition('claims="')[2].partition('"')[0])
    assert json.loads(claims) == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}


async def test_garbage_does_not_reach_the_issuer() -> None:
    issuer = FakeIssuer()
    for bad in (token(user_claims(), alg="none"), token(user_claims(iss="https://attacker.example"))):
        with pytest.raises(UnauthenticatedError):
            await validator_of(source=issuer).authenticate(f"Bearer {bad}")
    assert issuer.asked == 0


async def test_fifty_requests_at_a_cold_start_cause_one_fetch() -> None:
    issuer = FakeIssuer()
    validator = validator_of(source=issuer)
    issuer.gate = asyncio.Event()
    requests = [asyncio.create_task(validator.authenticate(bearer(user_claims()))) for _ in range(50)]
    await asyncio.sleep(0)
    issuer.gate.set()
    assert len(await asyncio.gather(*requests)) == 50
    assert issuer.key_fetches == 1


async def test_ten_thousand_made_up_key_ids_cause_one_fetch_per_cooldown() -> None:
    issuer, clock = FakeIssuer(), FakeClock()
    validator = validator_of(source=issuer, clock=clock)
    good = bearer(user_claims())
    await validator.authenticate(good)
    _, payload, signature = good.split(".")
    for wave in range(2):
        for number in range(10_000):
            made_up = b64(json_bytes({"alg": "RS256", "kid": f"made-up-{wave}-{number}"}))
            with pytest.raises(UnauthenticatedError):
                await validator.authenticate(f"Bearer {made_up}.{payload}.{signature}")
        assert issuer.key_fetches == 2 + wave
        clock.advance(30)
    await validator.authenticate(good)
    assert issuer.key_fetches == 3


async def test_a_key_rollover_is_followed_and_the_revoked_key_refused() -> None:
    issuer, clock = FakeIssuer(), FakeClock()
    validator = validator_of(source=issuer, clock=clock)
    before, after = bearer(user_claims()), bearer(user_claims(), kid="key-2", signed_by="key-2")
    await validator.authenticate(before)

    issuer.key_set = {"keys": [jwk("key-2"), jwk()]}
    await validator.authenticate(after)
    await validator.authenticate(before)

    issuer.key_set = {"keys": [jwk("key-2")]}
    clock.advance(24 * 3600)
    fresh = {"iat": NOW_SECONDS, "nbf": NOW_SECONDS, "exp": NOW_SECONDS + 48 * 3600}
    await validator.authenticate(bearer(user_claims(**fresh), kid="key-2", signed_by="key-2"))
    with pytest.raises(UnauthenticatedError) as refused:
        await validator.authenticate(bearer(user_claims(**fresh)))
    assert refused.value.reason == "unknown-key"


async def test_an_issuer_that_is_down_is_survived_and_another_issuer_not_touched_by_it() -> None:
    issuer, clock = FakeIssuer(), FakeClock()
    validator = validator_of(source=issuer, clock=clock)
    lasting = {"exp": NOW_SECONDS + 10**7}
    await validator.authenticate(bearer(user_claims(**lasting)))
    issuer.down = True
    clock.advance(3 * 24 * 3600)
    await validator.authenticate(bearer(user_claims(**lasting)))
    with pytest.raises(UnavailableError) as unavailable:
        await validator.authenticate(bearer(oidc_claims(**lasting)))
    assert unavailable.value.reason == "signing-keys-unavailable: down"
    issuer.down = False
    clock.advance(5)
    await validator.authenticate(bearer(oidc_claims(**lasting)))


async def test_tenants_can_share_one_document_whose_keys_name_the_template() -> None:
    url = next(iter(DOCUMENTED))
    row = dataclasses.replace(ENTRA, discovery_url=url)
    issuer = FakeIssuer(jwk(issuer="https://login.example/{tenantid}/v2.0"))
    issuer.discovery = {
        "issuer": "https://login.example/{tenantid}/v2.0",
        "jwks_uri": "https://login.example/keys",
    }
    validator = validator_of(row, source=issuer)
    await validator.authenticate(bearer(user_claims()))
    await validator.authenticate(bearer(user_claims(iss=ISSUER.replace(TENANT, PARTNER), tid=PARTNER)))
    assert issuer.key_fetches == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"issuer": ISSUER},
        {"discovery_url": ""},
        {"audiences": frozenset()},
        {"audiences": frozenset({""})},
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"RS256", "HS256"})},
        {"algorithms": frozenset({"none"})},
        {"tenants": frozenset()},
        {"tenants": frozenset({"common"})},
        {"shape": OPENID_CONNECT},
    ],
)
def test_an_issuer_that_would_let_too_much_through_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"issuer|audiences|algorithms|tenants"):
        dataclasses.replace(ENTRA, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuers": ()},
        {"issuers": (ENTRA, ENTRA)},
        {"issuers": (ENTRA, dataclasses.replace(ENTRA, discovery_url="https://login.example/other"))},
        {
            "issuers": (
                ROWS[2],
                TrustedIssuer("https://x.example/", ROWS[2].audiences, ROWS[2].discovery_url, OPENID_CONNECT),
            )
        },
        {"leeway_seconds": 301},
        {"leeway_seconds": -1},
        {"max_token_bytes": 0},
    ],
)
def test_a_policy_that_contradicts_itself_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"issuer|leeway_seconds|max_token_bytes"):
        dataclasses.replace(TokenPolicy(ROWS), **changes)
