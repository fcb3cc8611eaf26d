"""What the token endpoint remembers between requests: sign-ins, and the codes and tokens that stand for them.

Everything here is plain state with the time passed in; nothing outlives the process, as a test tenant should.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from local.entra.oauth_error import OAuthError

if TYPE_CHECKING:
    from local.entra.directory import App, User
    from local.entra.scopes import RequestedScopes

_CODE_LIFETIME_SECONDS: Final = 600
_REFRESH_LIFETIME_SECONDS: Final = 24 * 3600
_DEVICE_LIFETIME_SECONDS: Final = 900
_SLOW_DOWN_SECONDS: Final = 5
_POLL_TOLERANCE_SECONDS: Final = 0.2
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_USER_CODE_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words, and nothing that looks like something else (RFC 8628 §6.1)."""


@dataclass(slots=True)
class SignIn:
    """A user signed in to a client. ``revoked`` ends every refresh token that came of it."""

    user: User
    client: App
    scopes: RequestedScopes
    nonce: str | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """What an authorization request binds its code to."""

    redirect_uri: str
    code_challenge: str

    def __post_init__(self) -> None:
        if not _CHALLENGE.fullmatch(self.code_challenge):
            raise OAuthError(
                "invalid_request", "PKCE is required: code_challenge with method S256 (RFC 7636)."
            )

    def verify(self, redirect_uri: str, verifier: str) -> None:
        """Raise OAuthError unless both are those of the authorization request (RFC 7636 §4.6)."""
        if redirect_uri != self.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri is not the one of the authorization request.")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(digest, self.code_challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge.")


@dataclass(slots=True)
class _Code:
    sign_in: SignIn
    request: CodeRequest
    expires_at_seconds: float
    used: bool = False


@dataclass(slots=True)
class AuthorizationCodes:
    """Authorization codes: ten minutes, once (RFC 6749 §4.1.2)."""

    _codes: dict[str, _Code] = field(default_factory=dict)

    def issue(self, sign_in: SignIn, request: CodeRequest, now_seconds: float) -> str:
        """A new code for a sign-in."""
        for old in [code for code, held in self._codes.items() if held.expires_at_seconds <= now_seconds]:
            del self._codes[old]
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(sign_in, request, now_seconds + _CODE_LIFETIME_SECONDS)
        return code

    def redeem(self, code: str, client: App, redirect_uri: str, verifier: str, now_seconds: float) -> SignIn:
        """The sign-in behind a code. A second use revokes what the first one gave out."""
        held = self._codes.get(code)
        if held is None or held.expires_at_seconds <= now_seconds or held.sign_in.client != client:
            raise OAuthError(
                "invalid_grant", "The code is unknown, has expired or belongs to another client."
            )
        if held.used:
            held.sign_in.revoked = True
            raise OAuthError("invalid_grant", "The code was used before; its tokens are revoked.")
        held.request.verify(redirect_uri, verifier)
        held.used = True
        return held.sign_in


@dataclass(slots=True)
class _Refresh:
    sign_in: SignIn
    expires_at_seconds: float
    used: bool = False


@dataclass(slots=True)
class RefreshTokens:
    """Refresh tokens that are replaced at every use; a replayed one ends the sign-in (RFC 9700 §4.14.2)."""

    _tokens: dict[str, _Refresh] = field(default_factory=dict)

    def issue(self, sign_in: SignIn, now_seconds: float) -> str:
        """A new refresh token for a sign-in."""
        for old in [name for name, held in self._tokens.items() if held.expires_at_seconds <= now_seconds]:
            del self._tokens[old]
        token = secrets.token_urlsafe(48)
        self._tokens[token] = _Refresh(sign_in, now_seconds + _REFRESH_LIFETIME_SECONDS)
        return token

    def redeem(self, token: str, client: App, now_seconds: float) -> SignIn:
        """The sign-in behind a refresh token, which is used up by this."""
        held = self._tokens.get(token)
        if held is None or held.expires_at_seconds <= now_seconds or held.sign_in.client != client:
            raise OAuthError(
                "invalid_grant", "The refresh token is unknown, has expired or is another client's."
            )
        if held.used:
            held.sign_in.revoked = True
        if held.sign_in.revoked:
            raise OAuthError("invalid_grant", "The refresh token was used before or revoked; sign in again.")
        held.used = True
        return held.sign_in


