"""Request bodies that are streamed, never held."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from dropbell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

CHUNK_BYTES = 256 * 1024

OnProgress = Callable[[int, int | None], None]
"""Takes the bytes sent so far and the bytes in all, None when unknown."""


class Body:
    """What is left to read of a binary stream, as a request body.

    Attributes:
        size_bytes: Length of the body; None when only its end tells (pipes); then it is sent chunked.
        replayable: Whether it can be sent a second time.

    Args:
        stream: Opened for reading bytes; stays open.
        on_progress: Called after each piece.

    Raises:
        InputError: The stream gives text instead of bytes.
    """

    def __init__(self, stream: BinaryIO, on_progress: OnProgress | None = None) -> None:
        if isinstance(cast("object", stream), io.TextIOBase):  # whatever the annotation says
            raise InputError("The stream gives text; open it in binary mode.")
        self._stream = stream
        self._on_progress = on_progress
        self.replayable = _has_known_end(stream)
        self._start_bytes = stream.tell() if self.replayable else 0
        self.size_bytes = stream.seek(0, os.SEEK_END) - self._start_bytes if self.replayable else None

    def chunks(self) -> Iterator[bytes]:
        """Give the body piece by piece; on a replayable one every call starts again.

        Raises:
            InputError: Reading failed, or a file became shorter while it was sent.
        """
        if self.replayable:
            self._stream.seek(self._start_bytes)
        sent_bytes = 0
        while chunk := self._read(sent_bytes):
            yield chunk
            sent_bytes += len(chunk)
            if self._on_progress is not None:
                self._on_progress(sent_bytes, self.size_bytes)
        if self.size_bytes is not None and sent_bytes < self.size_bytes:
            raise InputError(
                f"The file became shorter while it was sent: {sent_bytes} of {self.size_bytes} bytes."
            )

    def _read(self, sent_bytes: int) -> bytes:
        # A file that grows is sent up to the length that was announced.
        wanted_bytes = (
            CHUNK_BYTES if self.size_bytes is None else min(CHUNK_BYTES, self.size_bytes - sent_bytes)
        )
        try:
            return self._stream.read(wanted_bytes)
        except OSError as error:
            raise InputError(
                f"Reading failed after {sent_bytes} bytes: {error.strerror or error}."
            ) from error


def _has_known_end(stream: BinaryIO) -> bool:
    if not stream.seekable():
        return False
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, AttributeError):
        return True  # not a file of the system, such as io.BytesIO
    return stat.S_ISREG(mode)  # devices claim to be seekable and to be empty
