"""What is to be uploaded: a path or a stream, its name and its media type."""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from dropbell.body import Body
from dropbell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropbell.body import OnProgress

PathOrStream = str | os.PathLike[str] | BinaryIO
DEFAULT_CONTENT_TYPE = "application/octet-stream"
_RFC8187_ATTR_CHAR = "!#$&+-.^_`|~"  # beside letters and digits
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)


@dataclass(frozen=True)
class Source:
    """An opened file or stream, ready to be sent.

    Attributes:
        name: What to call it; any text that UTF-8 can carry.
        content_type: Its media type.
        body: Its bytes.
        path: Where it is, for a file that can be opened again later.
        modified_ns: When that was last changed, nanoseconds since 1970.
        on_progress: Told how much of it was sent.
    """

    name: str
    content_type: str
    body: Body
    path: Path | None
    modified_ns: int
    on_progress: OnProgress | None


@contextmanager
def opened(
    path_or_stream: PathOrStream,
    name: str | None = None,
    content_type: str | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Source]:
    """Open what is to be uploaded; a stream is sent from where it stands and stays open.

    Args:
        path_or_stream: A path, or a stream of bytes.
        name: What to call it; without it, the path's last part.
        content_type: Media type; without it, guessed from the name.
        on_progress: Called after each piece that was sent.

    Raises:
        InputError: It cannot be read, has no name, or the media type is none.
    """
    # A file name of the system that is not UTF-8 comes with surrogates; they cannot be sent.
    text = (name or _own_name(path_or_stream)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    media_type = _checked_content_type(content_type or guess_content_type(text))
    if not isinstance(path_or_stream, str | os.PathLike):
        yield Source(text, media_type, Body(path_or_stream, on_progress), None, 0, on_progress)
        return
    check_readable(path_or_stream)
    path = Path(path_or_stream)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(f"{path_or_stream} cannot be opened: {error.strerror}.") from error
    with stream:
        modified_ns = os.fstat(stream.fileno()).st_mtime_ns
        body = Body(stream, on_progress)
        yield Source(
            text, media_type, body, path.absolute() if body.replayable else None, modified_ns, on_progress
        )


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
    return f"attachment; filename*=UTF-8''{quote(name, safe=_RFC8187_ATTR_CHAR)}"


def guess_content_type(name: str) -> str:
    """Guess a media type from a name's ending."""
    guess, encoding = mimetypes.guess_type("x" + PurePath(name).suffix)
    # "report.csv.gz" is not text/csv: the bytes are compressed.
    return guess if guess and not encoding else DEFAULT_CONTENT_TYPE


def _own_name(path_or_stream: PathOrStream) -> str:
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
