"""How much memory a process has, at its peak while something runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Awaitable

SAMPLE_SECONDS = 0.02


def resident_bytes(pid: int) -> int:
    """The resident set of the process now."""
    size: int = psutil.Process(pid).memory_info().rss
    return size


async def peak_bytes_during[T](work: Awaitable[T], pid: int) -> tuple[int, T]:
    """The largest resident set of the process from now until ``work`` is done, and what that returned."""
    sampling = asyncio.create_task(_sample(pid, peaks := [resident_bytes(pid)]))
    try:
        result = await work
    finally:
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
    return max(*peaks, resident_bytes(pid)), result


async def _sample(pid: int, peaks: list[int]) -> None:
    while True:
        peaks[0] = max(peaks[0], resident_bytes(pid))
        await asyncio.sleep(SAMPLE_SECONDS)
