"""Where access tokens come from: Entra ID through msal, or one given token.

msal asks for an authority over https with one path segment (the tenant). When the issuer is not Microsoft's,
such as a local one, msal is told not to look the host up with Microsoft first.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests

from dropbell.errors import DropbellError, InputError, NotSignedInError
from dropbell.transport import connection_failed, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import msal

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class SignIn(Protocol):
    """Gives access tokens for the API."""

    def access_token(self, *, force_refresh: bool = False) -> str:
        """Return a token that is valid now, without asking a person.

        Args:
            force_refresh: Get a new one even when the present one looks valid, because it was refused.

        Raises:
            NotSignedInError: There is none, or the issuer gives none.
            ConnectionFailedError: The issuer was not reached.
        """
        ...


class FixedToken:
    """One token that somebody else obtained; it cannot be refreshed.

    Raises:
        InputError: It cannot be a bearer token (RFC 6750 §2.1).
    """

    def __init__(self, token: str) -> None:
        self._token = token.strip()  # files end with a newline
        if not _BEARER_TOKEN.fullmatch(self._token):
            raise InputError("The given token has characters that no access token has.")

    def access_token(self, *, force_refresh: bool = False) -> str:  # noqa: ARG002 - nothing to refresh
        """Return the token."""
        return self._token


@dataclass(frozen=True)
class DeviceCode:
    """What a person needs to sign in on another page (RFC 8628 §3.2)."""

    verification_uri: str
    user_code: str
    expires_in_seconds: int

    @property
    def sentence(self) -> str:
        """Say what to do."""
        return (
            f"To sign in, open {self.verification_uri} and enter the code {self.user_code} "
            f"(valid for {self.expires_in_seconds // 60} min)."
        )


@dataclass(frozen=True)
class Account:
    """Who is signed in; ids are Entra's object and tenant id."""

    username: str
    object_id: str
    tenant_id: str


class DeviceCodeSignIn:
    """A person signs in on any browser (RFC 8628); afterwards tokens are refreshed silently.

    Args:
        authority: ``https://login.microsoftonline.com/<tenant id>`` or another issuer's.
        client_id: The public client's id.
        scopes: Full scope names, ``api://dropbell/Files.ReadWrite``.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        show: Tells the person where to sign in.
        token_cache: An ``msal.TokenCache`` that outlives this object; see ``token_store``.
        trust_env: Take proxies from the environment.

    Raises:
        InputError: The authority is not ``https://host/tenant``.
    """

    def __init__(
        self,
        authority: str,
        client_id: str,
        scopes: Sequence[str],
        ca_file: str | None = None,
        show: Callable[[DeviceCode], None] = lambda code: print(code.sentence),
        *,
        token_cache: msal.TokenCache | None = None,
        trust_env: bool = False,
    ) -> None:
        self._authority = _checked_authority(authority)
        self._client_id = client_id
        self._scopes = list(scopes)
        self._ca_file = ca_file
        self._show = show
        self._token_cache = token_cache
        self._trust_env = trust_env

    @cached_property
    def _application(self) -> msal.PublicClientApplication:
        import msal

        return msal.PublicClientApplication(
            self._client_id,
            token_cache=self._token_cache,
            **_issuer(self._authority, self._ca_file, trust_env=self._trust_env),
        )

    def log_in(self) -> Account:
        """Ask the person to sign in and wait until that is done; it replaces who was signed in before.

        Raises:
            NotSignedInError: The person refused, the code expired, or the issuer does not know this client.
            ConnectionFailedError: The issuer was not reached.
        """
        with _issuer_errors(self._authority):
            flow = self._application.initiate_device_flow(scopes=self._scopes)
            if "user_code" not in flow:
                raise _refusal(flow)
            self._show(DeviceCode(flow["verification_uri"], flow["user_code"], flow["expires_in"]))
            result = self._application.acquire_token_by_device_flow(flow)
            _token(result)
            claims = result.get("id_token_claims", {})
            object_id = claims.get("oid") or claims.get("sub")
            for earlier in self._application.get_accounts():
                if earlier["local_account_id"] != object_id:
                    self._application.remove_account(earlier)
        account = self.account()
        if account is None:
            raise NotSignedInError("The issuer gave a token but did not say whose it is.")
        return account

    def account(self) -> Account | None:
        """Return who is signed in, None when nobody is.

        Raises:
            NotSignedInError: The authority cannot be used.
            ConnectionFailedError: The issuer was not reached.
        """
        with _issuer_errors(self._authority):
            for account in self._application.get_accounts():
                return Account(account["username"] or "", account["local_account_id"], account["realm"])
        return None

    def access_token(self, *, force_refresh: bool = False) -> str:
        """Return a token from the cache, refreshed when it is due."""
        with _issuer_errors(self._authority):
            accounts = self._application.get_accounts()
            result = self._application.acquire_token_silent_with_error(
                self._scopes, accounts[0] if accounts else None, force_refresh=force_refresh
            )
        if result is None:
            raise NotSignedInError("Nobody is signed in; log in first.")
        return _token(result)


