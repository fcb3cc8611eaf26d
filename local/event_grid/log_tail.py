"""Follow a log file that grows, is truncated, or is replaced by another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 256 * 1024
"""Also the longest line; what is longer is skipped."""
GUARD_BYTES = 128


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log has been read.

    ``guard`` holds the bytes before ``offset_bytes``. A file that has others there is not the file that was
    read, even when it is as long: it was truncated and has grown again.
    """

    offset_bytes: int = 0
    guard: bytes = b""

    def after(self, consumed: bytes) -> Position:
        """Return the position once ``consumed`` has been read."""
        return Position(self.offset_bytes + len(consumed), (self.guard + consumed)[-GUARD_BYTES:])


START = Position()


def complete_lines(chunk: bytes, limit_bytes: int = CHUNK_BYTES) -> tuple[list[bytes], int]:
    """Return the complete lines of ``chunk`` and how many bytes they and what is to be skipped take.

    A line that is not finished yet is left for the next time, unless it fills the limit.
    """
    end = chunk.rfind(b"\n") + 1
    if end == 0 and len(chunk) >= limit_bytes:
        return [], len(chunk)
    return chunk[:end].splitlines(), end


class LogTail:
    """Reads complete lines from where it stopped. The file need not exist yet."""

    def __init__(self, path: Path, position: Position = START) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._skipping = False
        self.position = position

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def read(self) -> list[bytes]:
        """Return the lines that were completed since the last call, as far as one chunk goes.

        ``position`` then stands behind them.
        """
        if self._descriptor is None and not self._open():
            return []
        lines = self._read_open_file()
        if not lines and self._replaced():
            # What the old file still got has been read: go on with the new one.
            self._close()
            self.position = START
        return lines

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._skipping = False

    def _replaced(self) -> bool:
        if self._descriptor is None:
            return False
        mine = os.fstat(self._descriptor)
        try:
            current = self._path.stat()
        except FileNotFoundError:
            return False
        # As long as the new file is empty, the writer may still hold the old one.
        return current.st_size > 0 and (mine.st_dev, mine.st_ino) != (current.st_dev, current.st_ino)

    def _read_open_file(self) -> list[bytes]:
        chunk = self._new_bytes()
        # A truncated file whose writer kept its own offset begins with a hole of NULs.
        text = chunk.lstrip(b"\0")
        lines, consumed = complete_lines(text)
        self.position = self.position.after(chunk[: len(chunk) - len(text) + consumed])
        was_skipping = self._skipping
        if consumed:
            self._skipping = not lines
        return lines[1:] if was_skipping else lines

    def _new_bytes(self) -> bytes:
        """Return a chunk from the position on; the position goes back to the start in a truncated file."""
        if self._descriptor is None:
            return b""
        guard = self.position.guard
        found = os.pread(self._descriptor, len(guard) + CHUNK_BYTES, self.position.offset_bytes - len(guard))
        if found.startswith(guard):
            return found[len(guard) :]
        self.position, self._skipping = START, False
        return os.pread(self._descriptor, CHUNK_BYTES, 0)
