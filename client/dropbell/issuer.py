"""How msal reaches an issuer of tokens, and what it answers told in the terms of this package.

msal asks for an authority over https with one path segment (the tenant). When the issuer is not Microsoft's,
such as a local one, msal is told not to look the host up with Microsoft first.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests

from dropbell.errors import ConnectionFailedError, DropbellError, InputError, NotSignedInError
from dropbell.transport import connection_failed, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Issuer:
    """An issuer of tokens.

    Attributes:
        authority: ``https://host/tenant``; see ``at``.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        trust_env: Take proxies from the environment.
    """

    authority: str
    ca_file: str | None = None
    trust_env: bool = False

    @classmethod
    def at(cls, authority: str, ca_file: str | None, *, trust_env: bool) -> Self:
        """Refuse early what msal would replace by Microsoft's common tenant or explain at length.

        Raises:
            InputError: The authority is not ``https://host/tenant``.
        """
        parts = urlsplit(authority)
        tenant = parts.path.strip("/")
        if parts.scheme != "https" or not parts.netloc or not tenant or "/" in tenant:
            raise InputError(
                f"{authority!r} is not an authority; it should look like https://host/tenant-id."
            )
        return cls(f"https://{parts.netloc}/{tenant}", ca_file, trust_env)

    @property
    def tenant_id(self) -> str:
        """The tenant as the authority names it."""
        return urlsplit(self.authority).path.strip("/")

    def application_options(self) -> dict[str, Any]:
        """Say to an msal application how to reach this issuer."""
        from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

        is_microsoft = urlsplit(self.authority).hostname in WELL_KNOWN_AUTHORITY_HOSTS
        return {
            "authority": self.authority,
            "http_client": open_session(self.ca_file, trust_env=self.trust_env),
            "instance_discovery": None if is_microsoft else False,
        }

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Translate what msal raises; it checks the authority over the network on first use."""
        from msal.exceptions import MsalError

        try:
            yield
        except DropbellError:
            raise
        except requests.RequestException as error:
            raise connection_failed(error, self.authority) from error
        except (MsalError, ValueError, KeyError) as error:
            raise NotSignedInError(
                f"{self.authority} did not answer as an issuer of tokens: {error}"
            ) from error


@dataclass(frozen=True)
class Token:
    """An access token, how long it lasts, and whether the issuer gave it just now."""

    value: str = field(repr=False)
    expires_in_seconds: int
    is_new: bool

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Self:
        """Read what msal answers; raises NotSignedInError when that is a refusal."""
        value = result.get("access_token")
        if not isinstance(value, str):
            raise refusal(result)
        return cls(value, int(result.get("expires_in", 0)), result.get("token_source") != "cache")


def refusal(result: Mapping[str, Any]) -> NotSignedInError:
    """Say why the issuer gave no token."""
    # Entra's description goes on with trace ids and a timestamp on further lines.
    description = str(result.get("error_description") or result.get("error") or "no reason given")
    return NotSignedInError(f"The issuer gave no token: {description.splitlines()[0]}")


def lasting_token(acquire: Callable[[bool], Token], lasting_seconds: float) -> str:
    """Take the token at hand, or a new one when it would not last; the old one when there is none.

    Args:
        acquire: Gets a token, a new one when its argument says so.
        lasting_seconds: How long the token should be valid yet.

    Raises:
        DropbellError: As ``acquire`` does when there is no token at all.
    """
    token = acquire(False)
    if token.is_new or token.expires_in_seconds >= lasting_seconds:
        return token.value
    try:
        return acquire(True).value
    except (NotSignedInError, ConnectionFailedError):
        return token.value  # it is valid; an issuer that is down just now need not stop anybody
