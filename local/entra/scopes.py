"""What a client asked for in its ``scope`` parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.entra.oauth_error import OAuthError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.entra.directory import Api

OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
DEFAULT = ".default"


@dataclass(frozen=True, slots=True)
class RequestedScopes:
    """A scope parameter, understood.

    ``api`` holds short names (``Files.Read``) in the API's order, ``answer`` the names for the token response
    as the client wrote them: MSAL looks its cache up by these.
    """

    openid: frozenset[str]
    api: tuple[str, ...]
    answer: tuple[str, ...]
    only_default: bool
    """Exactly ``…/.default`` was asked for, as the client credentials grant requires."""


def parse_scopes(parameter: str, api: Api) -> RequestedScopes:
    """Understand a ``scope`` parameter; raises OAuthError ``invalid_scope`` for a scope that is not there."""
    requested = list(dict.fromkeys(parameter.split()))
    openid = [name for name in requested if name in OPENID_SCOPES]
    resource_scopes = [name for name in requested if name not in OPENID_SCOPES]
    if not resource_scopes:
        raise OAuthError("invalid_scope", f"Name a scope of the API, such as {api.app_id_uri}/{DEFAULT}.")
    granted: set[str] = set()
    answer: list[str] = []
    for name in resource_scopes:
        resource, short = _split(name, api)
        if short == DEFAULT:
            granted.update(api.scopes)
            answer.extend(f"{resource}/{scope}" for scope in api.scopes)
        else:
            granted.add(short)
        answer.append(name)
    return RequestedScopes(
        openid=frozenset(openid),
        api=tuple(scope for scope in api.scopes if scope in granted),
        answer=tuple(dict.fromkeys(answer)),
        only_default=len(resource_scopes) == 1 and resource_scopes[0].endswith(f"/{DEFAULT}"),
    )


def short_names(names: Iterable[str], known: Iterable[str], api: Api) -> tuple[str, ...]:
    """Each of ``names`` (short, or with the API's prefix) as a short name that is in ``known``."""
    allowed = set(known)
    short = tuple(name.removeprefix(f"{api.app_id_uri}/") for name in names)
    for name in short:
        if name not in allowed:
            raise OAuthError("invalid_scope", f"The API does not define this; it defines {sorted(allowed)}.")
    return short


def _split(name: str, api: Api) -> tuple[str, str]:
    resource, _, short = name.rpartition("/")
    if resource not in api.resources or (short != DEFAULT and short not in api.scopes):
        raise OAuthError(
            "invalid_scope", f"The scopes are {api.app_id_uri}/ and one of {', '.join(api.scopes)}."
        )
    return resource, short
