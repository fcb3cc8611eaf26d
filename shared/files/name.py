"""What a file may be called. A name is shown to people and never used as a path."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote, unquote

from shared.errors import InvalidRequestError

MAX_NAME_BYTES = 255
"""UTF-8 bytes; the limit of the usual file systems, so that a download keeps its name."""
DEFAULT_NAME = "unnamed"

_PATH_CHARACTERS = frozenset("/\\")
_PATH_NAMES = frozenset({".", ".."})
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (includes the right-to-left override), surrogates, line and paragraph separators."""
_JOINERS = frozenset("\u200c\u200d")
"""Zero-width (non-)joiner: format characters that Persian, Indic scripts and emoji need."""


def checked_name(name: str) -> str:
    """The name in Unicode normal form C; raises InvalidRequestError (``invalid-name``) with the reason."""
    normal = unicodedata.normalize("NFC", name).strip()
    if not set(normal) - _JOINERS:
        raise _invalid("is empty")
    if _PATH_CHARACTERS & set(normal) or normal in _PATH_NAMES:
        raise _invalid("must not contain '/' or '\\', or be '.' or '..'")
    if any(unicodedata.category(c) in _UNPRINTABLE_CATEGORIES and c not in _JOINERS for c in normal):
        raise _invalid("must not contain control or invisible formatting characters")
    if len(normal.encode()) > MAX_NAME_BYTES:
        raise _invalid(f"is longer than {MAX_NAME_BYTES} bytes in UTF-8")
    return normal


def _invalid(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The file name {why}.", code="invalid-name")


def to_metadata(name: str) -> str:
    """The name as blob metadata takes it: ASCII, percent-encoded."""
    return quote(name, safe="")


def from_metadata(value: str) -> str:
    """The reverse of ``to_metadata``."""
    return unquote(value)
