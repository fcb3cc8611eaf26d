"""Services: what cannot prove them is refused early, and what the issuer is sent."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dropbell.errors import ConnectionFailedError, InputError, NotSignedInError
from dropbell.service_sign_in import Certificate, ClientCredentialSignIn, assertion_from_file, default_scope
from tests.unit.client.certificates import certificate_for, certificate_pem, key_pem, new_rsa_key
from tests.unit.client.fake_issuer import FakeIssuer, fake_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import rsa

    from dropbell.service_sign_in import Credential

CLIENT_ID = "55f622b2-0ab4-48dc-86ac-29f7a125db22"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONG_ENOUGH_SECONDS = 15 * 60
PASSWORD = "open sesame"


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[FakeIssuer]:
    with fake_issuer(tmp_path) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_rsa_key()


def service(issuer: FakeIssuer, credential: Credential = "secret") -> ClientCredentialSignIn:
    return ClientCredentialSignIn(
        issuer.authority, CLIENT_ID, credential, "api://dropbell/.default", issuer.ca_file
    )


def written(directory: Path, *blocks: bytes) -> Path:
    path = directory / "service.pem"
    path.write_bytes(b"".join(blocks))
    return path


def test_a_secret_is_sent_and_its_token_kept(issuer: FakeIssuer) -> None:
    sign_in = service(issuer)
    assert [sign_in.access_token(), sign_in.access_token()] == ["token-1", "token-1"]
    [request] = issuer.requests
    assert (request["grant_type"], request["scope"]) == ("client_credentials", "api://dropbell/.default")
    assert (request["client_id"], request["client_secret"]) == (CLIENT_ID, "secret")


def test_a_refused_token_is_replaced_though_it_looks_valid(issuer: FakeIssuer) -> None:
    sign_in = service(issuer)
    assert sign_in.access_token() == "token-1"
    assert sign_in.access_token(force_refresh=True) == "token-2"
    assert sign_in.access_token() == "token-2"


def test_a_token_that_would_not_last_is_replaced_ahead_of_its_end(issuer: FakeIssuer) -> None:
    issuer.token_lifetime_seconds = LONG_ENOUGH_SECONDS - 60
    sign_in = service(issuer)
    assert [sign_in.access_token(), sign_in.access_token()] == ["token-1", "token-1"]
    assert sign_in.access_token(lasting_seconds=LONG_ENOUGH_SECONDS) == "token-2"


def test_a_token_given_just_now_is_not_asked_for_twice(issuer: FakeIssuer) -> None:
    issuer.token_lifetime_seconds = 60
    assert service(issuer).access_token(lasting_seconds=LONG_ENOUGH_SECONDS) == "token-1"


def test_a_token_that_lasts_is_not_replaced(issuer: FakeIssuer) -> None:
    sign_in = service(issuer)
    sign_in.access_token()
    assert sign_in.access_token(lasting_seconds=LONG_ENOUGH_SECONDS) == "token-1"


def test_while_the_issuer_gives_none_the_valid_token_serves_on(issuer: FakeIssuer) -> None:
    issuer.token_lifetime_seconds = LONG_ENOUGH_SECONDS - 60
    sign_in = service(issuer)
    sign_in.access_token()
    issuer.refusal = {"error": "temporarily_unavailable"}
    for _ in range(2):
        assert sign_in.access_token(lasting_seconds=LONG_ENOUGH_SECONDS) == "token-1"
    with pytest.raises(NotSignedInError, match="temporarily_unavailable"):
        sign_in.access_token(force_refresh=True)
    assert sign_in.access_token() == "token-1"


def test_while_the_issuer_is_away_the_valid_token_serves_on(tmp_path: Path) -> None:
    with fake_issuer(tmp_path) as issuer:
        issuer.token_lifetime_seconds = LONG_ENOUGH_SECONDS - 60
        sign_in = service(issuer)
        sign_in.access_token()
    assert sign_in.access_token(lasting_seconds=LONG_ENOUGH_SECONDS) == "token-1"
    with pytest.raises(ConnectionFailedError):
        sign_in.access_token(force_refresh=True)


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize("key_first", [True, False])
def test_a_certificate_signs_for_this_client_and_this_issuer(
    issuer: FakeIssuer, key: rsa.RSAPrivateKey, tmp_path: Path, password: str | None, key_first: bool
) -> None:
    certificate = certificate_for(key)
    chain = certificate_pem(certificate) + certificate_pem(certificate_for(new_rsa_key()))
    blocks = [key_pem(key, password), chain]
    path = written(tmp_path, *(blocks if key_first else reversed(blocks)))
    service(issuer, Certificate.from_file(path, password)).access_token()

    [request] = issuer.requests
    assert request["client_assertion_type"] == JWT_BEARER
    assert "client_secret" not in request
    assertion = request["client_assertion"]
    claims = jwt.decode(assertion, key.public_key(), algorithms=["PS256"], audience=issuer.token_endpoint)
    assert (claims["iss"], claims["sub"]) == (CLIENT_ID, CLIENT_ID)
    der = certificate.public_bytes(serialization.Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert jwt.get_unverified_header(assertion)["x5t#S256"].rstrip("=") == thumbprint


def test_a_password_for_a_key_that_needs_none_does_no_harm(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    path = written(tmp_path, key_pem(key), certificate_pem(certificate_for(key)))
    assert Certificate.from_file(path, PASSWORD) == Certificate.from_file(path)


def test_a_certificate_does_not_show_its_key_by_accident(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    path = written(tmp_path, key_pem(key), certificate_pem(certificate_for(key)))
    assert "PRIVATE KEY" not in repr(Certificate.from_file(path))


def test_a_certificate_file_that_cannot_sign_in_is_told_apart(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    own = certificate_pem(certificate_for(key))
    elliptic = ec.generate_private_key(ec.SECP256R1())
    ended = certificate_for(key, ends_in=dt.timedelta(days=-1))
    cases: list[tuple[tuple[bytes, ...], str | None, str]] = [
        ((), None, "holds no private key"),
        ((b"\xff\x00 rubbish",), None, "holds no private key"),
        ((own,), None, "holds no private key"),
        ((key_pem(key)[:200],), None, "holds no private key"),
        ((key_pem(key),), None, "holds no certificate"),
        ((key_pem(key), own[:200]), None, "holds no certificate"),
        ((key_pem(key), certificate_pem(certificate_for(new_rsa_key()))), None, "does not belong to"),
        ((key_pem(elliptic), certificate_pem(certificate_for(elliptic))), None, "not an RSA key"),
        ((key_pem(key, PASSWORD), own), None, "is encrypted; its password is needed"),
        ((key_pem(key, PASSWORD), own), "wrong", "does not open with the given password"),
        ((key_pem(key), certificate_pem(ended)), None, "has expired on"),
    ]
    for blocks, password, sentence in cases:
        path = written(tmp_path, *blocks)
        with pytest.raises(InputError, match=sentence):
            Certificate.from_file(path, password)
    with pytest.raises(InputError, match=r"absent\.pem cannot be read: No such file"):
        Certificate.from_file(tmp_path / "absent.pem")


def test_an_assertion_is_read_anew_for_every_token(issuer: FakeIssuer, tmp_path: Path) -> None:
    path = tmp_path / "identity-token"
    sign_in = service(issuer, assertion_from_file(path))
    path.write_text("first.signed.statement\n")
    sign_in.access_token()
    path.write_text("second.signed.statement")
    sign_in.access_token()  # the first token still serves
    sign_in.access_token(force_refresh=True)
    assert [request["client_assertion"] for request in issuer.requests] == [
        "first.signed.statement",
        "second.signed.statement",
    ]
    assert issuer.requests[0]["client_assertion_type"] == JWT_BEARER


def test_an_assertion_can_come_from_anywhere(issuer: FakeIssuer) -> None:
    service(issuer, lambda: "some.signed.statement").access_token()
    assert issuer.requests[0]["client_assertion"] == "some.signed.statement"


@pytest.mark.parametrize("content", [None, "", "no assertion", "two.parts", "\xff\xfe"])
def test_an_assertion_that_is_not_there_is_no_matter_of_the_issuer(
    issuer: FakeIssuer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "identity-token"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match="identity-token"):
        service(issuer, assertion_from_file(path)).access_token()
    assert issuer.requests == []


def test_a_service_asks_for_all_it_was_given_on_one_api() -> None:
    assert default_scope(["api://dropbell/Files.Read", "api://dropbell/Files.ReadWrite"]) == (
        "api://dropbell/.default"
    )
    assert default_scope(["api://dropbell/.default"]) == "api://dropbell/.default"


@pytest.mark.parametrize("scopes", [[], ["Files.Read"], ["api://a/Files.Read", "api://b/Files.Read"]])
def test_scopes_of_no_api_or_of_several_are_refused(scopes: list[str]) -> None:
    with pytest.raises(InputError, match="one API"):
        default_scope(scopes)
