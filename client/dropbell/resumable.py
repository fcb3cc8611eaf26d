"""The way for large files and bad networks: tus 1.0 (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from dropbell.body import BodyPart, RunningDigest
from dropbell.connection import checked_id, decoded, path_below_api
from dropbell.errors import DropbellError, InputError, ProblemError, UnexpectedAnswerError
from dropbell.file import File
from dropbell.retrying import Attempts, is_temporary, never_reached, persistently

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    import requests

    from dropbell.connection import Connection
    from dropbell.journal import Entry, Journal
    from dropbell.source import Source

PART_BYTES = 32 * 1024 * 1024
"""The most that one request carries, and the most that is sent again after a failure."""
MAX_RESTARTS = 3
"""How often an upload that the service no longer has is begun anew."""
MAX_CONFLICTS = 5
"""How often another writer of the same upload is taken over from, whatever progress is made between."""
TUS_HEADERS: Final = {"Tus-Resumable": "1.0.0"}
FILE_ID_HEADER = "Dropbell-File-Id"
_CHECKSUM_MISMATCH = 460  # tus, checksum extension


class _Next(Enum):
    """What to do after a failure."""

    ASK = auto()
    """Ask the service how far it is and go on from there."""
    BEGIN_ANEW = auto()
    """The service has not got this upload any more."""
    GIVE_UP_AND_FORGET = auto()
    """The file is refused; going on later would be as well."""
    GIVE_UP = auto()
    """Not now; a later run may go on."""


_NEXT_AFTER_STATUS: Final[Mapping[int, _Next]] = {
    HTTPStatus.NOT_FOUND: _Next.BEGIN_ANEW,
    HTTPStatus.GONE: _Next.BEGIN_ANEW,
    HTTPStatus.CONFLICT: _Next.ASK,
    _CHECKSUM_MISMATCH: _Next.ASK,
    HTTPStatus.BAD_REQUEST: _Next.GIVE_UP_AND_FORGET,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _Next.GIVE_UP_AND_FORGET,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: _Next.GIVE_UP_AND_FORGET,
    HTTPStatus.UNPROCESSABLE_ENTITY: _Next.GIVE_UP_AND_FORGET,
}


def upload_resumably(
    connection: Connection, source: Source, journal: Journal | None = None, *, part_bytes: int = PART_BYTES
) -> File:
    """Upload in parts that are each checked; a failure costs one part at most.

    Args:
        connection: The service.
        source: A file or a stream that can be read again.
        journal: Where the upload is remembered until it is done, so that another process can go on.
        part_bytes: The most that one request carries.

    Raises:
        InputError: It cannot be read twice, as is the case for a pipe.
        DamagedContentError: The stored file is not what was sent.
        DropbellError: As ``Connection.request`` does, when trying again brought nothing.
    """
    if source.body.size_bytes is None:
        raise InputError("What can be read only once, such as a pipe, cannot be uploaded resumably.")
    entry = journal.entry(connection, source) if journal else None
    return _Upload(connection, source, entry, part_bytes).run()


class _Upload:
    """One upload on its way: ``offset`` is how much the service has, None when it must be asked."""

    def __init__(self, connection: Connection, source: Source, entry: Entry | None, part_bytes: int) -> None:
        self._connection = connection
        self._source = source
        self._entry = entry
        self._part_bytes = part_bytes
        self._size_bytes = source.body.size_bytes or 0
        self._digest = RunningDigest(source.body)
        self._attempts = Attempts(connection.backoff)
        self._path = entry.recall() if entry else None
        self._offset: int | None = None
        self._reached_bytes = 0
        self._file_id: str | None = None
        self._restarts = 0
        self._conflicts = 0

    def run(self) -> File:
        while self._file_id is None:
            try:
                self._step()
            except DropbellError as error:
                self._recover(error)
        path = f"/files/{self._file_id}"
        answer = persistently(self._connection.backoff, lambda: self._connection.request("GET", path))
        self._forget()
        return File.from_json(decoded(answer)).check_stored(self._size_bytes, self._digest.of_whole())

    def _step(self) -> None:
        if self._path is None:
            self._create()
        elif self._offset is None:
            self._ask_offset(self._path)
        else:
            self._send_part(self._path, self._offset)

    def _create(self) -> None:
        metadata = {"filename": self._source.name, "filetype": self._source.content_type}
        encoded = (f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in metadata.items())
        headers = {"Upload-Length": str(self._size_bytes), "Upload-Metadata": ",".join(encoded)}
        answer = self._connection.request("POST", "/uploads", headers=TUS_HEADERS | headers)
        url = answer.headers.get("Location", "")
        self._path = path_below_api(url)
        self._offset = 0
        if self._entry is not None:
            self._entry.remember(url)
        self._note_end(answer)

    def _ask_offset(self, path: str) -> None:
        answer = self._connection.request("HEAD", path, headers=TUS_HEADERS)
        length = answer.headers.get("Upload-Length")
        offset = _upload_offset(answer)
        if offset > self._size_bytes or (length is not None and length != str(self._size_bytes)):
            self._begin_anew()
            return
        self._offset = offset
        self._note_progress(offset)
        if self._source.on_progress is not None:
            self._source.on_progress(offset, self._size_bytes)
        self._note_end(answer)

    def _send_part(self, path: str, offset: int) -> None:
        # At the end there may be an empty part: it has the service finish what an earlier one could not.
        size_bytes = min(self._part_bytes, self._size_bytes - offset)
        part_sha256 = self._digest.of_part(offset, offset + size_bytes)
        answer = self._connection.request(
            "PATCH",
            path,
            body=BodyPart(self._source.body, offset, size_bytes, self._source.on_progress),
            headers={
                **TUS_HEADERS,
                "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(offset),
                "Upload-Checksum": f"sha256 {base64.b64encode(part_sha256).decode()}",
            },
        )
        new_offset = _upload_offset(answer)
        if not offset <= new_offset <= offset + size_bytes:
            raise UnexpectedAnswerError("The service took another number of bytes than were sent.")
        self._offset = new_offset
        self._note_progress(new_offset)
        self._note_end(answer)
        if self._file_id is None and new_offset == self._size_bytes and size_bytes == 0:
            raise UnexpectedAnswerError(
                "The upload is complete, but the service does not say which file it is."
            )

    def _note_progress(self, offset: int) -> None:
        if offset > self._reached_bytes:
            self._reached_bytes = offset
            self._attempts.progressed()

    def _note_end(self, answer: requests.Response) -> None:
        file_id = answer.headers.get(FILE_ID_HEADER)
        if file_id is not None and self._offset == self._size_bytes:
            self._file_id = checked_id(file_id, "file")

    def _recover(self, error: DropbellError) -> None:
        """Decide how to go on after ``error``; raises it when there is no way."""
        step = _next_after(error)
        if self._path is None and (
            not is_temporary(error) or (self._attempts.is_first and never_reached(error))
        ):
            raise error
        if isinstance(error, ProblemError) and error.status == HTTPStatus.CONFLICT:
            self._conflicts += 1
            if self._conflicts > MAX_CONFLICTS:
                raise error
        match step:
            case _Next.ASK:
                self._attempts.wait_after(error)
                self._offset = None
            case _Next.BEGIN_ANEW if self._restarts < MAX_RESTARTS:
                self._begin_anew()
            case _Next.GIVE_UP_AND_FORGET:
                self._forget()
                raise error
            case _:
                raise error

    def _begin_anew(self) -> None:
        self._restarts += 1
        self._forget()
        self._path, self._offset, self._reached_bytes = None, None, 0

    def _forget(self) -> None:
        if self._entry is not None:
            self._entry.forget()


def _next_after(error: DropbellError) -> _Next:
    if is_temporary(error):
        return _Next.ASK
    if isinstance(error, ProblemError):
        return _NEXT_AFTER_STATUS.get(error.status, _Next.GIVE_UP)
    return _Next.GIVE_UP


def _upload_offset(answer: requests.Response) -> int:
    value = answer.headers.get("Upload-Offset", "")
    if not (value.isascii() and value.isdigit()):
        raise UnexpectedAnswerError("The service did not say how much of the upload it has.")
    return int(value)
