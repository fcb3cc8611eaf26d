from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import UnauthenticatedError
from shared.identity.permissions import Permission
from shared.identity.principal import PrincipalKind
from shared.identity.signing_keys import SigningKeys
from shared.identity.token import TokenPolicy, TokenValidator
from tests.unit.identity.forge import (
    AUDIENCE,
    CLIENT,
    DISCOVERY_URL,
    ISSUER,
    KID,
    NOW_SECONDS,
    TENANT,
    USER,
    FakeClock,
    FakeIssuer,
    app_claims,
    b64,
    json_bytes,
    jwk,
    rsa_key,
    signed,
    token,
    user_claims,
)

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = TokenPolicy(ISSUER, frozenset({AUDIENCE}), DISCOVERY_URL)
HEADER = json_bytes({"typ": "JWT", "alg": "RS256", "kid": KID})


def validator(issuer: FakeIssuer | None = None) -> TokenValidator:
    clock = FakeClock()
    keys = SigningKeys(issuer or FakeIssuer(), clock, issuer=ISSUER, discovery_url=DISCOVERY_URL)
    return TokenValidator(POLICY, keys, clock)


def hs256_with_the_public_key() -> str:
    signing_input = (
        f"{b64(json_bytes({'typ': 'JWT', 'alg': 'HS256', 'kid': KID}))}.{b64(json_bytes(user_claims()))}"
    )
    pem = rsa_key(KID).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{signing_input}.{b64(hmac.digest(pem, signing_input.encode(), hashlib.sha256))}"


def with_swapped_payload() -> str:
    header, _, signature = token(user_claims()).split(".")
    return f"{header}.{b64(json_bytes(user_claims(scp='Files.ReadWrite')))}.{signature}"


def user(**changes: Any) -> Callable[[], str]:
    return lambda: token(user_claims(**changes))


def app(**changes: Any) -> Callable[[], str]:
    return lambda: token(app_claims(**changes))