class DeviceState(Enum):
    """Where a device sign-in stands: ``PENDING → APPROVED → REDEEMED`` or ``PENDING → DENIED``."""

    PENDING = auto()
    APPROVED = auto()
    DENIED = auto()
    REDEEMED = auto()


_DEVICE_TRANSITIONS: Final = {
    DeviceState.PENDING: frozenset({DeviceState.APPROVED, DeviceState.DENIED}),
    DeviceState.APPROVED: frozenset({DeviceState.REDEEMED}),
    DeviceState.DENIED: frozenset[DeviceState](),
    DeviceState.REDEEMED: frozenset[DeviceState](),
}


@dataclass(slots=True)
class DeviceSignIn:
    """A sign-in that a device waits for while the user works in a browser elsewhere (RFC 8628)."""

    device_code: str
    user_code: str
    client: App
    scopes: RequestedScopes
    expires_at_seconds: float
    interval_seconds: float
    state: DeviceState = DeviceState.PENDING
    user: User | None = None
    last_poll_seconds: float | None = None

    def move_to(self, state: DeviceState) -> None:
        """Change the state; raises ValueError for a change that the table does not allow."""
        if state not in _DEVICE_TRANSITIONS[self.state]:
            raise ValueError(f"a device sign-in cannot go from {self.state.name} to {state.name}")
        self.state = state

    def poll(self, now_seconds: float) -> SignIn:
        """The finished sign-in, once; raises OAuthError to say wait or stop (RFC 8628 §3.5)."""
        previous, self.last_poll_seconds = self.last_poll_seconds, now_seconds
        if now_seconds >= self.expires_at_seconds:
            raise OAuthError("expired_token", "The device code has expired; start again.")
        if self.state is DeviceState.DENIED:
            raise OAuthError("access_denied", "The user refused to sign in.")
        if self.state is DeviceState.REDEEMED:
            raise OAuthError("invalid_grant", "The device code was used before.")
        if self.state is DeviceState.PENDING:
            if (
                previous is not None
                and now_seconds - previous < self.interval_seconds - _POLL_TOLERANCE_SECONDS
            ):
                self.interval_seconds += _SLOW_DOWN_SECONDS
                raise OAuthError("slow_down", f"Wait {self.interval_seconds:g} seconds between requests.")
            raise OAuthError("authorization_pending", "The user has not signed in yet.")
        if self.user is None:
            raise ValueError("an approved device sign-in has a user")
        self.move_to(DeviceState.REDEEMED)
        return SignIn(self.user, self.client, self.scopes)


@dataclass(slots=True)
class DeviceSignIns:
    """The device sign-ins under way, found by either of their codes."""

    interval_seconds: int = 1
    lifetime_seconds: int = _DEVICE_LIFETIME_SECONDS
    _sign_ins: list[DeviceSignIn] = field(default_factory=list)

    def start(self, client: App, scopes: RequestedScopes, now_seconds: float) -> DeviceSignIn:
        """A new device sign-in."""
        # One lifetime longer than they hold, so that a late poll still hears expired_token.
        self._sign_ins = [
            held for held in self._sign_ins if now_seconds < held.expires_at_seconds + self.lifetime_seconds
        ]
        sign_in = DeviceSignIn(
            device_code=secrets.token_urlsafe(32),
            user_code="".join(secrets.choice(_USER_CODE_ALPHABET) for _ in range(8)),
            client=client,
            scopes=scopes,
            expires_at_seconds=now_seconds + self.lifetime_seconds,
            interval_seconds=self.interval_seconds,
        )
        self._sign_ins.append(sign_in)
        return sign_in

    def pending(self, user_code: str, now_seconds: float) -> DeviceSignIn | None:
        """The sign-in that waits for this code, however the user wrote it."""
        wanted = "".join(letter for letter in user_code.upper() if letter in _USER_CODE_ALPHABET)
        return next(
            (
                held
                for held in self._sign_ins
                if held.user_code == wanted
                and held.state is DeviceState.PENDING
                and now_seconds < held.expires_at_seconds
            ),
            None,
        )

    def redeem(self, device_code: str, client: App, now_seconds: float) -> SignIn:
        """The finished sign-in of ``device_code``; raises OAuthError as ``DeviceSignIn.poll`` does."""
        for held in self._sign_ins:
            if held.device_code == device_code and held.client == client:
                return held.poll(now_seconds)
        raise OAuthError("invalid_grant", "The device code is unknown or belongs to another client.")
