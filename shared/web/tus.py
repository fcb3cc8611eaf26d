"""tus 1.0: how its requests are read and its answers are worded.

Source: https://tus.io/protocols/resumable-upload (2016-03-25), with the extensions in ``EXTENSIONS``.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.errors import (
    InvalidRequestError,
    PermissionDeniedError,
    PreconditionFailedError,
    ProblemError,
    UnsupportedMediaTypeError,
)
from shared.files.appending import Checksum
from shared.files.content_type import checked_content_type, essence
from shared.files.name import DEFAULT_NAME, checked_name
from shared.files.upload import Upload, UploadStatus
from shared.files.upload_errors import OffsetMismatchError
from shared.web.upload_protocol import FILE_ID, Answer, Append, Creation, upload_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.web.upload_protocol import Fields

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    *("creation", "creation-with-upload", "creation-defer-length"),
    *("checksum", "expiration", "termination", "concatenation"),
)
MEDIA_TYPE: Final = "application/offset+octet-stream"
CHECKSUM_ALGORITHMS: Final = ("sha1", "sha256", "sha512", "md5")
"""By their names here and in ``hashlib``; the protocol asks for the first one."""
MAX_METADATA_CHARACTERS: Final = 8192
MAX_CONCAT_CHARACTERS: Final = 16_384
"""Both together fit into one property of a table row."""
SPOKEN: Final[Mapping[str, str]] = {"Tus-Resumable": VERSION}
"""What every answer carries."""

_NAME_KEYS = ("filename", "name")
_TYPE_KEYS = ("filetype", "type", "contentType")
"""What clients call them; the protocol leaves that open. The first one that is there counts."""
_METADATA_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_PART_PATH = re.compile(r"(?:.*/)?uploads/([0-9A-Za-z-]+)")
_NOT_IN_METADATA = "\n"
"""Parts ``Upload-Metadata`` and ``Upload-Concat`` where both are remembered; in no header field."""


class UnsupportedVersionError(PreconditionFailedError):
    """The client speaks another version of tus (core protocol, Tus-Resumable)."""

    title, default_code = "Version not supported", "tus-version-not-supported"

    def __init__(self) -> None:
        super().__init__(
            f"The version of tus that is spoken here is {VERSION}.", headers={"Tus-Version": VERSION}
        )


def capabilities(max_size_bytes: int) -> dict[str, str]:
    """What OPTIONS tells."""
    return {
        **SPOKEN,
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_size_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
    }


@dataclass(frozen=True, slots=True)
class Metadata:
    """``Upload-Metadata``: what the client says of the file."""

    text: str
    values: Mapping[str, bytes]

    @classmethod
    def read(cls, text: str | None) -> Metadata:
        """Parse the field; raises InvalidRequestError for one that is not as the protocol has it."""
        if not text:
            return cls("", {})
        _check_text("Upload-Metadata", text, MAX_METADATA_CHARACTERS)
        values: dict[str, bytes] = {}
        for pair in text.split(","):
            key, _, value = pair.strip().partition(" ")
            if not _METADATA_KEY.fullmatch(key) or key in values:
                raise InvalidRequestError(
                    "Upload-Metadata must hold pairs of a key and a Base64 value, each key once: "
                    "filename cmVwb3J0LnBkZg==,filetype YXBwbGljYXRpb24vcGRm"
                )
            values[key] = _decoded(value.strip(), "The values of Upload-Metadata")
        return cls(text, values)

    @property
    def name(self) -> str | None:
        """The file's name, checked; raises InvalidRequestError (``invalid-name``)."""
        name = self._text_of(_NAME_KEYS)
        return checked_name(name) if name else None

    @property
    def content_type(self) -> str | None:
        """The file's media type, checked; raises UnsupportedMediaTypeError."""
        content_type = self._text_of(_TYPE_KEYS)
        return checked_content_type(content_type) if content_type else None

    def _text_of(self, keys: tuple[str, ...]) -> str | None:
        for key in keys:
            if value := self.values.get(key):
                try:
                    return value.decode()
                except UnicodeDecodeError:
                    raise InvalidRequestError(
                        f"The value of {key} in Upload-Metadata must be UTF-8."
                    ) from None
        return None


def read_checksum(text: str | None) -> Checksum | None:
    """``Upload-Checksum``; raises InvalidRequestError, also for an algorithm that is not known."""
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        known = ", ".join(CHECKSUM_ALGORITHMS)
        raise InvalidRequestError(f"Upload-Checksum can be made with one of these: {known}.")
    digest = _decoded(encoded.strip(), "The checksum in Upload-Checksum")
    if not digest:
        raise InvalidRequestError("Upload-Checksum must be the name of the algorithm, a space, and Base64.")
    return Checksum(algorithm, digest)


def read_concat(text: str | None) -> tuple[bool, tuple[str, ...]]:
    """``Upload-Concat``: whether it is a part, and the ids of the parts that it joins."""
    if text is None:
        return False, ()
    if text == "partial":
        return True, ()
    _check_text("Upload-Concat", text, MAX_CONCAT_CHARACTERS)
    kind, semicolon, urls = text.partition(";")
    part_ids = tuple(_part_id(url) for url in urls.split())
    if kind != "final" or not semicolon or not part_ids:
        raise InvalidRequestError(
            "Upload-Concat must be partial, or final; and the URLs of the parts with spaces between them."
        )
    return False, part_ids


