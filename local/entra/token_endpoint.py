"""POST /{tid}/oauth2/v2.0/token and …/devicecode: who is asking, by which grant, and what they get."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from local.entra.client_assertion import ASSERTION_TYPE, check_assertion
from local.entra.grants import AuthorizationCodes, DeviceSignIns, RefreshTokens
from local.entra.oauth_error import OAuthError
from local.entra.scopes import parse_scopes
from local.entra.tokens import Validity, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.entra.directory import App
    from local.entra.grants import DeviceSignIn, SignIn
    from local.entra.scopes import RequestedScopes
    from local.entra.signing import KeyRing
    from local.entra.tokens import Claims, Tenant

_ACCESS_LIFETIME_SECONDS: Final = 3600

type Form = Mapping[str, str]


@dataclass(slots=True)
class TokenEndpoint:
    """Answers token requests (RFC 6749 §3.2). ``clock`` gives seconds since 1970."""

    tenant: Tenant
    keys: KeyRing
    clock: Callable[[], float]
    codes: AuthorizationCodes = field(default_factory=AuthorizationCodes)
    devices: DeviceSignIns = field(default_factory=DeviceSignIns)
    refresh_tokens: RefreshTokens = field(default_factory=RefreshTokens)

    def answer(self, form: Form, authorization: str | None) -> dict[str, Any]:
        """The token response; raises OAuthError."""
        client = self._authenticated_client(form, authorization)
        grant_type = _required(form, "grant_type")
        if grant_type == "client_credentials":
            return self._client_credentials(form, client)
        scopes: RequestedScopes | None = None
        now_seconds = self.clock()
        match grant_type:
            case "authorization_code":
                code, redirect_uri = _required(form, "code"), _required(form, "redirect_uri")
                verifier = _required(form, "code_verifier")
                sign_in = self.codes.redeem(code, client, redirect_uri, verifier, now_seconds)
            case "urn:ietf:params:oauth:grant-type:device_code":
                sign_in = self.devices.redeem(_required(form, "device_code"), client, now_seconds)
            case "refresh_token":
                # A bad scope must not use the token up.
                scopes = parse_scopes(form["scope"], self.tenant.directory.api) if form.get("scope") else None
                sign_in = self.refresh_tokens.redeem(_required(form, "refresh_token"), client, now_seconds)
            case _:
                raise OAuthError("unsupported_grant_type", "This grant type is not offered here.")
        return self._user_tokens(sign_in, scopes or sign_in.scopes, form)

    def start_device(self, form: Form) -> DeviceSignIn:
        """A new device sign-in (RFC 8628 §3.1); only for public clients, which are what devices run."""
        client = self._client(_required(form, "client_id"))
        if client.is_confidential:
            raise OAuthError("unauthorized_client", "The device code grant is for public clients.")
        scopes = parse_scopes(form.get("scope", ""), self.tenant.directory.api)
        return self.devices.start(client, scopes, self.clock())

    def _client_credentials(self, form: Form, client: App) -> dict[str, Any]:
        if not client.is_confidential:
            raise OAuthError("unauthorized_client", "A public client cannot act in its own name.")
        scopes = parse_scopes(form.get("scope", ""), self.tenant.directory.api)
        if not scopes.only_default:
            api = self.tenant.directory.api
            raise OAuthError(
                "invalid_scope", f"The scope of client credentials is {api.app_id_uri}/.default."
            )
        claims = self.tenant.app_claims(client, client.roles, self._validity())
        return self._access_token(claims)

    def _user_tokens(self, sign_in: SignIn, scopes: RequestedScopes, form: Form) -> dict[str, Any]:
        user, client = sign_in.user, sign_in.client
        claims = self.tenant.user_claims(user, client, scopes.api, user.roles, self._validity())
        answer = self._access_token(claims) | {"scope": " ".join(scopes.answer)}
        if "openid" in scopes.openid:
            # The nonce belongs to the authorization request; a refreshed ID token has none (OIDC Core §12.2).
            nonce = sign_in.nonce if form["grant_type"] == "authorization_code" else None
            id_claims = self.tenant.id_claims(user, client, nonce, int(self.clock()))
            answer["id_token"] = signed(id_claims, self.keys.active)
        if "offline_access" in sign_in.scopes.openid:
            answer["refresh_token"] = self.refresh_tokens.issue(sign_in, self.clock())
        if form.get("client_info") == "1":
            answer["client_info"] = self.tenant.client_info(user)
        return answer

    def _access_token(self, claims: Claims) -> dict[str, Any]:
        return {
            "token_type": "Bearer",
            "expires_in": _ACCESS_LIFETIME_SECONDS,
            "ext_expires_in": _ACCESS_LIFETIME_SECONDS,
            "access_token": signed(claims, self.keys.active),
        }

    def _validity(self) -> Validity:
        return Validity(int(self.clock()), _ACCESS_LIFETIME_SECONDS)

    def _authenticated_client(self, form: Form, authorization: str | None) -> App:
        """RFC 6749 §2.3.1: a confidential client proves itself, by header or by form but not by both."""
        if authorization is None:
            client_id, secret, by_header = _required(form, "client_id"), form.get("client_secret"), False
        else:
            client_id, secret = _basic_credentials(authorization)
            by_header = True
            if "client_secret" in form or form.get("client_id", client_id) != client_id:
                raise OAuthError("invalid_request", "Send client credentials in one way only.")
        client = self._client(client_id, basic_challenge=by_header)
        if assertion := form.get("client_assertion"):
            if secret is not None or form.get("client_assertion_type") != ASSERTION_TYPE:
                raise OAuthError("invalid_request", "Send client credentials in one way, of a known type.")
            check_assertion(assertion, client, self.tenant, self.clock())
            return client
        if not client.is_confidential and secret:
            raise _bad_client("The client is public and has no secret.", by_header)
        known = client.secret or ""
        if client.is_confidential and not (
            known and hmac.compare_digest(known.encode(), (secret or "").encode())
        ):
            raise _bad_client("The client secret is missing or wrong.", by_header)
        return client

    def _client(self, client_id: str, *, basic_challenge: bool = False) -> App:
        client = self.tenant.directory.app(client_id)
        if client is None:
            raise _bad_client("There is no application with this client id.", basic_challenge)
        return client


def _basic_credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("another scheme")
        client_id, separator, secret = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        raise _bad_client("The Authorization header holds no client credentials.", True) from None
    if not separator:
        raise _bad_client("The Authorization header holds no client credentials.", True)
    return unquote_plus(client_id), unquote_plus(secret)


def _bad_client(description: str, basic_challenge: bool) -> OAuthError:
    return OAuthError("invalid_client", description, status=401, basic_challenge=basic_challenge)


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        raise OAuthError("invalid_request", f"The parameter {name} is missing.")
    return value
