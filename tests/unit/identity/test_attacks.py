"""What attackers and mistaken clients send, and the exact answer to each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import UnauthenticatedError
from shared.web.call import Call, Front
from tests.unit.identity.forge import (
    AUDIENCE,
    CLIENT,
    CURVE,
    DAEMON,
    ISSUER,
    KID,
    NOW_SECONDS,
    OIDC_AUDIENCE,
    OIDC_ISSUER,
    PARTNER,
    STRANGER,
    TENANT,
    USER,
    V1_AUDIENCE,
    FakeIssuer,
    app_claims,
    b64,
    ec_jwk,
    json_bytes,
    jwk,
    oidc_claims,
    rsa_key,
    signed,
    token,
    token_by,
    user_claims,
    v1_claims,
    validator_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = json_bytes({"typ": "JWT", "alg": "RS256", "kid": KID})
GRAPH = "00000003-0000-0000-c000-000000000000"
LEEWAY_SECONDS = 60


def hs256(secret: bytes) -> str:
    content = (
        f"{b64(json_bytes({'typ': 'JWT', 'alg': 'HS256', 'kid': KID}))}.{b64(json_bytes(user_claims()))}"
    )
    return f"{content}.{b64(hmac.digest(secret, content.encode(), hashlib.sha256))}"


def hs256_with_the_public_key(encoding: Encoding) -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return hs256(rsa_key(KID).public_key().public_bytes(encoding, form))


def with_part(position: int, change: Callable[[str], str]) -> str:
    """A good token, one part of which is changed after signing."""
    parts = token(user_claims()).split(".")
    parts[position] = change(parts[position])
    return ".".join(parts)


def same_bytes_written_otherwise(part: str) -> str:
    """The last character of 256 bytes carries four bits of padding, which decoders tend to ignore."""
    return part[:-1] + chr(ord(part[-1]) + 1)


def duplicate(name: str, value: object) -> str:
    """A signed payload in which one claim comes a second time, in front."""
    return signed(
        HEADER, b"{" + json_bytes(name) + b":" + json_bytes(value) + b"," + json_bytes(user_claims())[1:]
    )


def user(**changes: Any) -> Callable[[], str]:
    return lambda: token(user_claims(**changes))


def app(**changes: Any) -> Callable[[], str]:
    return lambda: token(app_claims(**changes))


def v1(**changes: Any) -> Callable[[], str]:
    return lambda: token(v1_claims(**changes))


def oidc(**changes: Any) -> Callable[[], str]:
    return lambda: token(oidc_claims(**changes))


def header(**changes: Any) -> Callable[[], str]:
    return lambda: token(user_claims(), **changes)


def stranger(**changes: Any) -> Callable[[], str]:
    return lambda: token(user_claims(), signed_by="stranger", **changes)


INVALID = (401, "token-invalid")
EXPIRED = (401, "token-expired")
MISSING = (401, "token-missing")
FORBIDDEN = (403, "permission-missing")

type Attack = tuple[Callable[[], str], tuple[int, str], str]
"""What follows ``Bearer``; the status and the error's code; the reason, for telemetry only."""

