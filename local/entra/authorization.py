"""GET and POST /{tid}/oauth2/v2.0/authorize: from an authorization request to a code (RFC 6749 §4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.entra.grants import CodeRequest, SignIn
from local.entra.oauth_error import OAuthError
from local.entra.scopes import parse_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.entra.directory import App
    from local.entra.token_endpoint import TokenEndpoint

_RESPONSE_MODES: Final = frozenset({"query", "fragment", "form_post"})


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the browser goes next, and with what."""

    uri: str
    mode: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class AskWhoSignsIn:
    """No user was named yet: show the page. ``error`` says what was wrong with the last answer."""

    error: str = ""


def authorize(endpoint: TokenEndpoint, parameters: Mapping[str, str]) -> Redirect | AskWhoSignsIn:
    """Decide upon an authorization request, which names its user in ``user`` or ``login_hint``.

    Raises OAuthError when the client or the redirect URI is not known: such a request must not be answered by
    a redirect (RFC 6749 §4.1.2.1). All other errors go back to the client.
    """
    client, redirect_uri = _trusted_destination(endpoint, parameters)
    mode = parameters.get("response_mode", "query")
    if mode not in _RESPONSE_MODES:
        raise OAuthError("invalid_request", f"response_mode is one of {', '.join(sorted(_RESPONSE_MODES))}.")
    state = {"state": parameters["state"]} if "state" in parameters else {}
    try:
        answer = _code_or_question(endpoint, parameters, client, redirect_uri)
    except OAuthError as error:
        return Redirect(
            redirect_uri, mode, {"error": error.code, "error_description": error.description} | state
        )
    return answer if isinstance(answer, AskWhoSignsIn) else Redirect(redirect_uri, mode, answer | state)


def _trusted_destination(endpoint: TokenEndpoint, parameters: Mapping[str, str]) -> tuple[App, str]:
    client = endpoint.tenant.directory.app(parameters.get("client_id", ""))
    if client is None:
        raise OAuthError("invalid_client", "There is no application with this client id.")
    redirect_uri = parameters.get("redirect_uri", "")
    if not client.redirects_to(redirect_uri):
        raise OAuthError("invalid_request", f"This redirect URI is not registered for {client.name}.")
    return client, redirect_uri


def _code_or_question(
    endpoint: TokenEndpoint, parameters: Mapping[str, str], client: App, redirect_uri: str
) -> dict[str, str] | AskWhoSignsIn:
    if parameters.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "The response type is code.")
    if parameters.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "PKCE is required: code_challenge with method S256 (RFC 7636).")
    request = CodeRequest(redirect_uri, parameters.get("code_challenge", ""))
    scopes = parse_scopes(parameters.get("scope", ""), endpoint.tenant.directory.api)
    if parameters.get("action") == "deny":
        raise OAuthError("access_denied", "The user refused to sign in.")
    login = parameters.get("user") or parameters.get("login_hint")
    user = endpoint.tenant.directory.user(login) if login else None
    if user is None and parameters.get("prompt") == "none":
        raise OAuthError("login_required", "Nobody is signed in.")
    if user is None:
        return AskWhoSignsIn(error="There is no such user here." if login else "")
    sign_in = SignIn(user, client, scopes, nonce=parameters.get("nonce"))
    answer = {"code": endpoint.codes.issue(sign_in, request, endpoint.clock())}
    if parameters.get("client_info") == "1":
        answer["client_info"] = endpoint.tenant.client_info(user)
    return answer
