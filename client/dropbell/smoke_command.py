"""The command that finds out whether a service works, for people and for pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropbell.command_access import open_connection
from dropbell.commands import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropbell.commands import Context


def smoke(context: Context) -> Iterator[Result]:
    """Try the main job once: is the service healthy, does a file come in and get announced and delivered."""
    from dropbell import smoke as test
    from dropbell.answers import to_json

    options = context.options
    with open_connection(context) as connection:
        for step in test.smoke(
            connection,
            test.Patience(options.timeout),
            target=options.target,
            channel=options.channel,
            release=options.release,
        ):
            yield Result(to_json(step), f"{step.seconds:6.1f} s  {step.name}: {step.detail}")
    if options.target is None:
        context.tell("Nobody was to be told (--target), so no delivery was tried.")
