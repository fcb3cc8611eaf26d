"""What a script can tell from how a command ended."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

from dropbell.errors import (
    ConnectionFailedError,
    DamagedContentError,
    DropbellError,
    InputError,
    NotSignedInError,
    NotWorkingError,
    ProblemError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """What a script can tell from how the command ended."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_SIGNED_IN = 3
    NOT_REACHABLE = 4
    DAMAGED = 5
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141

    @property
    def meaning(self) -> str:
        """The code in words."""
        return self.name.lower().replace("_", " ")


EXIT_CODES: Mapping[type[DropbellError], ExitCode] = {
    ProblemError: ExitCode.REFUSED,
    UnexpectedAnswerError: ExitCode.REFUSED,
    NotWorkingError: ExitCode.REFUSED,
    InputError: ExitCode.USAGE,
    NotSignedInError: ExitCode.NOT_SIGNED_IN,
    ConnectionFailedError: ExitCode.NOT_REACHABLE,
    DamagedContentError: ExitCode.DAMAGED,
}


def exit_code_of(error: DropbellError) -> ExitCode:
    """Return the code for a command that ended with ``error``."""
    if isinstance(error, ProblemError) and error.status == HTTPStatus.UNAUTHORIZED:
        return ExitCode.NOT_SIGNED_IN
    return EXIT_CODES[type(error)]
