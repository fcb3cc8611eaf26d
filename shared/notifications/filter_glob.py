"""Patterns with wildcards: ``*`` for any characters, ``?`` for any one; and how texts are compared."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Wildcard(Enum):
    """A place in a pattern that more than one text fits."""

    ANY = "*"
    """Any characters, also none."""
    ONE = "?"
    """Exactly one character."""


type Glob = tuple[str | Wildcard, ...]
"""Literal texts and the wildcards between them."""


def exact(text: str) -> str:
    """The text in Unicode normal form C, so that one spelling of ``é`` equals the other."""
    return unicodedata.normalize("NFC", text)


def caseless(text: str) -> str:
    """The text as it is compared without regard to case.

    Each character is folded to one character (simple case folding, Unicode §5.18), so that ``?`` stands for
    what a reader takes to be one.
    """
    if text.isascii():
        return text.lower()
    folded = "".join(_folded(character) for character in unicodedata.normalize("NFC", text))
    return unicodedata.normalize("NFC", folded)


def _folded(character: str) -> str:
    for fold in (character.casefold(), character.lower()):
        if len(fold) == 1:
            return fold
    return character


def matcher(glob: Glob, fold: Callable[[str], str]) -> Callable[[str], bool]:
    """A test whether the whole of a text, folded already, fits; its literal parts are folded here.

    An atomic group for each ``*`` but the last takes the first place that fits and never tries another, so
    the time stays within the product of the two lengths, whatever the pattern.
    """
    runs: list[str] = [""]
    for piece in glob:
        if piece is Wildcard.ANY:
            runs.append("")
        else:
            runs[-1] += "." if isinstance(piece, Wildcard) else re.escape(fold(piece))
    if len(runs) == 1:
        pattern = runs[0]
    else:
        first, *between, last = runs
        pattern = first + "".join(f"(?>.*?{run})" for run in between) + ".*" + last
    fullmatch = re.compile(pattern, re.DOTALL).fullmatch
    return lambda text: fullmatch(text) is not None
