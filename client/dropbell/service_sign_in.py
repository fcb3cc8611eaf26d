"""Where access tokens come from when a service signs in as itself (RFC 6749 §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dropbell.errors import InputError
from dropbell.issuer import Issuer, Token, lasting_token

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import msal
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate as X509Certificate


@dataclass(frozen=True)
class Certificate:
    """A certificate with its RSA private key, both PEM. msal computes the thumbprint and signs with it."""

    private_key_pem: str = field(repr=False)
    certificate_pem: str

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], password: str | None = None) -> Self:
        """Read a PEM file that holds the private key and its certificate, in any order, or a whole chain.

        Args:
            path: The file.
            password: What an encrypted private key is opened with.

        Raises:
            InputError: The file cannot be read, or holds no pair that can sign in.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        pem = _read(path)
        key = _rsa_key(pem, path, password)
        try:
            chain = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise InputError(f"{path} holds no certificate (PEM).") from error
        own = next((each for each in chain if each.public_key() == key.public_key()), None)
        if own is None:
            raise InputError(f"The private key in {path} does not belong to the certificate there.")
        _check_not_expired(own, path)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),  # in memory only
        )
        return cls(key_pem.decode(), own.public_bytes(serialization.Encoding.PEM).decode())


Assertion = Callable[[], str]
"""Gives a signed statement of who the service is (RFC 7523 §2.2); asked again for every new token."""

Credential = str | Certificate | Assertion
"""How a service proves itself: a secret, a certificate or an assertion."""


def assertion_from_file(path: str | os.PathLike[str]) -> Assertion:
    """Read the assertion from a file, anew each time: workload identity federation keeps replacing it."""

    def read() -> str:
        assertion = _read(path).decode("ascii", "replace").strip()
        if assertion.count(".") != 2:  # RFC 7515 §7.1
            raise InputError(f"{path} holds no assertion (a signed JWT).")
        return assertion

    return read


class ClientCredentialSignIn:
    """A service signs in as itself; its tokens are kept in memory only.

    Args:
        authority: ``https://login.microsoftonline.com/<tenant id>`` or another issuer's.
        client_id: The confidential client's id.
        credential: How it proves itself.
        scope: ``api://dropbell/.default``: what the app was given by its administrator.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        trust_env: Take proxies from the environment.

    Raises:
        InputError: The authority is not ``https://host/tenant``.
    """

    def __init__(
        self,
        authority: str,
        client_id: str,
        credential: Credential,
        scope: str,
        ca_file: str | None = None,
        *,
        trust_env: bool = False,
    ) -> None:
        self.issuer = Issuer.at(authority, ca_file, trust_env=trust_env)
        self.client_id = client_id
        self._credential = credential
        self._scope = scope
        self._application: msal.ConfidentialClientApplication | None = None

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
        """Return a token from msal's cache, or a new one.

        Raises:
            InputError: The assertion cannot be had.
            NotSignedInError: The issuer gives no token.
            ConnectionFailedError: The issuer was not reached.
        """
        if force_refresh:
            return self._acquire(True).value
        return lasting_token(self._acquire, lasting_seconds)

    def _acquire(self, force_refresh: bool) -> Token:
        with self.issuer.errors_translated():
            # A new application has an empty cache; until it has a token, the old one keeps its own.
            application = None if force_refresh else self._application
            application = application or self._new_application()
            token = Token.from_result(application.acquire_token_for_client([self._scope]))
        self._application = application
        return token

    def _new_application(self) -> msal.ConfidentialClientApplication:
        import msal

        return msal.ConfidentialClientApplication(
            self.client_id,
            client_credential=_as_msal_takes_it(self._credential),
            **self.issuer.application_options(),
        )


def default_scope(scopes: Sequence[str]) -> str:
    """Return the one scope that services ask for, ``api://dropbell/.default``, from scopes of the same API.

    Raises:
        InputError: The scopes name no API or several.
    """
    apis = {scope.rpartition("/")[0] for scope in scopes}
    if len(apis) != 1 or "" in apis:
        raise InputError("A service asks for the scopes of one API, such as api://dropbell/.default.")
    return f"{apis.pop()}/.default"


def _as_msal_takes_it(credential: Credential) -> str | Mapping[str, object]:
    match credential:
        case str():
            return credential
        case Certificate():
            # Without a given thumbprint msal computes it, SHA-256, and signs with PS256.
            return {
                "private_key": credential.private_key_pem,
                "public_certificate": credential.certificate_pem,
            }
        case _:
            return {"client_assertion": credential}


def _rsa_key(pem: bytes, path: str | os.PathLike[str], password: str | None) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    block = _private_key_block(pem)
    is_encrypted = b"ENCRYPTED" in b"".join(block.splitlines()[:2])  # RFC 7468 §11, and OpenSSL's older form
    if is_encrypted and not password:
        raise InputError(f"The private key in {path} is encrypted; its password is needed.")
    try:
        key = serialization.load_pem_private_key(
            block, password.encode() if is_encrypted and password else None
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        reason = (
            f"The private key in {path} does not open with the given password."
            if is_encrypted
            else f"{path} holds no private key (PEM)."
        )
        raise InputError(reason) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InputError(f"The private key in {path} is not an RSA key, which sign-in by certificate needs.")
    return key


def _private_key_block(pem: bytes) -> bytes:
    """Return from where the private key begins: it may stand behind the certificate."""
    lines = pem.splitlines(keepends=True)
    starts = [n for n, line in enumerate(lines) if line.startswith(b"-----BEGIN ") and b"PRIVATE KEY" in line]
    return b"".join(lines[starts[0] :]) if starts else b""


def _check_not_expired(certificate: X509Certificate, path: str | os.PathLike[str]) -> None:
    until = certificate.not_valid_after_utc
    if until < datetime.now(UTC):
        raise InputError(f"The certificate in {path} has expired on {until:%Y-%m-%d}.")


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
