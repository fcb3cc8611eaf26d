"""The command line ``dropbell``: parse, run one command, print, leave with a code that says what happened."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from dropbell import commands
from dropbell.command_options import option_parser
from dropbell.errors import DropbellError, ProblemError
from dropbell.exit_codes import ExitCode, exit_code_of
from dropbell.settings import config_directory, load_settings, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ExitCode", "main"]

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
    options = option_parser().parse_args(arguments, argparse.Namespace(**_DEFAULTS))
    try:
        for result in options.run(_context(options, environment)):
            _print(result, as_json=options.json)
    except DropbellError as error:
        print(_error_as_json(error) if options.json else _error_sentence(error), file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        print("" if options.json else "dropbell: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would fail on it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OUTPUT_CLOSED
    return ExitCode.OK


def _print(result: commands.Result, *, as_json: bool) -> None:
    if as_json and result.json is not None:
        print(json.dumps(result.json), flush=True)
    elif not as_json and result.text is not None:
        print(_printable(result.text), flush=True)


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


def _error_sentence(error: DropbellError) -> str:
    sentence = f"dropbell: {error}"
    if isinstance(error, ProblemError):
        sentence += f" (status {error.status}, correlation id {error.correlation_id or 'unknown'})"
    return _printable(sentence)


def _error_as_json(error: DropbellError) -> str:
    facts: dict[str, object] = {"exit_code": exit_code_of(error), "detail": str(error)}
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
