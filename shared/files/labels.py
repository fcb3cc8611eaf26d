"""Labels: what an owner notes about a file, as pairs of a key and a value."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LABELS = 32
KEY_PATTERN = r"^[a-z0-9._-]{1,63}$"
MAX_VALUE_CHARACTERS = 255
MAX_LABELS_BYTES = 8_192
"""Of all keys and values in UTF-8. Escaped as JSON this leaves a notification below 20,000 bytes, and stays
below the 32 Ki characters of a property."""

_KEY = re.compile(KEY_PATTERN)
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs"})


def merged(labels: Mapping[str, str], patch: Mapping[str, str | None] | None) -> Mapping[str, str]:
    """The labels after a merge patch (RFC 7396): None for a value removes it, None for all removes all.

    Raises InvalidRequestError (``invalid-body``) that says what cannot be taken.
    """
    if patch is None:
        return {}
    for key, value in patch.items():
        if _KEY.fullmatch(key) is None:
            raise _invalid("a key is 1 to 63 of a-z, 0-9, '.', '_' and '-'")
        if value is not None and len(value) > MAX_VALUE_CHARACTERS:
            raise _invalid(f"{key} is longer than {MAX_VALUE_CHARACTERS} characters")
        if value is not None and any(unicodedata.category(c) in _UNPRINTABLE_CATEGORIES for c in value):
            raise _invalid(f"{key} has control characters")
    after = {key: value for key, value in {**labels, **patch}.items() if value is not None}
    if len(after) > MAX_LABELS:
        raise _invalid(f"a file can have at most {MAX_LABELS}")
    if sum(len(key) + len(value.encode()) for key, value in after.items()) > MAX_LABELS_BYTES:
        raise _invalid(f"all keys and values together have at most {MAX_LABELS_BYTES} bytes in UTF-8")
    return after


def _invalid(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"labels: {why}.", code="invalid-body")
