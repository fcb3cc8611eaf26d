"""Bearer tokens: from an Authorization header to a principal.

Order matters: no claim is believed before the signature is verified with a key of the issuer. Of the header,
``alg`` must be the one algorithm on our list and ``kid`` picks among the issuer's keys; ``jku``, ``jwk``,
``x5u`` and ``x5c``, by which a token would bring its own key, are never read (RFC 8725 §3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from shared.identity.challenge import token_missing, token_refused
from shared.identity.claims import TokenPolicy, principal_from_claims
from shared.identity.signing_keys import MAX_KID_CHARACTERS

if TYPE_CHECKING:
    import jwt
    from jwt.types import Options

    from shared.identity.principal import Principal
    from shared.identity.signing_keys import SigningKeys
    from shared.ports import Clock

__all__ = ["TokenPolicy", "TokenValidator", "bearer_token"]

_ALGORITHMS: Final = ("RS256",)
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
"""RFC 7515 §7.1; an unsigned token, whose third part is empty, does not match."""

_MALFORMED: Final = "The Authorization header must hold one signed token: Bearer, a space, the token."
_SIGNATURE_ONLY: Final[Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""PyJWT verifies the signature; the claims are judged by our own clock and policy (claims.py)."""


class TokenValidator:
    """Tells who is calling, or refuses."""

    def __init__(self, policy: TokenPolicy, keys: SigningKeys, clock: Clock) -> None:
        self._policy = policy
        self._keys = keys
        self._clock = clock

    async def authenticate(self, authorization_header: str | None) -> Principal:
        """The principal that the bearer token in ``authorization_header`` proves.

        Raises:
            UnauthenticatedError: No token (``token-missing``), one that has expired (``token-expired``) or
                one that proves nothing (``token-invalid``). ``reason`` holds the exact cause, for telemetry.
            UnavailableError: The issuer's keys could not be fetched and none were ever held.
        """
        token = bearer_token(authorization_header, self._policy.max_token_bytes)
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise token_refused("The token is signed by a key that is not known.", reason="unknown-key")
        return principal_from_claims(_verified_claims(token, key), self._policy, self._clock.now())


def bearer_token(authorization_header: str | None, max_token_bytes: int) -> str:
    """The one token in an Authorization header (RFC 6750 §2.1), well formed but not verified."""
    if authorization_header is None or not authorization_header.strip():
        raise token_missing("This needs a bearer token; sign in first.", reason="no-header")
    scheme, _, token = authorization_header.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise token_missing("This needs a bearer token; other schemes are not taken.", reason="other-scheme")
    token = token.lstrip(" ")
    if not token:
        raise token_missing("This needs a bearer token; the header holds none.", reason="empty-token")
    if len(token) > max_token_bytes:
        raise token_refused("The token is too long.", reason="too-long")
    if not _COMPACT_JWS.fullmatch(token):
        raise token_refused(_MALFORMED, reason="malformed")
    return token


def _key_id(token: str) -> str:
    """The ``kid`` of a token whose header is acceptable. Everything read here is still unproven."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        # From None: the text of these errors can repeat the input.
        raise token_refused(_MALFORMED, reason="header") from None
    if header.get("alg") not in _ALGORITHMS:
        raise token_refused("The token must be signed with RS256.", reason="algorithm")
    if "crit" in header:
        raise token_refused("The token asks for an extension that is not supported.", reason="crit")
    media_type = header.get("typ", "JWT")
    if not isinstance(media_type, str) or media_type.lower() not in _TYPES:
        raise token_refused("The token is of another type than an access token.", reason="type")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KID_CHARACTERS:
        raise token_refused("The token does not name its signing key.", reason="kid")
    return key_id


def _verified_claims(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    import jwt

    try:
        return jwt.decode(token, key, algorithms=_ALGORITHMS, options=_SIGNATURE_ONLY)
    except jwt.InvalidSignatureError:
        raise token_refused("The signature of the token is not valid.", reason="signature") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise token_refused(_MALFORMED, reason="payload") from None
