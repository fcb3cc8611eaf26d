"""Which bytes a Range field asks for (RFC 9110 §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import RangeNotSatisfiableError

_ONE_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.ASCII | re.IGNORECASE)
"""Empty members of the list (RFC 9110 §5.6.1.2) are read over before."""
_MAX_DIGITS = 18
"""Above this, a position is beyond the end of any file."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Positions of the first and the last byte."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        """How many bytes these are."""
        return self.last - self.first + 1

    def content_range(self, size_bytes: int) -> str:
        """The Content-Range field (§14.4) for content of ``size_bytes`` in all."""
        return f"bytes {self.first}-{self.last}/{size_bytes}"


def byte_range(field: str | None, size_bytes: int) -> ByteRange | None:
    """The range of a representation of ``size_bytes``; None: send the whole.

    That is the answer to no field, to one that cannot be read, to another unit, and to several ranges: a
    server may ignore each of them (§14.2), and several small ranges are a way to make it work hard (§17.15).

    Raises RangeNotSatisfiableError when no byte is in the range.
    """
    match = None if field is None else _ONE_RANGE.fullmatch(field.strip(" \t,"))
    if match is None:
        return None
    first_text, last_text, suffix_text = match.groups()
    if suffix_text is not None:
        suffix_bytes = min(_number(suffix_text), size_bytes)
        if suffix_bytes == 0 and _number(suffix_text) > 0:
            return None  # satisfiable, and no Content-Range can say what an empty range is
        first, last = size_bytes - suffix_bytes, size_bytes - 1
    else:
        first, last = _number(first_text), _number(last_text) if last_text else size_bytes - 1
        if last_text and last < first:
            return None  # not a range at all (§14.1.2)
    if first >= size_bytes:
        raise RangeNotSatisfiableError(
            f"The file has {size_bytes} bytes; none of them is in the range.",
            headers={"content-range": f"bytes */{size_bytes}"},
        )
    return ByteRange(first, min(last, size_bytes - 1))


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return 10**_MAX_DIGITS if len(significant) > _MAX_DIGITS else int(significant or "0")
