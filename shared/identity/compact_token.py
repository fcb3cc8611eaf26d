"""A request's bearer token and its parts, well formed but not verified (RFC 6750 §2.1, RFC 7515 §7.1)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from shared.identity.challenge import token_missing, token_refused
from shared.identity.signing_keys import MAX_KID_CHARACTERS
from shared.identity.trusted_issuer import ALGORITHMS

if TYPE_CHECKING:
    import jwt

    from shared.errors import UnauthenticatedError

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
"""An unsigned token, whose third part is empty, does not match."""
_MALFORMED: Final = "The Authorization header must hold one signed token: Bearer, a space, the token."


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself. It can be refused for that; nothing may be believed because of it.

    Raises UnauthenticatedError, as all of its methods do.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @classmethod
    def parse(cls, token: str) -> UnverifiedToken:
        """The parts of a compact JWS, of the form that ``bearer_token`` lets through."""
        signing_input, _, signature = token.rpartition(".")
        header, _, payload = signing_input.partition(".")
        return cls(
            header=_json_object(_bytes_of(header, "header"), "header"),
            claims=_json_object(_bytes_of(payload, "payload"), "payload"),
            signing_input=signing_input.encode("ascii"),
            signature=_bytes_of(signature, "malformed"),
        )

    def verified_claims(self, key: jwt.PyJWK) -> dict[str, Any]:
        """The claims, once the signature over the very bytes they were read from is verified."""
        if not key.Algorithm.verify(self.signing_input, key.key, self.signature):
            raise token_refused("The signature of the token is not valid.", reason="signature")
        return self.claims

    @property
    def algorithm(self) -> str:
        """``alg``, when it is one that an issuer can be allowed."""
        algorithm = self.header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise token_refused("The token is not signed in a way that is taken here.", reason="algorithm")
        return algorithm

    @property
    def key_id(self) -> str:
        """``kid``: picks among the issuer's keys, and does nothing else."""
        key_id = self.header.get("kid")
        if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KID_CHARACTERS:
            raise token_refused("The token does not name its signing key.", reason="kid")
        return key_id

    def check_header(self) -> None:
        """Refuse extensions that are not understood here (RFC 7515 §4.1.11), and other kinds of JWT."""
        if "crit" in self.header or self.header.get("b64", True) is not True:
            raise token_refused("The token asks for an extension that is not supported.", reason="crit")
        media_type = self.header.get("typ", "JWT")
        if not isinstance(media_type, str) or media_type.lower() not in _TYPES:
            raise token_refused("The token is of another type than an access token.", reason="type")


def bearer_token(authorization_header: str | None, max_token_bytes: int) -> str:
    """The one token in an Authorization header."""
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
        raise _malformed("malformed")
    return token


def _json_object(content: bytes, part: str) -> dict[str, Any]:
    """A JSON object in which no name comes twice (RFC 7519 §4) and no number is none."""
    try:
        value = json.loads(content, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # From None: the text of these errors can repeat the input.
        raise _malformed(part) from None
    if not isinstance(value, dict):
        raise _malformed(part)
    return value


def _malformed(reason: str) -> UnauthenticatedError:
    """The refusal of what is no token."""
    return token_refused(_MALFORMED, reason=reason)


def _bytes_of(part: str, reason: str) -> bytes:
    """Base64url in its one canonical form: the same token cannot be written in two ways (RFC 4648 §3.5)."""
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _malformed(reason) from None
    if base64.urlsafe_b64encode(content).rstrip(b"=") != part.encode():
        raise _malformed(reason)
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("not a number")
