"""The words of a filter, one at a time, and the error that points at one of them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError
from shared.notifications.filter_glob import Wildcard

if TYPE_CHECKING:
    from shared.notifications.filter_glob import Glob

MAX_CHARACTERS = 1000
_MAX_ECHOED_CHARACTERS = 40

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_.-]*)"
    r"|(?P<symbol><=|>=|!=|==|<>|&&|\|\||[=<>(),!])"
)
_QUOTES = frozenset("\"'")
_CURLY_QUOTES = frozenset("“”„‟«»‘’‚‛")  # noqa: RUF001 - they are what a word processor makes of quotes
_ESCAPABLE = frozenset("\\\"'*?")
_LINE_SPACES = frozenset("\t\r\n")
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs"})


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    NUMBER = "number"
    SYMBOL = "symbol"
    QUOTED = "quoted"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a filter.

    Args:
        kind: What it is.
        position: Of its first character, from 1.
        text: As written; without its quotes, and empty at the end.
        glob: What stands between quotes, escapes read.
    """

    kind: TokenKind
    position: int
    text: str
    glob: Glob = ()

    def __str__(self) -> str:
        """For an error's sentence."""
        match self.kind:
            case TokenKind.END:
                return "the end"
            case TokenKind.QUOTED:
                return "a text in quotes"
            case _:
                return f"'{self.text[:_MAX_ECHOED_CHARACTERS]}'"


def invalid(position: int, why: str) -> InvalidRequestError:
    """The error for a filter that is wrong at ``position`` (from 1)."""
    return InvalidRequestError(
        f"The filter cannot be read at character {position}: {why}.",
        code="invalid-filter",
        extensions={"position": position},
    )


class Tokens:
    """Reads a filter from left to right, so that the first thing wrong is the one that is reported."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise invalid(MAX_CHARACTERS + 1, f"a filter has at most {MAX_CHARACTERS} characters")
        for index, character in enumerate(text):
            if unicodedata.category(character) in _UNPRINTABLE_CATEGORIES and character not in _LINE_SPACES:
                raise invalid(index + 1, "control characters are not allowed")
        self._text = text
        self._index = 0
        self.present = self._read()

    def at_end(self) -> bool:
        """Whether everything was read."""
        return self.present.kind is TokenKind.END

    def take(self) -> Token:
        """The present token; the one after it becomes the present one."""
        taken = self.present
        self.present = self._read()
        return taken

    def _read(self) -> Token:
        while self._index < len(self._text) and self._text[self._index].isspace():
            self._index += 1
        start = self._index
        if start == len(self._text):
            return Token(TokenKind.END, start + 1, "")
        character = self._text[start]
        if character in _QUOTES:
            return self._read_quoted(character)
        match = _TOKEN.match(self._text, start)
        if match is None:
            why = "a filter has no such character outside quotes"
            raise invalid(start + 1, "use straight quotes, \" or '" if character in _CURLY_QUOTES else why)
        self._index = match.end()
        return Token(TokenKind(match.lastgroup), start + 1, match.group())

    def _read_quoted(self, quote: str) -> Token:
        start = self._index
        pieces: list[str | Wildcard] = []
        index = start + 1
        while index < len(self._text):
            character = self._text[index]
            if character == quote:
                self._index = index + 1
                return Token(TokenKind.QUOTED, start + 1, self._text[start + 1 : index], tuple(pieces))
            if character in "*?":
                pieces.append(Wildcard(character))
            else:
                if character == "\\":
                    index += 1
                    character = self._text[index : index + 1]
                    if character not in _ESCAPABLE:
                        raise invalid(
                            index, "a backslash stands before \\, \", ', * or ?; write \\\\ for one itself"
                        )
                _append(pieces, character)
            index += 1
        raise invalid(start + 1, f"the text that begins here has no {quote} at its end")


def _append(pieces: list[str | Wildcard], character: str) -> None:
    if pieces and isinstance(pieces[-1], str):
        pieces[-1] += character
    else:
        pieces.append(character)
