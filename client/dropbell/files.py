"""Files: upload, look at one, see who was told about it."""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import stat
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from dropbell.answers import Fields
from dropbell.body import Body
from dropbell.connection import checked_id, decoded
from dropbell.deliveries import Delivery
from dropbell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from typing import BinaryIO

    from dropbell.body import OnProgress
    from dropbell.connection import Connection

DEFAULT_CONTENT_TYPE = "application/octet-stream"
_RFC8187_ATTR_CHAR = "!#$&+-.^_`|~"  # beside letters and digits
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)


@dataclass(frozen=True)
class File:
    """A file; ``status`` is receiving, stored, announced, settled, rejected or deleted."""

    id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str | None
    status: str
    labels: Mapping[str, Any]
    created_at: datetime | None
    updated_at: datetime | None
    trace_id: str | None
    correlation_id: str | None
    etag: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "file")
        return cls(
            id=fields.text("id"),
            name=fields.text("name"),
            content_type=fields.text("content_type"),
            size_bytes=fields.integer("size_bytes"),
            sha256=fields.optional_text("sha256"),
            status=fields.text("status"),
            labels=fields.mapping("labels"),
            created_at=fields.optional_time("created_at"),
            updated_at=fields.optional_time("updated_at"),
            trace_id=fields.optional_text("trace_id"),
            correlation_id=fields.optional_text("correlation_id"),
            etag=fields.optional_text("etag"),
            extra=fields.rest,
        )


def upload(
    connection: Connection,
    path_or_stream: str | os.PathLike[str] | BinaryIO,
    name: str | None = None,
    content_type: str | None = None,
    on_progress: OnProgress | None = None,
) -> File:
    """Upload a file in one request, streamed; returns it as stored.

    Args:
        connection: The service.
        path_or_stream: A path, or a stream of bytes from where it stands to its end.
        name: What to call it; without it, the path's last part.
        content_type: Media type; without it, guessed from the name.
        on_progress: Called after each piece that was sent.

    Raises:
        InputError: It cannot be read, or has no name.
        DropbellError: As ``Connection.request`` does.
    """
    name = name or _own_name(path_or_stream)
    headers = {
        "Content-Type": _checked_content_type(content_type or guess_content_type(name)),
        "Content-Disposition": content_disposition(name),
    }
    with _opened(path_or_stream) as stream:
        body = Body(stream, on_progress)
        return File.from_json(decoded(connection.request("POST", "/files", body=body, headers=headers)))


def show(connection: Connection, file_id: str) -> File:
    """Look at one file; raises as ``Connection.request`` does, ProblemError 404 when there is none."""
    return File.from_json(decoded(connection.request("GET", f"/files/{checked_id(file_id, 'file')}")))


def deliveries(connection: Connection, file_id: str) -> Iterator[Delivery]:
    """Go through a file's deliveries, fetched page by page; raises as ``Connection.request`` does."""
    for item in connection.items(f"/files/{checked_id(file_id, 'file')}/deliveries"):
        yield Delivery.from_json(item)


def check_readable(path: str | os.PathLike[str]) -> None:
    """Raise InputError if ``path`` cannot be uploaded; it is not opened, which would disturb a pipe."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - a path given as text may hold anything
            raise InputError(f"{path} is a directory; name the files in it.")
        readable = os.access(path, os.R_OK)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{os.fspath(path)!r} is not a path: {error}.") from error
    if not readable:
        raise InputError(f"{path} cannot be read: {os.strerror(errno.EACCES)}.")


def content_disposition(name: str) -> str:
    """Write a name as an attachment's ``Content-Disposition`` (RFC 6266 §4.3, RFC 8187 §3.2)."""
    # A file name of the system that is not UTF-8 comes with surrogates; they cannot be sent.
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f"attachment; filename*=UTF-8''{quote(text, safe=_RFC8187_ATTR_CHAR)}"


def guess_content_type(name: str) -> str:
    """Guess a media type from a name's ending."""
    guess, encoding = mimetypes.guess_type("x" + PurePath(name).suffix)
    # "report.csv.gz" is not text/csv: the bytes are compressed.
    return guess if guess and not encoding else DEFAULT_CONTENT_TYPE


def _opened(path_or_stream: str | os.PathLike[str] | BinaryIO) -> AbstractContextManager[BinaryIO]:
    if not isinstance(path_or_stream, str | os.PathLike):
        return nullcontext(path_or_stream)  # the caller opened it and closes it
    check_readable(path_or_stream)
    try:
        return Path(path_or_stream).open("rb")
    except OSError as error:
        raise InputError(f"{path_or_stream} cannot be opened: {error.strerror}.") from error


def _own_name(path_or_stream: str | os.PathLike[str] | BinaryIO) -> str:
    origin = (
        path_or_stream
        if isinstance(path_or_stream, str | os.PathLike)
        else getattr(path_or_stream, "name", None)
    )
    # Standard input calls itself "<stdin>", an open file descriptor is a number.
    name = PurePath(origin).name if isinstance(origin, str | os.PathLike) else ""
    if not name or name.startswith("<"):
        raise InputError("The upload needs a name.")
    return name


def _checked_content_type(content_type: str) -> str:
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise InputError(f"{content_type!r} is not a media type such as application/pdf.")
    return content_type
