"""What a client would rather have, as its Accept field says (RFC 9110 §12.5.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

_QUALITY = re.compile(r"[ \t]*q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)


class Wish(NamedTuple):
    """How welcome a media type is; the greater is the better."""

    quality: float
    """From 0, not wanted, to 1."""
    precision: int
    """Of the range that names it: 3 by itself, 2 by its type, 1 by ``*/*``, 0 by nothing."""


def wish_for(media_type: str, accept: str | None) -> Wish:
    """How welcome ``media_type`` is; the most precise range that includes it decides.

    Without the field all are equally welcome. A member that cannot be read is passed over.
    """
    if accept is None or not accept.strip():
        return Wish(1, 0)
    precisions = {media_type: 3, f"{media_type.partition('/')[0]}/*": 2, "*/*": 1}
    best = Wish(0, 0)
    for member in accept.split(","):
        name, *parameters = member.split(";")
        precision = precisions.get(name.strip().lower(), 0)
        if precision > best.precision:
            qualities = [match[1] for each in parameters if (match := _QUALITY.fullmatch(each))]
            best = Wish(float(qualities[0]) if qualities else 1, precision)
    return best
