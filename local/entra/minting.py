"""POST /local/tokens: any token a test needs, without a sign-in. Nothing like it exists at Entra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from local.entra.flaws import Flaw, flawed
from local.entra.oauth_error import OAuthError
from local.entra.scopes import short_names
from local.entra.tokens import Validity, signed

if TYPE_CHECKING:
    from local.entra.signing import SigningKey
    from local.entra.tokens import Claims, Tenant

_DEFAULT_LIFETIME_SECONDS = 3600
_MAX_LIFETIME_SECONDS = 7 * 24 * 3600


class MintRequest(BaseModel):
    """Whose token, and how it differs from the usual one.

    ``scopes`` and ``roles`` take the place of the defaults: all scopes and the assigned roles; ``[]`` leaves
    the claim out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str | None = None
    app: str | None = None
    scopes: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    lifetime_seconds: Annotated[int, Field(ge=1, le=_MAX_LIFETIME_SECONDS)] = _DEFAULT_LIFETIME_SECONDS
    flaw: Flaw | None = None

    @model_validator(mode="after")
    def _names_one_caller(self) -> MintRequest:
        if (self.user is None) == (self.app is None):
            raise ValueError("name either a user or an app")
        if self.app is not None and self.scopes is not None:
            raise ValueError("scopes are for users; an app has roles")
        return self


def mint(request: MintRequest, tenant: Tenant, key: SigningKey, now_seconds: int) -> dict[str, Any]:
    """The answer to a mint request; raises OAuthError for a caller, scope or role that does not exist."""
    claims = _claims(request, tenant, Validity(now_seconds, request.lifetime_seconds))
    token = signed(claims, key) if request.flaw is None else flawed(claims, key, request.flaw)
    return {"access_token": token, "token_type": "Bearer", "expires_in": request.lifetime_seconds}


def _claims(request: MintRequest, tenant: Tenant, validity: Validity) -> Claims:
    directory = tenant.directory
    api = directory.api
    if request.user is not None:
        user, client = directory.user(request.user), directory.public_client()
        if user is None or client is None:
            raise _nobody("users", [known.name for known in directory.users])
        scopes = api.scopes if request.scopes is None else short_names(request.scopes, api.scopes, api)
        return tenant.user_claims(user, client, scopes, _roles(request, user.roles, tenant), validity)
    app = directory.app(request.app or "")
    if app is None:
        raise _nobody("apps", [known.name for known in directory.apps])
    return tenant.app_claims(app, _roles(request, app.roles, tenant), validity)


def _roles(request: MintRequest, assigned: tuple[str, ...], tenant: Tenant) -> tuple[str, ...]:
    api = tenant.directory.api
    return assigned if request.roles is None else short_names(request.roles, api.app_roles, api)


def _nobody(kind: str, known: list[str]) -> OAuthError:
    return OAuthError("invalid_request", f"The {kind} here are: {', '.join(known)}.", status=404)