class Tus:
    """The protocol."""

    def __init__(self, version: str) -> None:
        """Take ``Tus-Resumable``; raises UnsupportedVersionError."""
        if version != VERSION:
            raise UnsupportedVersionError

    def creation(self, fields: Fields) -> Creation:
        """Creation, also with first bytes, with a length that is told later, or of parts."""
        metadata = Metadata.read(fields.text("Upload-Metadata"))
        concat = fields.text("Upload-Concat")
        partial, part_ids = read_concat(concat)
        # Some proxies announce a body of unknown length where there is none.
        has_body = fields.body_bytes != 0 if fields.text("Content-Type") else bool(fields.body_bytes)
        if has_body and part_ids:
            raise InvalidRequestError("An upload that joins others takes no bytes of its own.")
        return Creation(
            name=metadata.name or DEFAULT_NAME,
            content_type=metadata.content_type or checked_content_type(None),
            length_bytes=_announced_length(fields, joins=bool(part_ids)),
            client_metadata=_NOT_IN_METADATA.join(filter(None, (metadata.text, concat and f";{concat}"))),
            partial=partial,
            part_ids=part_ids,
            first=self._body(fields, offset_bytes=0) if has_body else None,
        )

    def append(self, fields: Fields) -> Append:
        """The core protocol's PATCH, also with a checksum or a length that is told now."""
        offset_bytes = fields.number("Upload-Offset")
        if offset_bytes is None:
            raise InvalidRequestError("Upload-Offset is missing: say where the body goes on.")
        return self._body(fields, offset_bytes=offset_bytes, length_bytes=fields.number("Upload-Length"))

    def check_bare(self, fields: Fields) -> None:
        """Nothing is forbidden."""

    def created(self, upload: Upload) -> Answer:
        """201 with the new address."""
        return Answer(201, {"Location": upload_path(upload.id), **_progress(upload)})

    def appended(self, upload: Upload) -> Answer:
        """204 with the new offset."""
        return Answer(204, _progress(upload))

    def state(self, upload: Upload) -> Answer:
        """200 with all that is remembered."""
        told = _progress(upload)
        if upload.length_bytes is None:
            told["Upload-Defer-Length"] = "1"
        else:
            told["Upload-Length"] = str(upload.length_bytes)
        for line in filter(None, upload.client_metadata.split(_NOT_IN_METADATA)):
            if line.startswith(";"):
                told["Upload-Concat"] = line[1:]
            else:
                told["Upload-Metadata"] = line
        return Answer(200, told)

    def is_the_end(self, error: ProblemError, upload: Upload) -> bool:  # noqa: ARG002 - the protocol's
        """Never: the bytes of the request do not count, and others can be sent."""
        return False

    def worded(self, error: ProblemError, upload: Upload | None) -> ProblemError:
        """409 tells the offset; 403 where the upload was joined of others."""
        if isinstance(error, OffsetMismatchError):
            error.headers["Upload-Offset"] = str(error.expected_bytes)
        elif error.code == "upload-complete" and upload is not None:
            if upload.parts:
                return PermissionDeniedError(
                    "This upload was joined of others; it takes no bytes.", code=error.code
                )
            error.headers["Upload-Offset"] = str(upload.offset_bytes)
        return error

    def _body(self, fields: Fields, *, offset_bytes: int, length_bytes: int | None = None) -> Append:
        if essence(fields.text("Content-Type") or "") != MEDIA_TYPE:
            raise UnsupportedMediaTypeError(
                f"Send the bytes with Content-Type: {MEDIA_TYPE}.", headers={"Accept-Patch": MEDIA_TYPE}
            )
        checksum = read_checksum(fields.text("Upload-Checksum"))
        return Append(
            offset_bytes,
            length_bytes,
            checksum=checksum or fields.content_checksum,
        )


def _announced_length(fields: Fields, *, joins: bool) -> int | None:
    length_bytes, deferred = fields.number("Upload-Length"), fields.text("Upload-Defer-Length")
    if deferred not in {None, "1"}:
        raise InvalidRequestError("Upload-Defer-Length must be 1, or left out.")
    told = (length_bytes is not None) + (deferred is not None)
    if joins and told:
        raise InvalidRequestError("The length of an upload that joins others is that of its parts.")
    if not joins and told != 1:
        raise InvalidRequestError("Send either Upload-Length or Upload-Defer-Length: 1.")
    return length_bytes


def _progress(upload: Upload) -> dict[str, str]:
    told = {"Upload-Offset": str(upload.offset_bytes)}
    if upload.status is UploadStatus.OPEN:
        told["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    if upload.status is UploadStatus.FINISHED and not upload.partial:
        told[FILE_ID] = upload.id
    return told


def _check_text(name: str, text: str, max_characters: int) -> None:
    """Only what can be told again in a header field."""
    if len(text) > max_characters:
        raise InvalidRequestError(f"{name} can have at most {max_characters} characters.")
    if not (text.isascii() and text.isprintable()):
        raise InvalidRequestError(f"{name} must be printable ASCII.")


def _part_id(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    match = _PART_PATH.fullmatch(path)
    if match is None:
        raise InvalidRequestError("Upload-Concat must name the parts by the URLs that they were given.")
    return match.group(1)


def _decoded(encoded: str, what: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"{what} must be Base64.") from None
