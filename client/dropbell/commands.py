"""What each command does. A command returns what it found; printing is left to ``command_line``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropbell.errors import InputError, NotSignedInError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from dropbell.connection import Connection
    from dropbell.settings import Settings
    from dropbell.sign_in import DeviceCode, DeviceCodeSignIn, SignIn

# msal, requests and rich take a quarter of a second to import: each command imports what it needs.


@dataclass(frozen=True)
class Result:
    """One finding: a JSON object for programs, lines for people."""

    json: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class Context:
    """What every command is given.

    Attributes:
        options: The parsed command line.
        settings: Where the service and the issuer are.
        token: A token from outside, in place of a sign-in.
        directory: Where the sign-in is kept.
        environment: The process's environment.
        tell: Says something to a person on standard error; silent with ``--json``.
    """

    options: argparse.Namespace
    settings: Settings
    token: str | None
    directory: Path
    environment: Mapping[str, str]
    tell: Callable[[str], None]


def log_in(context: Context) -> Iterator[Result]:
    """Sign in on another device's browser, save the sign-in and the settings."""
    from dropbell.connection import normalised_api_url
    from dropbell.settings import save_settings

    settings = context.settings
    if settings.api is not None:
        normalised_api_url(settings.api)
    if not settings.authority or not settings.client_id:
        raise InputError(
            "Say who signs you in: --authority and --client-id, or DROPBELL_AUTHORITY and DROPBELL_CLIENT_ID."
        )
    sign_in = _device_code_sign_in(context, warn=context.tell)
    account = sign_in.log_in()
    ca_file = str(Path(settings.ca_file).absolute()) if settings.ca_file else None
    save_settings(context.directory, replace(settings, ca_file=ca_file))
    yield Result(
        {"username": account.username, "object_id": account.object_id, "tenant_id": account.tenant_id},
        f"Signed in as {account.username}.",
    )


def who_am_i(context: Context) -> Iterator[Result]:
    """Tell who is signed in."""
    if context.token:
        yield Result(
            {"token_given": True},
            "A given token is used (--token or DROPBELL_TOKEN); nobody is asked who it is.",
        )
        return
    account = _device_code_sign_in(context).account()
    if account is None:
        raise NotSignedInError("Nobody is signed in; run: dropbell login")
    yield Result(
        {"username": account.username, "object_id": account.object_id, "tenant_id": account.tenant_id},
        f"{account.username} (tenant {account.tenant_id})",
    )


def log_out(context: Context) -> Iterator[Result]:
    """Forget the sign-in and the settings on this machine."""
    from dropbell.settings import forget_settings
    from dropbell.token_store import forget_tokens

    forget_tokens(context.directory)
    forget_settings(context.directory)
    yield Result({"signed_in": False}, "Signed out on this machine.")


def put(context: Context) -> Iterator[Result]:
    """Upload files, in the given order; the first refusal ends it."""
    from dropbell import files
    from dropbell.answers import to_json
    from dropbell.progress import show_progress

    options = context.options
    if options.name and len(options.files) > 1:
        raise InputError("--name fits one file only.")
    for path in options.files:
        if path != "-":
            files.check_readable(path)
        elif not options.name:
            raise InputError("Standard input needs a --name.")
    with _connection(context) as connection:
        for path in options.files:
            source = sys.stdin.buffer if path == "-" else path
            shown = options.name or path
            with (
                nullcontext()
                if options.json
                else show_progress(shown, environment=context.environment) as tell
            ):
                file = files.upload(connection, source, options.name, options.content_type, tell)
            yield Result(to_json(file), f"{file.id}  {file.status}  {file.size_bytes} bytes  {file.name}")


def show(context: Context) -> Iterator[Result]:
    """Look at one file and, if asked, at its deliveries."""
    from dropbell import files
    from dropbell.answers import to_json

    with _connection(context) as connection:
        file = files.show(connection, context.options.id)
        found = to_json(file)
        lines = [f"{name}: {value}" for name, value in found.items() if value not in (None, {}, [])]
        if context.options.deliveries:
            deliveries = list(files.deliveries(connection, file.id))
            found["deliveries"] = [to_json(delivery) for delivery in deliveries]
            lines += [
                f"delivery {each.id}: {each.status}, {len(each.attempts)} attempts"
                + (f", {each.reason}" if each.reason else "")
                for each in deliveries
            ]
        yield Result(found, "\n".join(lines))


def subscribe(context: Context) -> Iterator[Result]:
    """Have somebody told about events."""
    from dropbell import subscriptions
    from dropbell.answers import to_json

    options = context.options
    with _connection(context) as connection:
        made = subscriptions.subscribe(
            connection, options.channel, options.target, options.events or ["file.stored"]
        )
    text = f"{made.id}  {made.status}  {made.channel}  {made.target}"
    if made.secret:
        text += f"\nsecret: {made.secret}\nKeep it to verify signatures: it is shown this once."
    yield Result(to_json(made), text)


def _connection(context: Context) -> Connection:
    from dropbell.connection import Connection

    settings = context.settings
    if not settings.api:
        raise InputError("Say where the service is: --api URL or DROPBELL_API.")
    return Connection(settings.api, _sign_in(context), settings.ca_file, trust_env=context.options.trust_env)


def _sign_in(context: Context) -> SignIn:
    from dropbell.sign_in import FixedToken

    return FixedToken(context.token) if context.token else _device_code_sign_in(context)


def _device_code_sign_in(context: Context, warn: Callable[[str], None] | None = None) -> DeviceCodeSignIn:
    settings = context.settings
    if not settings.authority or not settings.client_id:
        raise NotSignedInError("Nobody is signed in; run: dropbell login --authority URL --client-id ID")

    from dropbell.sign_in import DeviceCodeSignIn
    from dropbell.token_store import open_token_cache

    return DeviceCodeSignIn(
        settings.authority,
        settings.client_id,
        settings.scopes,
        settings.ca_file,
        _show_as_json if context.options.json else lambda code: context.tell(code.sentence),
        token_cache=open_token_cache(context.directory, warn),
        trust_env=context.options.trust_env,
    )


def _show_as_json(code: DeviceCode) -> None:
    import json

    found = {
        "verification_uri": code.verification_uri,
        "user_code": code.user_code,
        "expires_in_seconds": code.expires_in_seconds,
    }
    print(json.dumps(found), flush=True)
