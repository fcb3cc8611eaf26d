"""The issuer over HTTP: routes, forms and error answers. What they mean is decided in the other modules."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from local.entra import pages
from local.entra.authorization import Redirect, authorize
from local.entra.discovery import discovery_document, key_set
from local.entra.grants import DeviceState
from local.entra.minting import MintRequest, mint
from local.entra.oauth_error import OAuthError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from local.entra.token_endpoint import TokenEndpoint

    type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MAX_BODY_BYTES: Final = 64 * 1024
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "*",
}
"""Browser clients fetch discovery, keys and tokens from another origin; the pages and /local stay closed."""

_log = logging.getLogger("local.entra")


class RolloverRequest(BaseModel):
    """Body of POST /local/keys/rollover."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revoke: bool = False


class EntraServer:
    """Handlers over one token endpoint. ``base_url`` is the address that the issuer's name is made of."""

    def __init__(self, endpoint: TokenEndpoint, base_url: str) -> None:
        self._endpoint = endpoint
        self._tenant = endpoint.tenant
        self._base_url = base_url

    def application(self) -> web.Application:
        """A new application; http and https each need their own."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_answer_oauth_errors])
        tenant = f"/{self._tenant.directory.tenant_id}"
        oauth = f"{tenant}/oauth2/v2.0"
        app.add_routes(
            [
                web.get("/", self._home),
                web.get("/health", self._health),
                web.get(f"{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
                web.get(f"{tenant}/.well-known/openid-configuration", self._discovery),
                web.get(f"{tenant}/discovery/v2.0/keys", self._keys),
                web.post(f"{oauth}/token", self._token),
                web.options(f"{oauth}/token", self._preflight),
                web.post(f"{oauth}/devicecode", self._device_code),
                web.get(f"{oauth}/authorize", self._authorize),
                web.post(f"{oauth}/authorize", self._authorize),
                web.get(f"{oauth}/deviceauth", self._device_page),
                web.post(f"{oauth}/deviceauth", self._device_answer),
                web.post("/local/tokens", self._mint),
                web.post("/local/keys/rollover", self._rollover),
                web.get("/{tenant}/v2.0/.well-known/openid-configuration", self._unknown_tenant),
            ]
        )
        return app

    async def _home(self, request: web.Request) -> web.Response:
        return _html(pages.home_page(self._tenant, self._base_of(request)))

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "issuer": self._tenant.issuer})

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(discovery_document(self._tenant, self._base_of(request)), headers=_CORS)

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response(key_set(self._endpoint.keys, self._tenant.issuer), headers=_CORS)

    async def _preflight(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_CORS)

    async def _token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        answer = self._endpoint.answer(form, request.headers.get("Authorization"))
        _log.info("token issued: grant %s, client %s", form["grant_type"], form.get("client_id", "by header"))
        return web.json_response(answer, headers=_CORS | _NO_STORE)

    async def _device_code(self, request: web.Request) -> web.Response:
        started = self._endpoint.start_device(await _form(request))
        uri = f"{self._base_of(request)}/{self._tenant.directory.tenant_id}/oauth2/v2.0/deviceauth"
        return web.json_response(
            {
                "device_code": started.device_code,
                "user_code": started.user_code,
                "verification_uri": uri,
                "verification_uri_complete": f"{uri}?user_code={started.user_code}",
                "expires_in": self._endpoint.devices.lifetime_seconds,
                "interval": self._endpoint.devices.interval_seconds,
                "message": f"To sign in, open {uri} in a browser and enter the code {started.user_code}.",
            },
            headers=_CORS | _NO_STORE,
        )

    async def _device_page(self, request: web.Request) -> web.Response:
        return _html(
            pages.device_page(self._tenant.directory, user_code=request.query.get("user_code", "")[:16])
        )

    async def _device_answer(self, request: web.Request) -> web.Response:
        form = await _form(request)
        directory, code = self._tenant.directory, form.get("user_code", "")[:16]
        pending = self._endpoint.devices.pending(code, self._endpoint.clock())
        if pending is None:
            page = pages.device_page(directory, error="This code is unknown, was used or has expired.")
            return _html(page, status=400)
        if form.get("action") == "deny":
            pending.move_to(DeviceState.DENIED)
            return _html(pages.message_page("Refused", "The device was told that this was not you."))
        user = directory.user(form.get("user", ""))
        if user is None:
            page = pages.device_page(directory, user_code=code, error="Pick one of these users.")
            return _html(page, status=400)
        pending.user = user
        pending.move_to(DeviceState.APPROVED)
        _log.info("device sign-in approved by %s", user.name)
        return _html(pages.message_page("Signed in", "You can close this page and go back to your device."))

    async def _authorize(self, request: web.Request) -> web.Response:
        parameters = _single_valued(request.query.items()) | (
            await _form(request) if request.method == "POST" else {}
        )
        answer = authorize(self._endpoint, parameters)
        if not isinstance(answer, Redirect):
            page = pages.sign_in_page(self._tenant.directory, parameters, error=answer.error)
            return _html(page, status=400 if answer.error else 200)
        if answer.mode == "form_post":
            return _html(pages.form_post_page(answer.uri, answer.parameters))
        location = pages.redirect_url(answer.uri, answer.parameters, answer.mode)
        return web.Response(status=302, headers={"Location": location} | _NO_STORE)

    async def _mint(self, request: web.Request) -> web.Response:
        wanted = MintRequest.model_validate_json(await _json_body(request))
        answer = mint(wanted, self._tenant, self._endpoint.keys.active, int(self._endpoint.clock()))
        _log.info(
            "token minted for %s%s", wanted.user or wanted.app, f", {wanted.flaw}" if wanted.flaw else ""
        )
        return web.json_response(answer, headers=_NO_STORE)

    async def _rollover(self, request: web.Request) -> web.Response:
        wanted = RolloverRequest.model_validate_json(await _json_body(request) or b"{}")
        keys = self._endpoint.keys
        keys.roll_over(revoke=wanted.revoke)
        _log.info("new signing key %s%s", keys.active.kid, ", the old ones revoked" if wanted.revoke else "")
        return web.json_response({"kid": keys.active.kid, "kids": [key.kid for key in keys.keys]})

    async def _unknown_tenant(self, _request: web.Request) -> web.Response:
        raise OAuthError("invalid_tenant", f"The tenant here is {self._tenant.directory.tenant_id}.")

    def _base_of(self, request: web.Request) -> str:
        """Where this request came in, so that a document fetched over https names https endpoints."""
        if request.url.host in _LOOPBACK_HOSTS:
            return str(request.url.origin())
        return self._base_url


@web.middleware
async def _answer_oauth_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _oauth_error(OAuthError("invalid_request", _sentence(error)))
    except OAuthError as error:
        _log.info("%s %s refused: %s", request.method, request.path, error)
        if request.path.endswith("/authorize"):
            return _html(pages.message_page("This request cannot be answered", error.description), status=400)
        return _oauth_error(error)


def _oauth_error(error: OAuthError) -> web.Response:
    headers = _CORS | _NO_STORE
    if error.basic_challenge:
        headers["WWW-Authenticate"] = 'Basic realm="dropbell local sign-in"'
    body = {"error": error.code, "error_description": error.description}
    return web.json_response(body, status=error.status, headers=headers)


def _sentence(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
    return "; ".join(problems)


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send a form: application/x-www-form-urlencoded.")
    try:
        fields = await request.post()
    except (ValueError, LookupError):  # bytes that are no text; a charset that does not exist
        raise OAuthError("invalid_request", "The form cannot be read.") from None
    return _single_valued((name, str(value)) for name, value in fields.items())


def _single_valued(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """RFC 6749 §3.1 and §3.2: no parameter may come twice."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OAuthError("invalid_request", "A parameter was sent more than once.")
        found[name] = value
    return found


async def _json_body(request: web.Request) -> bytes:
    """The body of a request that says it is JSON; a page of another origin cannot send that unasked."""
    body = await request.read()
    if body and request.content_type != "application/json":
        raise OAuthError("invalid_request", "Send JSON: content-type application/json.", status=415)
    return body


def _html(page: str, *, status: int = 200) -> web.Response:
    return web.Response(text=page, content_type="text/html", status=status, headers=_NO_STORE)
