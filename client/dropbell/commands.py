"""What a command is given and gives; the commands for signing in and for subscriptions.

A command returns what it found; printing is left to ``command_line``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropbell.command_access import (
    open_connection,
    person_sign_in,
    service_sign_in,
    service_variable,
    sign_in,
)
from dropbell.errors import InputError, NotSignedInError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from dropbell.settings import Settings
    from dropbell.sign_in import Account
    from dropbell.subscriptions import Subscription

# msal, requests and rich take a quarter of a second to import: each command imports what it needs.


@dataclass(frozen=True)
class Result:
    """One finding: a JSON object for programs, lines for people; None is nothing for these."""

    json: Mapping[str, Any] | None
    text: str | None


@dataclass(frozen=True)
class Context:
    """What every command is given.

    Attributes:
        options: The parsed command line.
        settings: Where the service and the issuer are.
        token: A token from outside, in place of a sign-in.
        owner: Whom an app acts for, as given.
        directory: Where the sign-in is kept.
        environment: The process's environment.
        tell: Says something to a person on standard error; silent with ``--json``.
    """

    options: argparse.Namespace
    settings: Settings
    token: str | None
    owner: str | None
    directory: Path
    environment: Mapping[str, str]
    tell: Callable[[str], None]


def log_in(context: Context) -> Iterator[Result]:
    """Sign in with a browser on any device, save the sign-in and the settings."""
    from dropbell.connection import normalised_api_url
    from dropbell.settings import save_settings

    settings = context.settings
    if settings.api is not None:
        normalised_api_url(settings.api)
    if not settings.authority or not settings.client_id:
        raise InputError(
            "Say who signs you in: --authority and --client-id, or DROPBELL_AUTHORITY and DROPBELL_CLIENT_ID."
        )
    if variable := "DROPBELL_TOKEN" if context.token else service_variable(context.environment):
        context.tell(f"{variable} is set: while it is, other commands use that and not this sign-in.")
    person = person_sign_in(context, browser=context.options.browser, warn=context.tell)
    account = person.log_in()
    ca_file = str(Path(settings.ca_file).absolute()) if settings.ca_file else None
    save_settings(context.directory, replace(settings, ca_file=ca_file))
    yield Result(_account_json(account), f"Signed in as {account.username}.")


def who_am_i(context: Context) -> Iterator[Result]:
    """Tell who is signed in."""
    if context.token:
        yield Result(
            {"token_given": True},
            "A given token is used (--token or DROPBELL_TOKEN); nobody is asked who it is.",
        )
        return
    if (service := service_sign_in(context)) is not None:
        service.access_token()  # a service that cannot have one is nobody
        yield Result(
            {"client_id": service.client_id, "tenant_id": service.issuer.tenant_id},
            f"service {service.client_id} (tenant {service.issuer.tenant_id})",
        )
        return
    account = person_sign_in(context).account()
    if account is None:
        raise NotSignedInError("Nobody is signed in; run: dropbell login")
    yield Result(_account_json(account), f"{account.username} (tenant {account.tenant_id})")


def log_out(context: Context) -> Iterator[Result]:
    """Forget the sign-in and the settings on this machine."""
    from dropbell.settings import forget_settings
    from dropbell.token_store import forget_tokens

    forget_tokens(context.directory)
    forget_settings(context.directory)
    yield Result({"signed_in": False}, "Signed out on this machine.")


def token(context: Context) -> Iterator[Result]:
    """Print an access token, for other programs such as curl."""
    found = sign_in(context).access_token()
    yield Result({"access_token": found}, found)


def subscribe(context: Context) -> Iterator[Result]:
    """Have somebody told about events."""
    from dropbell import subscriptions
    from dropbell.answers import to_json

    options = context.options
    with open_connection(context) as connection:
        made = subscriptions.subscribe(
            connection, options.channel, options.target, options.events or ["file.stored"]
        )
    text = _subscription_line(made)
    if made.secret:
        text += f"\nsecret: {made.secret}\nKeep it to verify signatures: it is shown this once."
    yield Result(to_json(made), text)


def subscription(context: Context) -> Iterator[Result]:
    """Look at one subscription."""
    from dropbell import subscriptions
    from dropbell.answers import to_json

    with open_connection(context) as connection:
        found = subscriptions.show(connection, context.options.id)
    yield Result(to_json(found), _subscription_line(found))


def _account_json(account: Account) -> Mapping[str, Any]:
    return {"username": account.username, "object_id": account.object_id, "tenant_id": account.tenant_id}


def _subscription_line(subscription: Subscription) -> str:
    return f"{subscription.id}  {subscription.status}  {subscription.channel}  {subscription.target}"