ATTACKS: dict[str, Attack] = {
    # Not a token at all
    "nothing": (lambda: "", MISSING, "empty-token"),
    "one word": (lambda: "garbage", INVALID, "malformed"),
    "two parts": (lambda: "e30.e30", INVALID, "malformed"),
    "four parts": (lambda: f"{token(user_claims())}.e30", INVALID, "malformed"),
    "empty parts": (lambda: "..", INVALID, "malformed"),
    "encrypted (five parts)": (lambda: "e30.e30.e30.e30.e30", INVALID, "malformed"),
    "JSON serialization": (lambda: '{"payload":"e30","signature":"e30"}', INVALID, "malformed"),
    "control character": (lambda: token(user_claims()) + "\x00", INVALID, "malformed"),
    "non-ASCII digits": (lambda: token(user_claims()) + "٣", INVALID, "malformed"),
    "two tokens": (lambda: f"{token(user_claims())} {token(user_claims())}", INVALID, "malformed"),
    "two tokens with a comma": (
        lambda: f"{token(user_claims())},{token(user_claims())}",
        INVALID,
        "malformed",
    ),
    "the scheme twice": (lambda: f"Bearer {token(user_claims())}", INVALID, "malformed"),
    # Size
    "a token of 20 kB": (user(pad="x" * 15_000), INVALID, "too-long"),
    "a token of 10 MB": (lambda: "a" * 10_000_000, INVALID, "too-long"),
    "a long token that is not one": (lambda: "." * 9_000, INVALID, "malformed"),
    # Header
    "header not base64": (lambda: with_part(0, lambda part: f"a{part}"), INVALID, "header"),
    "header not JSON": (lambda: signed(b"{", json_bytes(user_claims())), INVALID, "header"),
    "header not UTF-8": (lambda: signed(b"\xff\xfe\xfd", json_bytes(user_claims())), INVALID, "header"),
    "header a list": (lambda: signed(b"[]", json_bytes(user_claims())), INVALID, "header"),
    "header null": (lambda: signed(b"null", json_bytes(user_claims())), INVALID, "header"),
    "header nested deeply": (lambda: signed(b"[" * 6_000, b"{}"), INVALID, "header"),
    "header with a huge number": (lambda: signed(b'{"alg":' + b"9" * 5_000 + b"}", b"{}"), INVALID, "header"),
    "header with two algorithms": (
        lambda: signed(b'{"alg":"none",' + HEADER[1:], json_bytes(user_claims())),
        INVALID,
        "header",
    ),
    "header with two key ids": (
        lambda: signed(b'{"kid":"another",' + HEADER[1:], json_bytes(user_claims())),
        INVALID,
        "header",
    ),
    "crit": (header(crit=["exp"]), INVALID, "crit"),
    "crit of a known extension": (header(crit=["b64"], b64=True), INVALID, "crit"),
    "crit empty": (header(crit=[]), INVALID, "crit"),
    "crit null": (lambda: signed(b'{"crit":null,' + HEADER[1:], json_bytes(user_claims())), INVALID, "crit"),
    "unencoded payload": (header(b64=False), INVALID, "crit"),
    "typ of a proof": (header(typ="dpop+jwt"), INVALID, "type"),
    "typ of an identity token hint": (header(typ="logout+jwt"), INVALID, "type"),
    "typ a number": (header(typ=7), INVALID, "type"),
    # Algorithm
    "alg none": (header(alg="none"), INVALID, "algorithm"),
    "alg None": (header(alg="None"), INVALID, "algorithm"),
    "alg none, unsigned": (
        lambda: f"{b64(b'{"alg":"none"}')}.{b64(json_bytes(user_claims()))}.",
        INVALID,
        "malformed",
    ),
    "alg missing": (header(alg=None), INVALID, "algorithm"),
    "alg in lower case": (header(alg="rs256"), INVALID, "algorithm"),
    "alg with a space": (header(alg="RS256 "), INVALID, "algorithm"),
    "alg RS512": (header(alg="RS512"), INVALID, "algorithm"),
    "alg a list": (header(alg=["RS256"]), INVALID, "algorithm"),
    "alg an object": (header(alg={"RS256": 1}), INVALID, "algorithm"),
    "HS256 with the public key (PEM)": (
        lambda: hs256_with_the_public_key(Encoding.PEM),
        INVALID,
        "algorithm",
    ),
    "HS256 with the public key (DER)": (
        lambda: hs256_with_the_public_key(Encoding.DER),
        INVALID,
        "algorithm",
    ),
    "HS256 with nothing": (lambda: hs256(b""), INVALID, "algorithm"),
    "PS256 where the issuer signs with RS256": (
        lambda: token_by("PS256", user_claims(), KID),
        INVALID,
        "algorithm",
    ),
    "ES256 where the issuer signs with RS256": (
        lambda: token_by("ES256", user_claims(), CURVE),
        INVALID,
        "algorithm",
    ),
    "ES256 said, RSA key": (
        lambda: token(oidc_claims(), alg="ES256"),
        INVALID,
        "key-algorithm",
    ),
    "RS256 said, EC key": (lambda: token(oidc_claims(), kid=CURVE), INVALID, "key-algorithm"),
    "PS256 said, RS256 signed": (lambda: token(oidc_claims(), alg="PS256"), INVALID, "signature"),
    # Key
    "kid missing": (header(kid=None), INVALID, "kid"),
    "kid empty": (header(kid=""), INVALID, "kid"),
    "kid a number": (header(kid=1), INVALID, "kid"),
    "kid a list of many": (header(kid=[KID] * 500), INVALID, "kid"),
    "kid very long": (header(kid="k" * 129), INVALID, "kid"),
    "kid unknown": (header(kid="another"), INVALID, "unknown-key"),
    "kid a path": (header(kid="../../dev/null"), INVALID, "unknown-key"),
    "kid an SQL injection": (header(kid="' UNION SELECT 'key"), INVALID, "unknown-key"),
    "kid swapped for another of the issuer's": (header(kid="key-2"), INVALID, "signature"),
    "kid of another tenant's key": (
        lambda: token(user_claims(), kid="partner-only", signed_by="partner-only"),
        INVALID,
        "key-issuer",
    ),
    "signed by a stranger": (stranger(), INVALID, "signature"),
    "own key in jwk": (stranger(jwk=jwk("stranger")), INVALID, "signature"),
    "own key in jwk, its kid": (
        stranger(jwk=jwk("stranger"), kid="stranger"),
        INVALID,
        "unknown-key",
    ),
    "own key at jku": (stranger(jku="https://attacker.example/keys"), INVALID, "signature"),
    "own certificate at x5u": (stranger(x5u="https://attacker.example/cert"), INVALID, "signature"),
    "own certificate in x5c": (stranger(x5c=["MIIB"]), INVALID, "signature"),
    "own thumbprint in x5t": (stranger(x5t="AAAA"), INVALID, "signature"),
    # Signature
    "signature cut off": (lambda: with_part(2, lambda _: ""), INVALID, "malformed"),
    "signature cut by a byte": (
        lambda: signed(HEADER, json_bytes(user_claims()), signature_bytes=255),
        INVALID,
        "signature",
    ),
    "signature cut by a character": (lambda: with_part(2, lambda part: part[:-1]), INVALID, "malformed"),
    "signature written otherwise": (lambda: with_part(2, same_bytes_written_otherwise), INVALID, "malformed"),
    "signature with padding": (lambda: with_part(2, lambda part: f"{part}=="), INVALID, "malformed"),
    "signature in plain base64": (
        lambda: with_part(2, lambda part: f"{part.replace('-', '+').replace('_', '/')}+"),
        INVALID,
        "malformed",
    ),
    "signature of zeros": (lambda: with_part(2, lambda _: b64(bytes(256))), INVALID, "signature"),
    "signature in hexadecimal": (lambda: with_part(2, lambda _: "00" * 256), INVALID, "signature"),
    "ES256 signature of zeros": (
        lambda: f"{token_by('ES256', oidc_claims(), CURVE).rpartition('.')[0]}.{b64(bytes(64))}",
        INVALID,
        "signature",
    ),
    "payload swapped": (
        lambda: with_part(1, lambda _: b64(json_bytes(user_claims(scp="Files.ReadWrite")))),
        INVALID,
        "signature",
    ),
    "header swapped": (
        lambda: with_part(0, lambda _: b64(json_bytes({"alg": "RS256", "kid": KID}))),
        INVALID,
        "signature",
    ),
    # Payload
    "payload not JSON": (lambda: signed(HEADER, b"{"), INVALID, "payload"),
    "payload a list": (lambda: token([]), INVALID, "payload"),
    "payload a string": (lambda: token("claims"), INVALID, "payload"),
    "payload nested deeply": (lambda: signed(HEADER, b"[" * 6_000), INVALID, "payload"),
    "payload not UTF-8": (lambda: signed(HEADER, b"\xff"), INVALID, "payload"),
    "payload another token": (lambda: signed(HEADER, token(user_claims()).encode()), INVALID, "payload"),
    "scp twice": (lambda: duplicate("scp", "Files.ReadWrite"), INVALID, "payload"),
    "iss twice": (lambda: duplicate("iss", OIDC_ISSUER), INVALID, "payload"),
    "oid twice, the same": (lambda: duplicate("oid", USER), INVALID, "payload"),
    "a claim twice inside another": (
        lambda: signed(HEADER, json_bytes(user_claims())[:-1] + b',"x":{"a":1,"a":2}}'),
        INVALID,
        "payload",
    ),
    # Issuer
    "iss missing": (user(iss=None), INVALID, "issuer"),
    "iss another tenant": (user(iss=ISSUER.replace(TENANT, STRANGER)), INVALID, "issuer"),
    "iss and tid another tenant": (
        user(iss=ISSUER.replace(TENANT, STRANGER), tid=STRANGER),
        INVALID,
        "issuer",
    ),
    "iss a tenant, tid another that is let in": (user(tid=PARTNER), INVALID, "tenant"),
    "tid a tenant, iss another that is let in": (
        user(iss=ISSUER.replace(TENANT, PARTNER)),
        INVALID,
        "tenant",
    ),
    "iss the template": (user(iss="https://login.example/{tid}/v2.0"), INVALID, "issuer"),
    "iss the template with tenantid": (user(iss="https://login.example/{tenantid}/v2.0"), INVALID, "issuer"),
    "iss of all tenants": (user(iss="https://login.example/common/v2.0"), INVALID, "issuer"),
    "iss with a slash": (user(iss=f"{ISSUER}/"), INVALID, "issuer"),
    "iss in upper case": (user(iss=ISSUER.upper()), INVALID, "issuer"),
    "iss with more behind": (user(iss=f"{ISSUER}.attacker.example"), INVALID, "issuer"),
    "iss with plain http": (user(iss=ISSUER.replace("https", "http")), INVALID, "issuer"),
    "iss a list": (user(iss=[ISSUER]), INVALID, "issuer"),
    "iss an object": (user(iss={"$eq": ISSUER}), INVALID, "issuer"),
    "iss a number": (user(iss=1), INVALID, "issuer"),
    "iss another that is trusted": (user(iss=OIDC_ISSUER), INVALID, "audience"),
    "another issuer's claims under ours": (oidc(iss=ISSUER), INVALID, "audience"),
    # Audience
    "aud missing": (user(aud=None), INVALID, "audience"),
    "aud another API": (user(aud=CLIENT), INVALID, "audience"),
    "aud a list": (user(aud=[AUDIENCE]), INVALID, "audience"),
    "aud a list with another API": (user(aud=[AUDIENCE, CLIENT]), INVALID, "audience"),
    "aud an object": (user(aud={AUDIENCE: 1}), INVALID, "audience"),
    "aud a number": (user(aud=7), INVALID, "audience"),
    "aud a part of ours": (user(aud=AUDIENCE[:-1]), INVALID, "audience"),
    "aud ours and more": (user(aud=f"{AUDIENCE} {CLIENT}"), INVALID, "audience"),
    "aud in a URI": (user(aud=f"api://{AUDIENCE}"), INVALID, "audience"),
    "aud empty": (user(aud=""), INVALID, "audience"),
    "aud of the other version": (user(aud=V1_AUDIENCE), INVALID, "audience"),
    "aud a list without ours": (oidc(aud=[f"{OIDC_ISSUER}userinfo"]), INVALID, "audience"),
    "aud a list in a list": (oidc(aud=[[OIDC_AUDIENCE]]), INVALID, "audience"),
    "aud a list with a number": (oidc(aud=[OIDC_AUDIENCE, 7]), INVALID, "audience"),
    "aud an empty list": (oidc(aud=[]), INVALID, "audience"),
    # Microsoft Graph
    "a Graph token": (header(nonce="x"), INVALID, "graph"),
    "a Graph token by its audience": (user(aud=GRAPH), INVALID, "graph"),
    "a Graph token by its address": (user(aud="https://graph.microsoft.com"), INVALID, "graph"),
    "a Graph token of version 1.0": (v1(iss="https://sts.windows.net/x/", aud=GRAPH), INVALID, "graph"),
    # Version
    "ver 1.0 from the issuer of 2.0": (user(ver="1.0"), INVALID, "claim:ver"),
    "ver 2.0 from the issuer of 1.0": (v1(ver="2.0"), INVALID, "claim:ver"),
    "ver missing": (user(ver=None), INVALID, "claim:ver"),
    "ver a number": (user(ver=2.0), INVALID, "claim:ver"),
    "azp in version 1.0": (v1(appid=None, azp=CLIENT), INVALID, "claim:appid"),
    # Times
    "expired": (user(exp=NOW_SECONDS - 3600), EXPIRED, "expired"),
    "expired by the leeway": (user(exp=NOW_SECONDS - LEEWAY_SECONDS), EXPIRED, "expired"),
    "expired before 1970": (user(exp=-1), EXPIRED, "expired"),
    "expired forgery": (
        lambda: token(user_claims(exp=NOW_SECONDS - 3600), signed_by="stranger"),
        INVALID,
        "signature",
    ),
    "exp missing": (user(exp=None), INVALID, "claim:exp"),
    "nbf missing": (user(nbf=None), INVALID, "claim:nbf"),
    "iat missing": (user(iat=None), INVALID, "claim:iat"),
    "exp text": (user(exp=str(NOW_SECONDS + 3600)), INVALID, "claim:exp"),
    "exp true": (user(exp=True), INVALID, "claim:exp"),
    "exp not a number": (user(exp=float("nan")), INVALID, "payload"),
    "exp infinite": (user(exp=float("inf")), INVALID, "payload"),
    "exp larger than any number": (
        lambda: signed(HEADER, json_bytes(user_claims(exp=7)).replace(b'"exp": 7', b'"exp": 1e999')),
        INVALID,
        "claim:exp",
    ),
    "exp a list": (user(exp=[NOW_SECONDS + 3600]), INVALID, "claim:exp"),
    "nbf text": (user(nbf="0"), INVALID, "claim:nbf"),
    "nbf text where it is not needed": (oidc(nbf="0"), INVALID, "claim:nbf"),
    "nbf beyond the leeway": (user(nbf=NOW_SECONDS + LEEWAY_SECONDS + 1), INVALID, "not-before"),
    "iat beyond the leeway": (user(iat=NOW_SECONDS + LEEWAY_SECONDS + 1), INVALID, "issued-at"),
    "iat absurd": (user(iat=10**4000), INVALID, "issued-at"),
    "iat an object": (user(iat={}), INVALID, "claim:iat"),
    # Who
    "tid missing": (user(tid=None), INVALID, "claim:tid"),
    "tid not a GUID": (user(tid="common"), INVALID, "claim:tid"),
    "tid a GUID and more": (user(tid=f"{TENANT}\n"), INVALID, "claim:tid"),
    "tid a GUID in braces": (user(tid=f"{{{TENANT}}}"), INVALID, "claim:tid"),
    "tid a list": (user(tid=[TENANT]), INVALID, "claim:tid"),
    "oid missing": (user(oid=None), INVALID, "claim:oid"),
    "oid only as sub": (user(oid=None, sub=USER), INVALID, "claim:oid"),
    "oid a path": (user(oid=f"../{USER}"), INVALID, "claim:oid"),
    "oid a number": (user(oid=7), INVALID, "claim:oid"),
    "an e-mail address for oid": (user(oid="alice@dropbell.example"), INVALID, "claim:oid"),
    "azp missing": (user(azp=None), INVALID, "claim:azp"),
    "azp a list": (user(azp=[CLIENT]), INVALID, "claim:azp"),
    "sub missing": (oidc(sub=None), INVALID, "claim:sub"),
    "sub empty": (oidc(sub=""), INVALID, "claim:sub"),
    "sub very long": (oidc(sub="s" * 256), INVALID, "claim:sub"),
    "sub with a line break": (oidc(sub="people|7\n"), INVALID, "claim:sub"),
    "sub not ASCII": (oidc(sub="pe\u043eple|7"), INVALID, "claim:sub"),
    "sub a number": (oidc(sub=7), INVALID, "claim:sub"),
    # What for
    "neither scopes nor roles": (user(scp=None), INVALID, "no-grant"),
    "scp blank": (user(scp=" "), INVALID, "no-grant"),
    "scp a list": (user(scp=["Files.Read"]), INVALID, "claim:scp"),
    "scp an object": (user(scp={"Files.Read": 1}), INVALID, "claim:scp"),
    "scope a number": (oidc(scope=7), INVALID, "claim:scope"),
    "scope a list with a number": (oidc(scope=["Files.Read", 7]), INVALID, "claim:scope"),
    "app posing as a user": (app(scp="Files.Read"), INVALID, "app-with-scopes"),
    "user posing as an app": (user(roles=["Files.Read.All"], idtyp="app"), INVALID, "app-with-scopes"),
    "roles of a user without scp": (user(scp=None, roles=["Operations.Read"]), INVALID, "no-grant"),
    "roles without idtyp": (app(idtyp=None), INVALID, "no-grant"),
    "roles with idtyp user": (app(idtyp="user"), INVALID, "no-grant"),
    "roles with idtyp in upper case": (app(idtyp="APP"), INVALID, "no-grant"),
    "roles with idtyp a list": (app(idtyp=["app"]), INVALID, "no-grant"),
    "the exception with another idtyp": (app(azp=DAEMON, idtyp="user"), INVALID, "no-grant"),
    "roles empty": (app(roles=[]), INVALID, "no-grant"),
    "roles text": (app(roles="Files.Read.All"), INVALID, "claim:roles"),
    "roles with a number": (app(roles=["Files.Read.All", 1]), INVALID, "claim:roles"),
    "roles of a user not a list": (user(roles={"Operations.Read": 1}), INVALID, "claim:roles"),
    # Who may do something, but not this (GET of a file needs files.read)
    "scope in lower case": (user(scp="files.read"), FORBIDDEN, "permission-missing:files.read"),
    "scope with more behind": (user(scp="Files.Readable"), FORBIDDEN, "permission-missing:files.read"),
    "scope with more before": (user(scp="My.Files.Read"), FORBIDDEN, "permission-missing:files.read"),
    "scope in lower case, more behind": (
        user(scp="files.readwrite"),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "scope of another kind": (user(scp="Deliveries.Read"), FORBIDDEN, "permission-missing:files.read"),
    "scopes set apart by a comma": (
        user(scp="openid,Files.Read"),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "scopes set apart by a tab": (user(scp="openid\tFiles.Read"), FORBIDDEN, "permission-missing:files.read"),
    "scopes set apart by another space": (
        user(scp="openid\u00a0Files.Read"),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "scope with the API's name": (
        user(scp="api://dropbell/Files.Read"),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "app role as a scope": (user(scp="Files.Read.All"), FORBIDDEN, "permission-missing:files.read"),
    "app role of a user": (
        user(scp="openid", roles=["Files.Read.All"]),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "scope as an app role": (app(roles=["Files.Read"]), FORBIDDEN, "permission-missing:files.read"),
    "operator": (
        user(scp="openid", roles=["Operations.Read", "Operations.Redrive"]),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
    "operator's role as a user's scope": (
        oidc(scope="Operations.Read"),
        FORBIDDEN,
        "permission-missing:files.read",
    ),
}


async def answer(authorization: bytes) -> Response:
    """What a route that needs ``files.read`` answers, over the web layer that every route shares."""
    keys = [jwk(), jwk("key-2"), jwk("partner-only", issuer=ISSUER.replace(TENANT, PARTNER)), ec_jwk()]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"authorization", authorization)],
    }

    async def serve(_call: Call) -> Response:
        return Response("served")

    return await Front(validator_of(source=FakeIssuer(*keys))).answer("get_file", Request(scope), serve)


@pytest.mark.parametrize("name", ATTACKS)
async def test_each_attack_gets_its_exact_answer(name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, (status, code), reason = ATTACKS[name]
    caplog.set_level(logging.INFO, "dropbell")
    sent = make()

    answered = await answer(f"Bearer {sent}".encode())

    problem = json.loads(bytes(answered.body))
    assert (answered.status_code, problem["type"]) == (status, f"/api/problems/{code}")
    (event,) = (json.loads(message) for message in caplog.messages)
    assert (event["reason"], event["status_code"]) == (reason, status)
    error = {MISSING: "", FORBIDDEN: ', error="insufficient_scope"'}.get(
        (status, code), f', error="invalid_token", error_description="{problem["detail"]}"'
    )
    challenge = answered.headers["www-authenticate"]
    assert re.fullmatch(
        re.escape(f'Bearer realm="dropbell"{error}') + r', scope="Files\.Read(\.All)?"', challenge
    )
    assert challenge.isascii()
    said = f"{problem} {challenge} {event}"
    assert not any(len(part) > 20 and part in said for part in sent.split("."))


async def test_the_attacks_differ_from_tokens_that_are_served() -> None:
    good = {
        "user": token(user_claims()),
        "app": token(app_claims()),
        "app without the mark": token(app_claims(azp=DAEMON, idtyp=None)),
        "partner": token(user_claims(iss=ISSUER.replace(TENANT, PARTNER), tid=PARTNER)),
        "partner's key": token(
            user_claims(iss=ISSUER.replace(TENANT, PARTNER), tid=PARTNER),
            kid="partner-only",
            signed_by="partner-only",
        ),
        "version 1.0": token(v1_claims()),
        "version 1.0, app": token(v1_claims(scp=None, idtyp="app", roles=["Files.Read.All"])),
        "OpenID Connect": token(oidc_claims()),
        "PS256": token_by("PS256", oidc_claims(), KID),
        "ES256": token_by("ES256", oidc_claims(), CURVE),
        "read and write": token(user_claims(scp="Files.ReadWrite")),
    }
    answers = {name: (await answer(f"Bearer {sent}".encode())).status_code for name, sent in good.items()}
    assert answers == dict.fromkeys(good, 200)


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
        await validator_of().authenticate(authorization)
    assert (refused.value.reason, refused.value.code) == (reason, "token-missing")
    assert refused.value.headers == {"WWW-Authenticate": 'Bearer realm="dropbell"'}


def test_there_are_many_attacks_and_the_forge_makes_what_it_says() -> None:
    assert len(ATTACKS) >= 60
    payload = token(user_claims()).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(f"{payload}==")) == user_claims()
