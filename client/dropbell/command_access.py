"""As whom a command acts: a token from outside, else a service named in the environment, else who signed in.

Secrets come from the environment and from files, never from an option: other users see those.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dropbell.errors import InputError, NotSignedInError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dropbell.commands import Context
    from dropbell.connection import Connection
    from dropbell.service_sign_in import ClientCredentialSignIn, Credential
    from dropbell.sign_in import DeviceCode, PersonSignIn, SignIn

SECRET = "DROPBELL_CLIENT_SECRET"  # noqa: S105 - the name of a variable
CERTIFICATE = "DROPBELL_CLIENT_CERTIFICATE"
CERTIFICATE_PASSWORD = "DROPBELL_CLIENT_CERTIFICATE_PASSWORD"  # noqa: S105 - the name of a variable
ASSERTION_FILE = "DROPBELL_CLIENT_ASSERTION_FILE"


def open_connection(context: Context) -> Connection:
    """Connect to the service; raises InputError or NotSignedInError when it is not said where or as whom."""
    from dropbell.connection import Connection
    from dropbell.owner import Owner
    from dropbell.retrying import Backoff

    settings = context.settings
    if not settings.api:
        raise InputError("Say where the service is: --api URL or DROPBELL_API.")
    return Connection(
        settings.api,
        sign_in(context),
        settings.ca_file,
        owner=Owner.parse(context.owner) if context.owner else None,
        trust_env=context.options.trust_env,
        backoff=Backoff(tell=context.tell),
    )


def service_variable(environment: Mapping[str, str]) -> str | None:
    """Name the variable by which a service signs in; raises InputError when there are several."""
    given = [name for name in (SECRET, CERTIFICATE, ASSERTION_FILE) if environment.get(name)]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are set; a service signs in one way.")
    return given[0] if given else None


def service_sign_in(context: Context) -> ClientCredentialSignIn | None:
    """Return the service of the environment, None when it names none.

    Raises:
        InputError: It names several, its file cannot be used, or the authority or the client id is missing.
    """
    settings = context.settings
    variable = service_variable(context.environment)
    if variable is None:
        return None
    if not settings.authority or not settings.client_id:
        raise InputError(
            f"{variable} needs --authority and --client-id (DROPBELL_AUTHORITY, DROPBELL_CLIENT_ID)."
        )

    from dropbell.service_sign_in import ClientCredentialSignIn, default_scope

    return ClientCredentialSignIn(
        settings.authority,
        settings.client_id,
        _credential(variable, context.environment),
        default_scope(settings.scopes),
        settings.ca_file,
        trust_env=context.options.trust_env,
    )


def person_sign_in(
    context: Context, *, browser: bool = False, warn: Callable[[str], None] | None = None
) -> PersonSignIn:
    """Return the sign-in of the person at this machine.

    Args:
        context: What the command was given.
        browser: Sign in with this machine's browser instead of by device code.
        warn: Told when the tokens are kept unencrypted.

    Raises:
        NotSignedInError: It is not known who signs people in.
    """
    settings = context.settings
    if not settings.authority or not settings.client_id:
        raise NotSignedInError("Nobody is signed in; run: dropbell login --authority URL --client-id ID")

    from dropbell.sign_in import BrowserSignIn, DeviceCodeSignIn
    from dropbell.token_store import open_token_cache

    def show_code(code: DeviceCode) -> None:
        shown = {
            "verification_uri": code.verification_uri,
            "user_code": code.user_code,
            "expires_in_seconds": code.expires_in_seconds,
        }
        _show(context, shown, code.sentence)

    def show_page(url: str) -> None:
        _show(context, {"sign_in_url": url}, f"Sign in with the browser; if none opens, go to {url}")

    issuer_and_client = (settings.authority, settings.client_id, settings.scopes, settings.ca_file)
    token_cache = open_token_cache(context.directory, warn)
    trust_env: bool = context.options.trust_env
    if browser:
        return BrowserSignIn(*issuer_and_client, show_page, token_cache=token_cache, trust_env=trust_env)
    return DeviceCodeSignIn(*issuer_and_client, show_code, token_cache=token_cache, trust_env=trust_env)


def sign_in(context: Context) -> SignIn:
    """As whom the command acts; raises as ``service_sign_in`` and ``person_sign_in`` do."""
    if context.token:
        from dropbell.sign_in import FixedToken

        return FixedToken(context.token)
    return service_sign_in(context) or person_sign_in(context)


def _credential(variable: str, environment: Mapping[str, str]) -> Credential:
    from dropbell.service_sign_in import Certificate, assertion_from_file

    value = environment[variable]
    if variable == CERTIFICATE:
        return Certificate.from_file(value, environment.get(CERTIFICATE_PASSWORD))
    if variable == ASSERTION_FILE:
        return assertion_from_file(value)
    return value


def _show(context: Context, shown: Mapping[str, object], sentence: str) -> None:
    if context.options.json:
        print(json.dumps(shown), flush=True)
    else:
        context.tell(sentence)
