"""How far an upload or a download is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dropbell.body import OnProgress

MEBIBYTE = 1024 * 1024
_STEP_PERCENT = 25


class PlainProgress:
    """Writes a line whenever another quarter is done.

    Args:
        name: What is on its way.
        write: Takes one line.
        now: A clock in seconds.
    """

    def __init__(
        self, name: str, write: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._write = write
        self._now = now
        self._started = now()
        self._told_percent = 0

    def __call__(self, sent_bytes: int, total_bytes: int | None) -> None:
        """Take the bytes done and the bytes in all; without the latter there are no quarters to tell."""
        if not total_bytes:
            return
        percent = 100 * sent_bytes // total_bytes // _STEP_PERCENT * _STEP_PERCENT
        if percent <= self._told_percent:
            return
        self._told_percent = percent
        elapsed_seconds = max(self._now() - self._started, 1e-6)
        bytes_per_second = sent_bytes / elapsed_seconds
        left_seconds = (total_bytes - sent_bytes) / bytes_per_second
        self._write(
            f"{self._name}: {percent} % of {total_bytes / MEBIBYTE:.1f} MiB, "
            f"{bytes_per_second / MEBIBYTE:.1f} MiB/s, {left_seconds:.0f} s left"
        )


@contextmanager
def show_progress(
    name: str, stream: TextIO | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[OnProgress]:
    """Show the progress while the context is open; yields what takes the numbers.

    Args:
        name: What is on its way.
        stream: Where to show it; standard error when not given.
        environment: Asked for ``NO_COLOR`` (no-color.org) and ``TERM``; that of the process when not given.
    """
    stream = stream or sys.stderr
    environment = os.environ if environment is None else environment
    if not stream.isatty() or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        yield PlainProgress(name, lambda line: print(line, file=stream, flush=True))
    else:
        with _bar(name, stream) as on_progress:
            yield on_progress


@contextmanager
def _bar(name: str, stream: TextIO) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            total = "?" if task.total is None else f"{task.total / MEBIBYTE:.1f}"
            return Text(f"{task.completed / MEBIBYTE:.1f}/{total} MiB")

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("- MiB/s" if speed is None else f"{speed / MEBIBYTE:.1f} MiB/s")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Amount(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream)) as progress:
        task = progress.add_task(name, total=None)
        yield lambda sent_bytes, total_bytes: progress.update(task, completed=sent_bytes, total=total_bytes)
