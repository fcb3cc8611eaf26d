"""The demo's file: a few megabytes of a ringing bell, as a WAV that any player plays."""

from __future__ import annotations

import math
import sys
import wave
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE_RATE_HERTZ = 44_100
PARTIALS = ((440.0, 0.5, 1.2), (1211.0, 0.3, 2.1), (2387.0, 0.2, 3.7))
"""Frequency in hertz, share of the amplitude, decay per second: a small bell's three strongest tones."""
STRIKE_SECONDS = 4
STRIKES = 6
AMPLITUDE = 30_000


def write_bell(path: Path) -> None:
    """Write the bell: stereo, 16 bit, 24 seconds, about 4 MB."""
    strike = array("h")
    for number in range(STRIKE_SECONDS * SAMPLE_RATE_HERTZ):
        seconds = number / SAMPLE_RATE_HERTZ
        level = sum(
            share * math.exp(-decay * seconds) * math.sin(math.tau * hertz * seconds)
            for hertz, share, decay in PARTIALS
        )
        sample = round(AMPLITUDE * level)
        strike.extend((sample, sample))
    if sys.byteorder == "big":
        strike.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(strike.tobytes() * STRIKES)
