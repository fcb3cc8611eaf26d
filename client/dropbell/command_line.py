"""The command line ``dropbell``: parse, run one command, print, leave with a code that says what happened."""

from __future__ import annotations

import argparse
import json
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

from dropbell import commands
from dropbell.errors import (
    ConnectionFailedError,
    DropbellError,
    InputError,
    NotSignedInError,
    ProblemError,
    UnexpectedAnswerError,
)
from dropbell.settings import config_directory, load_settings, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class ExitCode(IntEnum):
    """What a script can tell from how the command ended."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_SIGNED_IN = 3
    NOT_REACHABLE = 4
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141

    @property
    def meaning(self) -> str:
        """The code in words."""
        return self.name.lower().replace("_", " ")


EXIT_CODES: Mapping[type[DropbellError], ExitCode] = {
    ProblemError: ExitCode.REFUSED,
    UnexpectedAnswerError: ExitCode.REFUSED,
    InputError: ExitCode.USAGE,
    NotSignedInError: ExitCode.NOT_SIGNED_IN,
    ConnectionFailedError: ExitCode.NOT_REACHABLE,
}
_UNAUTHORIZED = 401
_DEFAULTS = {"json": False, "token": None, "owner": None, "trust_env": False}


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: Without the program's name; those of the process when not given.
        environment: That of the process when not given.

    Returns:
        An ``ExitCode``. As usual with argparse, a wrong option ends the process with code 2 by itself.
    """
    environment = os.environ if environment is None else environment
    options = _parser().parse_args(arguments, argparse.Namespace(**_DEFAULTS))
    try:
        for result in options.run(_context(options, environment)):
            print(json.dumps(result.json) if options.json else _printable(result.text), flush=True)
    except DropbellError as error:
        print(_error_as_json(error) if options.json else _error_sentence(error), file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt:
        print("" if options.json else "dropbell: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would fail on it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OUTPUT_CLOSED
    return ExitCode.OK


def _context(options: argparse.Namespace, environment: Mapping[str, str]) -> commands.Context:
    def tell(sentence: str) -> None:
        if not options.json:
            print(_printable(sentence), file=sys.stderr, flush=True)

    directory = config_directory(environment)
    return commands.Context(
        options=options,
        settings=resolve_settings(vars(options), environment, load_settings(directory)),
        token=options.token or environment.get("DROPBELL_TOKEN"),
        owner=options.owner or environment.get("DROPBELL_OWNER"),
        directory=directory,
        environment=environment,
        tell=tell,
    )


def _parser() -> argparse.ArgumentParser:
    everywhere = _global_options()
    parser = argparse.ArgumentParser(
        prog="dropbell",
        description="Drop a file, ring the bell.",
        epilog="Exit codes: " + ", ".join(f"{code.value} {code.meaning}" for code in ExitCode) + ". "
        "A service signs in by DROPBELL_CLIENT_SECRET, DROPBELL_CLIENT_CERTIFICATE (a PEM file) or "
        "DROPBELL_CLIENT_ASSERTION_FILE.",
        parents=[everywhere],
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[commands.Context], Iterator[commands.Result]]
    ) -> argparse.ArgumentParser:
        about = (run.__doc__ or "").rstrip(".")
        added = actions.add_parser(
            name, help=about, description=about, parents=[everywhere], allow_abbrev=False
        )
        added.set_defaults(run=run)
        return added

    login = command("login", commands.log_in)
    login.add_argument(
        "--browser",
        action="store_true",
        help="use this machine's browser at once, instead of a code to type in",
    )
    command("whoami", commands.who_am_i)
    command("logout", commands.log_out)
    put = command("put", commands.put)
    put.add_argument("files", nargs="+", metavar="FILE", help="a file to upload; - is standard input")
    put.add_argument("--name", help="what to call it (one file only)")
    put.add_argument("--content-type", help="its media type; without it, guessed from the name")
    show = command("show", commands.show)
    show.add_argument("id", metavar="ID", help="the file's id")
    show.add_argument("--deliveries", action="store_true", help="also list who was told about it")
    subscribe = command("subscribe", commands.subscribe)
    subscribe.add_argument("--channel", required=True, choices=("webhook", "email", "chat"))
    subscribe.add_argument("--target", required=True, help="the URL or address to tell")
    subscribe.add_argument(
        "--event", action="append", dest="events", help="file.stored (the default); may repeat"
    )
    subscription = command("subscription", commands.subscription)
    subscription.add_argument("id", metavar="ID", help="the subscription's id")
    return parser


def _global_options() -> argparse.ArgumentParser:
    """Options for before or after the command; absent in one place, they must not undo the other."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("service and sign-in")
    group.add_argument("--api", metavar="URL", help="the service (DROPBELL_API)")
    group.add_argument("--authority", metavar="URL", help="who signs you in (DROPBELL_AUTHORITY)")
    group.add_argument("--client-id", metavar="ID", help="this program's id there (DROPBELL_CLIENT_ID)")
    group.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        help="a permission to ask for; may repeat (DROPBELL_SCOPES)",
    )
    group.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM (DROPBELL_CA_FILE)")
    group.add_argument("--token", help="use this token; other users see it here, not in DROPBELL_TOKEN")
    group.add_argument("--owner", metavar="TENANT/OBJECT", help="whom an app acts for (DROPBELL_OWNER)")
    group.add_argument(
        "--proxy-from-environment", action="store_true", dest="trust_env", help="use HTTPS_PROXY and its like"
    )
    group.add_argument("--json", action="store_true", help="print JSON only, one object a line")
    return parser


def _exit_code(error: DropbellError) -> ExitCode:
    if isinstance(error, ProblemError) and error.status == _UNAUTHORIZED:
        return ExitCode.NOT_SIGNED_IN
    return EXIT_CODES[type(error)]


def _error_sentence(error: DropbellError) -> str:
    sentence = f"dropbell: {error}"
    if isinstance(error, ProblemError):
        sentence += f" (status {error.status}, correlation id {error.correlation_id or 'unknown'})"
    return _printable(sentence)


def _error_as_json(error: DropbellError) -> str:
    facts: dict[str, object] = {"exit_code": _exit_code(error), "detail": str(error)}
    if isinstance(error, ProblemError):
        facts |= {
            "status": error.status,
            "type": error.type,
            "title": error.title,
            "correlation_id": error.correlation_id,
        }
    return json.dumps({"error": facts})


def _printable(text: str) -> str:
    """Keep names and sentences from elsewhere from steering the terminal, or from failing on its encoding."""
    harmless = "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
    encoding = sys.stdout.encoding or "utf-8"
    return harmless.encode(encoding, "backslashreplace").decode(encoding)