def header(**changes: Any) -> Callable[[], str]:
    return lambda: token(user_claims(), **changes)


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    # Not a token at all
    "one word": (lambda: "garbage", "malformed"),
    "two parts": (lambda: "e30.e30", "malformed"),
    "four parts": (lambda: f"{token(user_claims())}.e30", "malformed"),
    "empty parts": (lambda: "..", "malformed"),
    "empty signature": (lambda: token(user_claims()).rpartition(".")[0] + ".", "malformed"),
    "non-ASCII": (lambda: token(user_claims()) + "é", "malformed"),
    "non-ASCII digits": (lambda: token(user_claims()) + "٣", "malformed"),
    "control character": (lambda: token(user_claims()) + "\x00", "malformed"),
    "newline at the end": (lambda: token(user_claims()) + "\n", "malformed"),
    "padding": (lambda: token(user_claims()) + "==", "malformed"),
    "encrypted (five parts)": (lambda: "e30.e30.e30.e30.e30", "malformed"),
    "two tokens": (lambda: f"{token(user_claims())} {token(user_claims())}", "malformed"),
    "two tokens with a comma": (lambda: f"{token(user_claims())},{token(user_claims())}", "malformed"),
    "the scheme twice": (lambda: f"Bearer {token(user_claims())}", "malformed"),
    "too long": (lambda: token(user_claims(pad="x" * 20_000)), "too-long"),
    # Header
    "header not base64": (lambda: f"a{token(user_claims())}", "header"),
    "header not JSON": (lambda: signed(b"{", json_bytes(user_claims())), "header"),
    "header not UTF-8": (lambda: signed(b"\xff\xfe\xfd", json_bytes(user_claims())), "header"),
    "header a list": (lambda: signed(b"[]", json_bytes(user_claims())), "header"),
    "header null": (lambda: signed(b"null", json_bytes(user_claims())), "header"),
    "header nested deeply": (lambda: signed(b"[" * 6_000, b"{}"), "header"),
    "header with a huge number": (lambda: signed(b'{"alg":' + b"9" * 5_000 + b"}", b"{}"), "header"),
    "alg none": (header(alg="none"), "algorithm"),
    "alg None": (header(alg="None"), "algorithm"),
    "alg missing": (header(alg=None), "algorithm"),
    "alg in lower case": (header(alg="rs256"), "algorithm"),
    "alg RS512": (header(alg="RS512"), "algorithm"),
    "alg PS256": (header(alg="PS256"), "algorithm"),
    "alg a list": (header(alg=["RS256"]), "algorithm"),
    "alg an object": (header(alg={"RS256": 1}), "algorithm"),
    "alg HS256 with the public key": (hs256_with_the_public_key, "algorithm"),
    "crit": (header(crit=["exp"]), "header"),
    "crit of a known extension": (header(crit=["b64"], b64=True), "crit"),
    "crit empty": (header(crit=[]), "header"),
    "unencoded payload": (header(b64=False), "header"),
    "typ of a proof": (header(typ="dpop+jwt"), "type"),
    "typ a number": (header(typ=7), "type"),
    "kid missing": (header(kid=None), "kid"),
    "kid empty": (header(kid=""), "kid"),
    "kid a number": (header(kid=1), "header"),
    "kid a list": (header(kid=[KID]), "header"),
    "kid very long": (header(kid="k" * 129), "kid"),
    "kid unknown": (header(kid="another"), "unknown-key"),
    "kid a path": (header(kid="../../dev/null"), "unknown-key"),
    # Signature
    "signed by a stranger": (lambda: token(user_claims(), signed_by="stranger"), "signature"),
    "own key in jwk": (lambda: token(user_claims(), signed_by="stranger", jwk=jwk("stranger")), "signature"),
    "own key at jku": (
        lambda: token(user_claims(), signed_by="stranger", jku="https://attacker.example"),
        "signature",
    ),
    "own certificate at x5u": (
        lambda: token(user_claims(), signed_by="stranger", x5u="https://attacker.example"),
        "signature",
    ),
    "payload swapped": (with_swapped_payload, "signature"),
    "signature cut": (lambda: signed(HEADER, json_bytes(user_claims()), signature_bytes=255), "signature"),
    # Payload
    "payload not JSON": (lambda: signed(HEADER, b"{"), "payload"),
    "payload a list": (lambda: token([]), "payload"),
    "payload a string": (lambda: token("claims"), "payload"),
    "payload nested deeply": (lambda: signed(HEADER, b"[" * 6_000), "payload"),
    "payload not UTF-8": (lambda: signed(HEADER, b"\xff"), "payload"),
    # Issuer, audience, version
    "iss missing": (user(iss=None), "issuer"),
    "iss another tenant": (user(iss=ISSUER.replace("1111-4111", "1111-4112")), "issuer"),
    "iss with a slash": (user(iss=f"{ISSUER}/"), "issuer"),
    "iss in upper case": (user(iss=ISSUER.upper()), "issuer"),
    "iss a list": (user(iss=[ISSUER]), "issuer"),
    "aud missing": (user(aud=None), "audience"),
    "aud Microsoft Graph": (user(aud="00000003-0000-0000-c000-000000000000"), "audience"),
    "aud a list": (user(aud=[AUDIENCE]), "audience"),
    "aud an object": (user(aud={AUDIENCE: 1}), "audience"),
    "aud a part of ours": (user(aud=AUDIENCE[:-1]), "audience"),
    "aud empty": (user(aud=""), "audience"),
    "ver 1.0": (user(ver="1.0"), "version"),
    "ver missing": (user(ver=None), "version"),
    "ver a number": (user(ver=2.0), "version"),
    # Times
    "exp missing": (user(exp=None), "claim:exp"),
    "nbf missing": (user(nbf=None), "claim:nbf"),
    "iat missing": (user(iat=None), "claim:iat"),
    "exp text": (user(exp=str(NOW_SECONDS + 3600)), "claim:exp"),
    "exp true": (user(exp=True), "claim:exp"),
    "exp not a number": (user(exp=float("nan")), "claim:exp"),
    "exp infinite": (user(exp=float("inf")), "claim:exp"),
    "exp a list": (user(exp=[NOW_SECONDS + 3600]), "claim:exp"),
    "nbf ahead": (user(nbf=NOW_SECONDS + 61), "not-before"),
    "iat ahead": (user(iat=NOW_SECONDS + 61), "issued-at"),
    "iat absurd": (user(iat=10**4000), "issued-at"),
    # Who
    "tid missing": (user(tid=None), "claim:tid"),
    "tid not a GUID": (user(tid="common"), "claim:tid"),
    "tid a GUID and more": (user(tid=f"{TENANT}\n"), "claim:tid"),
    "oid missing": (user(oid=None), "claim:oid"),
    "oid a path": (user(oid=f"../{USER}"), "claim:oid"),
    "oid a number": (user(oid=7), "claim:oid"),
    "azp missing": (user(azp=None), "claim:azp"),
    # What for
    "neither scopes nor roles": (user(scp=None), "no-grant"),
    "scp empty": (user(scp=" "), "claim:scp"),
    "scp a list": (user(scp=["Files.Read"]), "claim:scp"),
    "scp beside idtyp app": (user(idtyp="app"), "claim:scp"),
    "roles of a user without scp": (user(scp=None, roles=["Operations.Read"]), "no-grant"),
    "roles without idtyp": (app(idtyp=None), "no-grant"),
    "roles with idtyp user": (app(idtyp="user"), "no-grant"),
    "roles empty": (app(roles=[]), "no-grant"),
    "roles text": (app(roles="Files.Read.All"), "claim:roles"),
    "roles with a number": (app(roles=["Files.Read.All", 1]), "claim:roles"),
    "roles of a user not a list": (user(roles={"Operations.Read": 1}), "claim:roles"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_token_is_refused_for_its_own_reason(name: str) -> None:
    make, reason = REFUSED[name]
    bad = make()
    with pytest.raises(UnauthenticatedError) as refused:
        await validator().authenticate(f"Bearer {bad}")
    error = refused.value
    assert (error.reason, error.code) == (reason, "token-invalid")
    challenge = error.headers["WWW-Authenticate"]
    assert challenge == f'Bearer realm="dropbell", error="invalid_token", error_description="{error.detail}"'
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", error.detail)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "no-header"),
        ("", "no-header"),
        ("  ", "no-header"),
        ("Bearer", "empty-token"),
        ("Bearer   ", "empty-token"),
        ("Basic dXNlcjpwYXNz", "other-scheme"),
        ("BearerX abc", "other-scheme"),
        ("Bearer\tabc", "other-scheme"),
    ],
)
async def test_without_a_token_the_challenge_names_no_error(authorization: str | None, reason: str) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await validator().authenticate(authorization)
    assert (refused.value.reason, refused.value.code) == (reason, "token-missing")
    assert refused.value.headers == {"WWW-Authenticate": 'Bearer realm="dropbell"'}


