"""Where access tokens come from when a person signs in, or when somebody else obtained one.

``service_sign_in`` is for services.
"""

from __future__ import annotations

import re
import webbrowser
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from dropbell.errors import InputError, NotSignedInError
from dropbell.issuer import Issuer, Token, lasting_token, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import msal

BROWSER_TIMEOUT_SECONDS = 300.0
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class SignIn(Protocol):
    """Gives access tokens for the API."""

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
        """Return a token that is valid now, without asking a person.

        Args:
            force_refresh: Get a new one even when the present one looks valid, because it was refused.
            lasting_seconds: Get a new one when the present one ends sooner; if that fails, the present one.

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

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:  # noqa: ARG002 - nothing to refresh
        """Return the token."""
        return self._token


@dataclass(frozen=True)
class Account:
    """Who is signed in; ids are Entra's object and tenant id."""

    username: str
    object_id: str
    tenant_id: str


class PersonSignIn(ABC):
    """A person signs in once, in the way of the subclass; afterwards tokens are refreshed silently.

    Args:
        issuer: Who signs people in.
        client_id: The public client's id.
        scopes: Full scope names, ``api://dropbell/Files.ReadWrite``.
        token_cache: An ``msal.TokenCache`` that outlives this object; see ``token_store``.
    """

    def __init__(
        self, issuer: Issuer, client_id: str, scopes: Sequence[str], token_cache: msal.TokenCache | None
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._scopes = list(scopes)
        self._token_cache = token_cache

    @abstractmethod
    def _ask_person(self, application: msal.PublicClientApplication) -> Mapping[str, Any]:
        """Wait until the person has signed in; return what the issuer answered, good or bad."""

    @cached_property
    def _application(self) -> msal.PublicClientApplication:
        import msal

        return msal.PublicClientApplication(
            self._client_id, token_cache=self._token_cache, **self._issuer.application_options()
        )

    def log_in(self) -> Account:
        """Ask the person to sign in and wait until that is done; it replaces who was signed in before.

        Raises:
            NotSignedInError: The person refused or took too long, or the issuer does not know this client.
            ConnectionFailedError: The issuer was not reached.
        """
        with self._issuer.errors_translated():
            result = self._ask_person(self._application)
            Token.from_result(result)
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
        with self._issuer.errors_translated():
            for account in self._application.get_accounts():
                return Account(account["username"] or "", account["local_account_id"], account["realm"])
        return None

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
        """Return a token from the cache, refreshed when it is due."""
        if force_refresh:
            return self._acquire(True).value
        return lasting_token(self._acquire, lasting_seconds)

    def _acquire(self, force_refresh: bool) -> Token:
        with self._issuer.errors_translated():
            accounts = self._application.get_accounts()
            result = self._application.acquire_token_silent_with_error(
                self._scopes, accounts[0] if accounts else None, force_refresh=force_refresh
            )
        if result is None:
            raise NotSignedInError("Nobody is signed in; log in first.")
        return Token.from_result(result)


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


class DeviceCodeSignIn(PersonSignIn):
    """A person signs in with any browser, on any device (RFC 8628).

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
        super().__init__(Issuer.at(authority, ca_file, trust_env=trust_env), client_id, scopes, token_cache)
        self._show = show

    def _ask_person(self, application: msal.PublicClientApplication) -> Mapping[str, Any]:
        flow = application.initiate_device_flow(scopes=self._scopes)
        if "user_code" not in flow:
            raise refusal(flow)
        self._show(DeviceCode(flow["verification_uri"], flow["user_code"], flow["expires_in"]))
        result: Mapping[str, Any] = application.acquire_token_by_device_flow(flow)
        return result


class BrowserSignIn(PersonSignIn):
    """A person signs in with this machine's browser: authorization code with PKCE (RFC 8252, RFC 7636).

    Args:
        authority: ``https://login.microsoftonline.com/<tenant id>`` or another issuer's.
        client_id: The public client's id; ``http://localhost`` is among its redirect URIs.
        scopes: Full scope names, ``api://dropbell/Files.ReadWrite``.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        show: Told the sign-in page's address, for when no browser opens.
        open_browser: Opens a page; it may take as long as the browser runs.
        token_cache: An ``msal.TokenCache`` that outlives this object; see ``token_store``.
        trust_env: Take proxies from the environment.
        timeout_seconds: How long the person may take.

    Raises:
        InputError: The authority is not ``https://host/tenant``.
    """

    def __init__(
        self,
        authority: str,
        client_id: str,
        scopes: Sequence[str],
        ca_file: str | None = None,
        show: Callable[[str], None] = lambda url: print(f"Sign in at {url}"),
        *,
        open_browser: Callable[[str], object] = webbrowser.open,
        token_cache: msal.TokenCache | None = None,
        trust_env: bool = False,
        timeout_seconds: float = BROWSER_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(Issuer.at(authority, ca_file, trust_env=trust_env), client_id, scopes, token_cache)
        self._show = show
        self._open_browser = open_browser
        self._timeout_seconds = timeout_seconds

    def _ask_person(self, application: msal.PublicClientApplication) -> Mapping[str, Any]:
        from dropbell.loopback_redirect import LoopbackRedirect

        with LoopbackRedirect() as redirect:
            flow = application.initiate_auth_code_flow(
                self._scopes,
                redirect_uri=redirect.uri,
                response_mode="form_post",  # keeps the code out of the browser's history
                prompt="select_account",  # otherwise the browser's present account is taken unasked
            )
            self._show(flow["auth_uri"])
            # A browser in the terminal runs until the person leaves it; its answer is taken meanwhile.
            Thread(target=self._open, args=(flow["auth_uri"],), daemon=True).start()
            answer = redirect.wait(flow["state"], self._timeout_seconds)
        if answer is None:
            raise NotSignedInError(f"Nobody signed in within {self._timeout_seconds:g} s.")
        result: Mapping[str, Any] = application.acquire_token_by_auth_code_flow(flow, answer)
        return result

    def _open(self, url: str) -> None:
        with suppress(webbrowser.Error, OSError):  # the person was shown where to go
            self._open_browser(url)
