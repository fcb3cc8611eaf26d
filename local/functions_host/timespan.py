"""Durations as .NET writes them: ``[days.]hh:mm:ss[.fraction]``."""

from __future__ import annotations

import re

_TIMESPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?")


def parse_seconds(text: str) -> float:
    """The seconds of a time span; a minus sign makes them negative.

    Raises:
        ValueError: it is no time span.
    """
    match = _TIMESPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no time span of the form [d.]hh:mm[:ss[.fff]].")
    sign, days, hours, minutes, seconds, fraction = match.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or 0) > 59:
        raise ValueError(f"'{text}' is no time span: hours go to 23, minutes and seconds to 59.")
    total = ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds or 0)
    value = total + float(f"0.{fraction or 0}")
    return -value if sign else value
