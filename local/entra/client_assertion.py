"""A client that proves itself by a signed statement in place of a secret (RFC 7523 §2.2 and §3).

The keys are those of the certificates registered for the application, as with Entra:
https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jwt
from cryptography import x509

from local.entra.oauth_error import OAuthError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from jwt.types import Options

    from local.entra.directory import App
    from local.entra.tokens import Tenant

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS: Final = ("PS256", "RS256")
_LEEWAY_SECONDS: Final = 60
_CHECKED_HERE: Final[Options] = {
    "require": ["exp", "iss", "sub", "aud", "jti"],
    "verify_aud": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
"""PyJWT verifies the signature; audience and times are judged below, by the issuer's own clock."""


def check_assertion(assertion: str, client: App, tenant: Tenant, now_seconds: float) -> None:
    """Return when ``assertion`` proves that ``client`` sent it; raises OAuthError (``invalid_client``)."""
    for key in _registered_keys(client):
        try:
            claims = jwt.decode(
                assertion,
                key,  # type: ignore[arg-type]  # of a certificate: any kind; PyJWT refuses what is no RSA key
                algorithms=_ALGORITHMS,
                options=_CHECKED_HERE,
            )
        except jwt.PyJWTError:
            continue
        if not _is_meant(claims, client, tenant):
            raise _refused("The assertion must have the client id as iss and sub and this endpoint as aud.")
        if not _is_current(claims, now_seconds):
            raise _refused("The assertion has expired, or is not valid yet.")
        return
    raise _refused("The assertion is not signed by a certificate that is registered for the application.")


def _registered_keys(client: App) -> Iterator[PublicKeyTypes]:
    for pem in client.certificates:
        yield x509.load_pem_x509_certificate(pem.encode()).public_key()


def _is_meant(claims: dict[str, object], client: App, tenant: Tenant) -> bool:
    audience = claims["aud"]
    endpoint_path = f"/{tenant.directory.tenant_id}/oauth2/v2.0/token"
    return (
        claims["iss"] == claims["sub"] == client.client_id
        and isinstance(audience, str)
        # By whichever of its addresses the endpoint was found.
        and (audience == tenant.issuer or urlsplit(audience).path == endpoint_path)
    )


def _is_current(claims: dict[str, object], now_seconds: float) -> bool:
    ends, begins = claims["exp"], claims.get("nbf", 0)
    if not isinstance(ends, int | float) or not isinstance(begins, int | float):
        return False
    return begins - _LEEWAY_SECONDS <= now_seconds < ends + _LEEWAY_SECONDS


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, status=401)
