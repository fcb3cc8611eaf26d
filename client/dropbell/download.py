"""Downloading: streamed, resumed after a cut, verified."""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

import requests

from dropbell.body import CHUNK_BYTES
from dropbell.connection import checked_id
from dropbell.errors import (
    ConnectionFailedError,
    DamagedContentError,
    DropbellError,
    InputError,
    UnexpectedAnswerError,
)
from dropbell.retrying import Attempts, is_temporary, never_reached
from dropbell.transport import connection_failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropbell.body import OnProgress
    from dropbell.connection import Connection
    from dropbell.file import File

# As it is stored: a compressed answer would have other byte positions.
_PLAIN = {"Accept-Encoding": "identity"}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)
_RANGE = re.compile(r"\d+-\d*|-\d+", re.ASCII)


def download_to_stream(
    connection: Connection, file: File, stream: BinaryIO, on_progress: OnProgress | None = None
) -> None:
    """Download a file into a stream; what was written before an error stays written.

    Args:
        connection: The service.
        file: What to download.
        stream: Where to; one that cannot be cut back cannot take a content that changed under way.
        on_progress: Called after each piece that arrived.

    Raises:
        DamagedContentError: What arrived is not the file.
        OSError: As the stream's ``write`` does.
        DropbellError: As ``Connection.request`` does, when trying again brought nothing.
    """
    _Download(connection, file, stream, on_progress).run()


def download_range(connection: Connection, file_id: str, byte_range: str) -> Iterator[bytes]:
    """Download some of a file's bytes; there is no digest to verify them by.

    Args:
        connection: The service.
        file_id: Whose bytes.
        byte_range: ``0-99``, ``100-`` or ``-100`` for the last hundred (RFC 9110 §14.1.2).

    Raises:
        InputError: It is no range.
        UnexpectedAnswerError: The service did not answer with a part.
        DropbellError: As ``Connection.request`` does; ProblemError 416 when no byte is in the range.
    """
    if not _RANGE.fullmatch(byte_range):
        raise InputError(f"{byte_range!r} is not a range such as 0-99, 100- or -100.")
    headers = _PLAIN | {"Range": f"bytes={byte_range}"}
    path = f"/files/{checked_id(file_id, 'file')}/content"
    with connection.request("GET", path, headers=headers, stream=True) as answer:
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            raise UnexpectedAnswerError("The service did not answer with a part of the file.")
        try:
            yield from answer.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise connection_failed(error, connection.api_url) from error


class _Download:
    """One file on its way into a stream."""

    def __init__(
        self, connection: Connection, file: File, stream: BinaryIO, on_progress: OnProgress | None
    ) -> None:
        self._connection = connection
        self._file = file
        self._path = f"/files/{checked_id(file.id, 'file')}/content"
        self._stream = stream
        self._on_progress = on_progress
        self._attempts = Attempts(connection.backoff)
        self._digest = hashlib.sha256()
        self._received_bytes = 0
        self._etag: str | None = None

    def run(self) -> None:
        while True:
            try:
                self._receive_rest()
                break
            except DropbellError as error:
                if not is_temporary(error) or (self._attempts.is_first and never_reached(error)):
                    raise
                self._attempts.wait_after(error)
        sha256 = self._digest.hexdigest()
        if self._received_bytes != self._file.size_bytes or self._file.sha256 not in (None, sha256):
            raise DamagedContentError(
                f"What arrived is not the file {self._file.id}: {self._received_bytes} of "
                f"{self._file.size_bytes} bytes, SHA-256 {sha256} instead of {self._file.sha256}."
            )

    def _receive_rest(self) -> None:
        if self._received_bytes and self._received_bytes == self._file.size_bytes:
            return  # cut off after the last byte
        if self._etag is None and self._received_bytes:
            self._begin_anew()  # nothing says that the rest would belong to what is here
        headers = dict(_PLAIN)
        if self._received_bytes and self._etag is not None:
            headers |= {"Range": f"bytes={self._received_bytes}-", "If-Range": self._etag}
        with self._connection.request("GET", self._path, headers=headers, stream=True) as answer:
            if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
                self._check_start(answer)
            elif self._received_bytes:
                self._begin_anew()  # the content is another one by now (RFC 9110 §13.1.5)
            self._etag = _strong_etag(answer)
            self._receive(answer)

    def _receive(self, answer: requests.Response) -> None:
        chunks = answer.iter_content(CHUNK_BYTES)
        while True:
            try:
                chunk = next(chunks, b"")
            except requests.RequestException as error:
                raise connection_failed(error, self._connection.api_url) from error
            if not chunk:
                break
            self._stream.write(chunk)
            self._digest.update(chunk)
            self._received_bytes += len(chunk)
            self._attempts.progressed()
            if self._on_progress is not None:
                self._on_progress(self._received_bytes, self._file.size_bytes)
            if self._received_bytes > self._file.size_bytes:
                return  # never mind how much more: it is not the file
        if self._received_bytes < self._file.size_bytes and "Content-Length" not in answer.headers:
            raise ConnectionFailedError("The connection ended before the file was complete.")

    def _check_start(self, answer: requests.Response) -> None:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self._received_bytes:
            raise UnexpectedAnswerError("The service went on from another place than it was asked to.")

    def _begin_anew(self) -> None:
        try:
            self._stream.seek(0)
            self._stream.truncate()
        except (OSError, ValueError) as error:
            raise DamagedContentError(
                "The download cannot be resumed, and what was written to the output cannot be taken back."
            ) from error
        self._digest = hashlib.sha256()
        self._received_bytes = 0


def _strong_etag(answer: requests.Response) -> str | None:
    etag = answer.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None  # If-Range takes no weak one
