"""Files: upload, find, look at, change, download and delete them, see who was told about them."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropbell.answers import to_json
from dropbell.connection import checked_id, decoded
from dropbell.deliveries import Delivery
from dropbell.download import download_to_stream
from dropbell.errors import ProblemError, UnexpectedAnswerError
from dropbell.file import File
from dropbell.new_file import new_file
from dropbell.one_request import upload_in_one_request
from dropbell.resumable import PART_BYTES, upload_resumably
from dropbell.source import check_readable, guess_content_type, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import BinaryIO

    from dropbell.body import OnProgress
    from dropbell.connection import Connection
    from dropbell.journal import Journal
    from dropbell.source import PathOrStream, Source

__all__ = [
    "File",
    "Filter",
    "Way",
    "check_readable",
    "delete",
    "deliveries",
    "download",
    "edit",
    "find",
    "guess_content_type",
    "show",
    "upload",
]

MAX_PAGE_ITEMS = 100
ONE_REQUEST_MAX_BYTES = PART_BYTES
"""Above this size, ``upload`` sends a file in parts unless it is told the way."""


class Way(Enum):
    """How bytes are uploaded."""

    ONE_REQUEST = "one request"
    RESUMABLE = "resumable"
    DIRECT = "direct"


@dataclass(frozen=True)
class Filter:
    """Which files to list; what is None does not matter.

    Attributes:
        status: One of ``File.status``; without it, the files that can be used.
        content_type: A media type.
        name_prefix: What the name begins with.
        created_after: From this moment on.
        created_before: Before this moment.
    """

    status: str | None = None
    content_type: str | None = None
    name_prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def query(self) -> dict[str, str]:
        """Write it as query parameters."""
        return {name: value for name, value in to_json(self).items() if value is not None}


def upload(
    connection: Connection,
    path_or_stream: PathOrStream,
    name: str | None = None,
    content_type: str | None = None,
    on_progress: OnProgress | None = None,
    *,
    way: Way | None = None,
    journal: Journal | None = None,
) -> File:
    """Upload a file, streamed; returns it as stored, its SHA-256 compared.

    Args:
        connection: The service.
        path_or_stream: A path, or a stream of bytes from where it stands to its end.
        name: What to call it; without it, the path's last part.
        content_type: Media type; without it, guessed from the name.
        on_progress: Called after each piece that was sent.
        way: By default one request, above 32 MiB resumable; what cannot be read twice goes in one request.
        journal: Where a resumable upload is remembered, so that another process can go on.

    Raises:
        InputError: It cannot be read, or has no name.
        DamagedContentError: The stored file is not what was sent.
        DropbellError: As ``Connection.request`` does.
    """
    with opened(path_or_stream, name, content_type, on_progress) as source:
        match way or _way_for(source):
            case Way.ONE_REQUEST:
                return upload_in_one_request(connection, source)
            case Way.RESUMABLE:
                return upload_resumably(connection, source, journal)
            case Way.DIRECT:
                from dropbell.direct import upload_directly

                return upload_directly(connection, source)


def find(connection: Connection, which: Filter | None = None, limit: int | None = None) -> Iterator[File]:
    """Go through files, newest first, fetched page by page; raises as ``Connection.request`` does.

    Args:
        connection: The service.
        which: Which ones; without it, all that can be used.
        limit: At most so many.
    """
    page_items = MAX_PAGE_ITEMS if limit is None else min(max(limit, 1), MAX_PAGE_ITEMS)
    params = {"limit": str(page_items), **(which or Filter()).query()}
    for item in itertools.islice(connection.items("/files", params), limit):
        yield File.from_json(item)


def show(connection: Connection, file_id: str) -> File:
    """Look at one file; raises as ``Connection.request`` does, ProblemError 404 when there is none."""
    return File.from_json(decoded(connection.request("GET", f"/files/{checked_id(file_id, 'file')}")))


def edit(connection: Connection, file: File, patch: Mapping[str, Any]) -> File:
    """Change a file, unless it was changed since ``file`` was read; returns it as it is then.

    Args:
        connection: The service.
        file: As it was read.
        patch: A merge patch (RFC 7396) of ``name``, ``labels`` and ``expires_at``; None removes.

    Raises:
        ProblemError: Status 412 when somebody else changed it.
        DropbellError: As ``Connection.request`` does.
    """
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": _etag(file)}
    try:
        answer = connection.request(
            "PATCH", f"/files/{checked_id(file.id, 'file')}", json=patch, headers=headers
        )
    except ProblemError as error:
        raise _explained(error, "read it again and repeat the change, nothing was changed") from error
    return File.from_json(decoded(answer))


def delete(
    connection: Connection, file_id: str, *, purge: bool = False, unchanged_since: File | None = None
) -> None:
    """Delete a file.

    Args:
        connection: The service.
        file_id: Which one.
        purge: Remove its bytes at once, instead of after the time in which deleted files are kept.
        unchanged_since: Delete it only if it is still as it was read.

    Raises:
        ProblemError: Status 412 when somebody else changed it.
        DropbellError: As ``Connection.request`` does.
    """
    headers = {} if unchanged_since is None else {"If-Match": _etag(unchanged_since)}
    params = {"purge": "true"} if purge else {}
    try:
        connection.request("DELETE", f"/files/{checked_id(file_id, 'file')}", params=params, headers=headers)
    except ProblemError as error:
        raise _explained(error, "look at it again, it was not deleted") from error


def download(
    connection: Connection,
    file: File,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> None:
    """Download a file; a cut connection is resumed, the SHA-256 verified.

    Args:
        connection: The service.
        file: What to download, as ``show`` gives it.
        target: A path, which appears once all is verified, or a stream.
        overwrite: Replace what is at the path.
        on_progress: Called after each piece that arrived.

    Raises:
        InputError: The target exists, or cannot be written.
        DamagedContentError: What arrived is not the file; a path was left alone.
        DropbellError: As ``Connection.request`` does.
    """
    if isinstance(target, str | os.PathLike):
        with new_file(Path(target), overwrite=overwrite) as stream:
            download_to_stream(connection, file, stream, on_progress)
    else:
        download_to_stream(connection, file, target, on_progress)


def deliveries(connection: Connection, file_id: str) -> Iterator[Delivery]:
    """Go through a file's deliveries, fetched page by page; raises as ``Connection.request`` does."""
    for item in connection.items(f"/files/{checked_id(file_id, 'file')}/deliveries"):
        yield Delivery.from_json(item)


def _way_for(source: Source) -> Way:
    size_bytes = source.body.size_bytes
    return Way.ONE_REQUEST if size_bytes is None or size_bytes <= ONE_REQUEST_MAX_BYTES else Way.RESUMABLE


def _etag(file: File) -> str:
    if file.etag is None:
        raise UnexpectedAnswerError("The service gave the file no ETag to compare with.")
    return file.etag


def _explained(error: ProblemError, what_to_do: str) -> ProblemError:
    if error.status != HTTPStatus.PRECONDITION_FAILED:
        return error
    detail = f"The file was changed by someone else meanwhile; {what_to_do}."
    return ProblemError(error.status, error.type, error.title, detail, error.correlation_id)