async def test_an_expired_token_is_told_apart() -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await validator().authenticate(f"Bearer {token(user_claims(exp=NOW_SECONDS - 60))}")
    assert refused.value.code == "token-expired"
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]


async def test_an_expired_forgery_is_a_forgery() -> None:
    forged = token(user_claims(exp=NOW_SECONDS - 9_999), signed_by="stranger")
    with pytest.raises(UnauthenticatedError) as refused:
        await validator().authenticate(f"Bearer {forged}")
    assert refused.value.code == "token-invalid"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_SECONDS - 59},
        {"nbf": NOW_SECONDS + 60},
        {"iat": NOW_SECONDS + 60},
        {"exp": NOW_SECONDS + 0.5},
    ],
)
async def test_clocks_may_be_a_minute_apart(claims: dict[str, Any]) -> None:
    await validator().authenticate(f"Bearer {token(user_claims(**claims))}")


async def test_claims_that_are_not_needed_do_not_matter() -> None:
    claims = user_claims(sub=7, jti=[], name="Alice", unknown={"claims": ["of", "any", "shape"]})
    await validator().authenticate(f"Bearer {token(claims)}")


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", " Bearer "])
async def test_the_scheme_is_read_as_http_reads_it(scheme: str) -> None:
    await validator().authenticate(f"{scheme}{token(user_claims())}")


@pytest.mark.parametrize("media_type", ["JWT", "jwt", "at+jwt", None])
async def test_access_token_types_are_taken(media_type: str | None) -> None:
    await validator().authenticate(f"Bearer {token(user_claims(), typ=media_type)}")


async def test_a_user() -> None:
    claims = user_claims(tid=TENANT.upper(), scp="Files.ReadWrite Deliveries.Read openid")
    principal = await validator().authenticate(f"Bearer {token(claims)}")
    assert principal.kind is PrincipalKind.USER
    assert (principal.tenant_id, principal.object_id, principal.client_id) == (TENANT, USER, CLIENT)
    assert principal.permissions == {
        Permission.FILES_READ,
        Permission.FILES_WRITE,
        Permission.DELIVERIES_READ,
    }


async def test_an_app() -> None:
    principal = await validator().authenticate(f"Bearer {token(app_claims())}")
    assert principal.kind is PrincipalKind.APP
    assert principal.permissions == {Permission.FILES_READ}


async def test_a_users_roles_add_operations_and_nothing_else() -> None:
    claims = user_claims(roles=["Operations.Redrive", "Files.ReadWrite.All"])
    principal = await validator().authenticate(f"Bearer {token(claims)}")
    assert principal.permissions == {Permission.FILES_READ, Permission.OPERATIONS_REDRIVE}


async def test_nothing_of_the_token_is_repeated_in_the_answer() -> None:
    secret = "hunter2"
    bad = token(user_claims(iss=secret, aud=secret), kid=KID)
    with pytest.raises(UnauthenticatedError) as refused:
        await validator().authenticate(f"Bearer {bad}")
    said = f"{refused.value} {refused.value.reason} {refused.value.headers}"
    assert secret not in said
    assert not any(part in said for part in bad.split("."))


async def test_garbage_does_not_reach_the_issuer() -> None:
    issuer = FakeIssuer()
    with pytest.raises(UnauthenticatedError):
        await validator(issuer).authenticate(f"Bearer {token(user_claims(), alg='none')}")
    assert issuer.asked == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"discovery_url": ""},
        {"audiences": frozenset()},
        {"audiences": frozenset({""})},
        {"leeway_seconds": 301},
        {"leeway_seconds": -1},
        {"max_token_bytes": 0},
    ],
)
def test_a_policy_that_would_let_too_much_through_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"token policy|leeway_seconds|max_token_bytes"):
        dataclasses.replace(POLICY, **changes)


def test_the_forge_makes_what_it_says() -> None:
    payload = token(user_claims()).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(f"{payload}==")) == user_claims()