class ClientCredentialSignIn:
    """A service signs in as itself (RFC 6749 §4.4).

    Args:
        authority: ``https://login.microsoftonline.com/<tenant id>`` or another issuer's.
        client_id: The confidential client's id.
        secret: Its secret.
        scope: ``api://dropbell/.default``: what the app was given by its administrator.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        trust_env: Take proxies from the environment.

    Raises:
        InputError: The authority is not ``https://host/tenant``.
    """

    def __init__(
        self,
        authority: str,
        client_id: str,
        secret: str,
        scope: str,
        ca_file: str | None = None,
        *,
        trust_env: bool = False,
    ) -> None:
        self._authority = _checked_authority(authority)
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._ca_file = ca_file
        self._trust_env = trust_env

    @cached_property
    def _application(self) -> msal.ConfidentialClientApplication:
        import msal

        return msal.ConfidentialClientApplication(
            self._client_id,
            client_credential=self._secret,
            **_issuer(self._authority, self._ca_file, trust_env=self._trust_env),
        )

    def access_token(self, *, force_refresh: bool = False) -> str:
        """Return a token from msal's cache, or a new one."""
        with _issuer_errors(self._authority):
            if force_refresh:
                self._application.remove_tokens_for_client()
            return _token(self._application.acquire_token_for_client([self._scope]))


def _checked_authority(authority: str) -> str:
    """Refuse early what msal would replace by Microsoft's common tenant or explain at length."""
    parts = urlsplit(authority)
    tenant = parts.path.strip("/")
    if parts.scheme != "https" or not parts.netloc or not tenant or "/" in tenant:
        raise InputError(f"{authority!r} is not an authority; it should look like https://host/tenant-id.")
    return f"https://{parts.netloc}/{tenant}"


def _issuer(authority: str, ca_file: str | None, *, trust_env: bool) -> dict[str, Any]:
    """Say how msal reaches the issuer."""
    from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

    is_microsoft = urlsplit(authority).hostname in WELL_KNOWN_AUTHORITY_HOSTS
    return {
        "authority": authority,
        "http_client": open_session(ca_file, trust_env=trust_env),
        "instance_discovery": None if is_microsoft else False,
    }


@contextmanager
def _issuer_errors(authority: str) -> Iterator[None]:
    """Translate what msal raises; it checks the authority over the network on first use."""
    from msal.exceptions import MsalError

    try:
        yield
    except DropbellError:
        raise
    except requests.RequestException as error:
        raise connection_failed(error, authority) from error
    except (MsalError, ValueError, KeyError) as error:
        raise NotSignedInError(f"{authority} did not answer as an issuer of tokens: {error}") from error


def _token(result: Mapping[str, Any]) -> str:
    token = result.get("access_token")
    if not isinstance(token, str):
        raise _refusal(result)
    return token


def _refusal(result: Mapping[str, Any]) -> NotSignedInError:
    # Entra's description goes on with trace ids and a timestamp on further lines.
    description = str(result.get("error_description") or result.get("error") or "no reason given")
    return NotSignedInError(f"The issuer gave no token: {description.splitlines()[0]}")
