"""Request bodies that are streamed, never held."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from dropbell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

CHUNK_BYTES = 256 * 1024

OnProgress = Callable[[int, int | None], None]
"""Takes the bytes sent so far and the bytes in all, None when unknown."""


class Payload(Protocol):
    """What a request can send: its length, None when unknown, and whether it can be sent a second time."""

    @property
    def size_bytes(self) -> int | None: ...  # noqa: D102 - see the class

    @property
    def replayable(self) -> bool: ...  # noqa: D102 - see the class

    def chunks(self) -> Iterator[bytes]: ...  # noqa: D102 - see the class


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
        self._sent = hashlib.sha256()
        self.replayable = _has_known_end(stream)
        self._start_bytes = stream.tell() if self.replayable else 0
        self.size_bytes = stream.seek(0, os.SEEK_END) - self._start_bytes if self.replayable else None

    @property
    def sent_sha256(self) -> str:
        """SHA-256 (hex) of what ``chunks`` gave the last time."""
        return self._sent.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Give the body piece by piece; on a replayable one every call starts again.

        Raises:
            InputError: Reading failed, or a file became shorter while it was sent.
        """
        self._sent = hashlib.sha256()
        sent_bytes = 0
        for chunk in self.read(0, self.size_bytes):
            yield chunk
            self._sent.update(chunk)
            sent_bytes += len(chunk)
            if self._on_progress is not None:
                self._on_progress(sent_bytes, self.size_bytes)

    def read(self, start_bytes: int, end_bytes: int | None) -> Iterator[bytes]:
        """Read from one place to another, to the end of a pipe without ``end_bytes``; nobody is told.

        Raises:
            InputError: Reading failed, or a file became shorter than it was.
        """
        if self.replayable:
            self._stream.seek(self._start_bytes + start_bytes)
        position = start_bytes
        # A file that grows is read up to the length that it had.
        while chunk := self._read(
            position, CHUNK_BYTES if end_bytes is None else min(CHUNK_BYTES, end_bytes - position)
        ):
            yield chunk
            position += len(chunk)
        if end_bytes is not None and position < end_bytes:
            raise InputError(
                f"The file became shorter while it was sent: {position} of {self.size_bytes} bytes."
            )

    def _read(self, position: int, wanted_bytes: int) -> bytes:
        try:
            return self._stream.read(wanted_bytes)
        except OSError as error:
            raise InputError(f"Reading failed after {position} bytes: {error.strerror or error}.") from error


class BodyPart:
    """A part of a replayable body as the body of one request; progress is told as that of the whole."""

    replayable = True

    def __init__(
        self, body: Body, start_bytes: int, size_bytes: int, on_progress: OnProgress | None = None
    ) -> None:
        self._body = body
        self._start_bytes = start_bytes
        self._on_progress = on_progress
        self.size_bytes = size_bytes

    def chunks(self) -> Iterator[bytes]:
        """Give the part piece by piece; raises as ``Body.read`` does."""
        position = self._start_bytes
        for chunk in self._body.read(position, self._start_bytes + self.size_bytes):
            yield chunk
            position += len(chunk)
            if self._on_progress is not None:
                self._on_progress(position, self._body.size_bytes)


class RunningDigest:
    """SHA-256 of a replayable body, taken in passing while its parts are read one after the other."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._whole = hashlib.sha256()
        self._position = 0

    def of_part(self, start_bytes: int, end_bytes: int) -> bytes:
        """Return the SHA-256 of one part; what lies before it counts to the whole as well."""
        part = hashlib.sha256()
        position = min(self._position, start_bytes)
        for chunk in self._body.read(position, end_bytes):
            part.update(chunk[max(start_bytes - position, 0) :])
            self._whole.update(chunk[max(self._position - position, 0) :])
            position += len(chunk)
            self._position = max(self._position, position)
        return part.digest()

    def of_whole(self) -> str:
        """Return the SHA-256 (hex) of the whole body, reading what is left of it."""
        size_bytes = self._body.size_bytes or 0
        self.of_part(size_bytes, size_bytes)
        return self._whole.hexdigest()


def _has_known_end(stream: BinaryIO) -> bool:
    if not stream.seekable():
        return False
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, AttributeError):
        return True  # not a file of the system, such as io.BytesIO
    return stat.S_ISREG(mode)  # devices claim to be seekable and to be empty
