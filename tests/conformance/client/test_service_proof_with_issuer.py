"""A service proves itself by a certificate or an assertion, against the local issuer."""

from __future__ import annotations

import copy
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from dropbell.errors import NotSignedInError
from dropbell.service_sign_in import Certificate, ClientCredentialSignIn
from tests.conformance.client.issuer import APPS, DIRECTORY, running_issuer
from tests.unit.client.certificates import certificate_for, certificate_pem, key_pem, new_rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from tests.conformance.client.issuer import Issuer

CLIENT_ID = APPS["ingest-app"]["client_id"]
SCOPE = "api://dropbell/.default"
KEY = new_rsa_key()
CERTIFICATE = certificate_for(KEY)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """An issuer at which ``ingest-app`` has a certificate and no secret."""
    folder = tmp_path_factory.mktemp("issuer-with-certificate")
    directory = copy.deepcopy(DIRECTORY)
    app = next(app for app in directory["apps"] if app["name"] == "ingest-app")
    del app["secret"]
    app["certificates"] = [certificate_pem(CERTIFICATE).decode()]
    config = folder / "directory.json"
    config.write_text(json.dumps(directory))
    with running_issuer(folder, "--config", str(config)) as running:
        yield running


def sign_in(issuer: Issuer, credential: Any) -> ClientCredentialSignIn:
    return ClientCredentialSignIn(issuer.authority, CLIENT_ID, credential, SCOPE, issuer.ca_file)


def assertion(issuer: Issuer, key: RSAPrivateKey = KEY, algorithm: str = "RS256", **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": f"{issuer.authority}/oauth2/v2.0/token",
        "iat": now,
        "exp": now + 300,
        "jti": uuid.uuid4().hex,
    } | changed
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


def test_a_certificate_signs_a_service_in(issuer: Issuer) -> None:
    certificate = Certificate(key_pem(KEY).decode(), certificate_pem(CERTIFICATE).decode())

    token = sign_in(issuer, certificate).access_token()

    assert issuer.accepts(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["idtyp"], claims["azp"]) == ("app", CLIENT_ID)


def test_an_assertion_signs_a_service_in(issuer: Issuer) -> None:
    assert issuer.accepts(sign_in(issuer, lambda: assertion(issuer)).access_token())


def test_a_certificate_that_is_not_registered_is_refused(issuer: Issuer) -> None:
    key = new_rsa_key()
    foreign = Certificate(key_pem(key).decode(), certificate_pem(certificate_for(key)).decode())

    with pytest.raises(NotSignedInError):
        sign_in(issuer, foreign).access_token()


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody-else"},
        {"sub": "55f622b2-0ab4-48dc-86ac-000000000000"},
        {"aud": "https://elsewhere.example/token"},
        {"aud": ["https://elsewhere.example/token"]},
        {"exp": 1},
        {"exp": "never"},
        {"exp": None},
        {"jti": None},
        {"nbf": 99_999_999_999},
    ],
)
def test_an_assertion_that_proves_something_else_is_refused(issuer: Issuer, changed: dict[str, Any]) -> None:
    with pytest.raises(NotSignedInError):
        sign_in(issuer, lambda: assertion(issuer, **changed)).access_token()


def test_a_secret_is_no_proof_where_none_is_registered(issuer: Issuer) -> None:
    with pytest.raises(NotSignedInError):
        sign_in(issuer, APPS["ingest-app"]["secret"]).access_token()
