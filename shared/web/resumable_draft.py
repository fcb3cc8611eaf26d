"""Resumable Uploads for HTTP, the IETF draft: how its requests are read and its answers are worded.

Source: draft-ietf-httpbis-resumable-upload-12 (2026-07-06, interop version 9), by its working text of
2026-07-01, and those before it that deployed clients follow: ``REVISIONS`` holds what was different. A client
without ``Upload-Draft-Interop-Version`` is taken to follow the newest, as clients of the RFC to be will.

No answer is interim: Azure Functions cannot send the draft's 104, which is optional in every version. A
client that has to know an upload's address before its bytes are sent creates it with ``Upload-Complete: ?0``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import http_sf

from shared.errors import (
    ChecksumMismatchError,
    InvalidRequestError,
    ProblemError,
    TooLargeError,
    UnprocessableError,
    UnsupportedMediaTypeError,
)
from shared.files.content_type import checked_content_type, essence
from shared.files.upload import Upload, UploadStatus
from shared.files.upload_errors import OffsetMismatchError
from shared.web.content_disposition import file_name
from shared.web.tus import Metadata
from shared.web.upload_protocol import FILE_ID, Answer, Append, Creation, upload_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Clock
    from shared.web.upload_protocol import Fields

MEDIA_TYPE: Final = "application/partial-upload"
VERSION_FIELD: Final = "Upload-Draft-Interop-Version"
PROBLEM_TYPES: Final = "https://iana.org/assignments/http-problem-types#"

FIRST_ERROR_STATUS: Final = 400
_COMPLETE: Final = "Upload-Complete"
_INCOMPLETE: Final = "Upload-Incomplete"


@dataclass(frozen=True, slots=True)
class Revision:
    """What one interop version has of its own."""

    interop_version: int
    flag: str = _COMPLETE
    """The field that tells whether all bytes are there; ``Upload-Incomplete`` tells the reverse."""
    unflagged_append: bool | None = None
    """What an append without the field is: complete or not; None: it must have the field."""
    typed_append: bool = True
    """Whether an append must be ``application/partial-upload``."""
    bare: tuple[str, ...] = ()
    """Fields that make a HEAD or DELETE a bad request."""
    max_age: str | None = "max-age"
    """The key of an upload's lifetime in Upload-Limit; None: there is no such field."""
    kept_status: int = 204
    """Of the answer to an append that does not complete the upload."""
    after_the_end: str = "inconsistent-upload-length"
    """The problem of bytes that are sent to a complete upload."""

    def complete(self, *, complete: bool) -> dict[str, str]:
        """The flag of an answer."""
        return {self.flag: _boolean(complete is (self.flag == _COMPLETE))}


_DRAFT_12 = Revision(9)
_DRAFT_09 = replace(_DRAFT_12, interop_version=8, after_the_end="completed-upload")
_DRAFT_06 = replace(_DRAFT_09, interop_version=7)
_DRAFT_04 = replace(
    _DRAFT_06,
    interop_version=6,
    unflagged_append=False,
    bare=("Upload-Offset", _COMPLETE, "Upload-Length"),
    max_age="expires",
    kept_status=201,
)
_DRAFT_03 = replace(
    _DRAFT_04, interop_version=5, typed_append=False, bare=("Upload-Offset", _COMPLETE), max_age=None
)
_DRAFT_02 = replace(_DRAFT_03, interop_version=4)
_DRAFT_01 = replace(
    _DRAFT_02,
    interop_version=3,
    flag=_INCOMPLETE,
    unflagged_append=True,
    bare=("Upload-Offset", _INCOMPLETE),
)
"""Each by the draft that it began with, and by what is different in the next one."""
REVISIONS: Final[Mapping[int, Revision]] = {
    revision.interop_version: revision
    for revision in (_DRAFT_01, _DRAFT_02, _DRAFT_03, _DRAFT_04, _DRAFT_06, _DRAFT_09, _DRAFT_12)
}
NEWEST: Final = REVISIONS[max(REVISIONS)]


def is_spoken(fields: Fields) -> bool:
    """Whether a request is one of the draft's."""
    named = any(fields.text(name) is not None for name in (_COMPLETE, _INCOMPLETE, VERSION_FIELD))
    return named or essence(fields.text("Content-Type") or "") == MEDIA_TYPE


def revision_of(fields: Fields) -> Revision:
    """The revision that a request follows; raises InvalidRequestError for one that is not known."""
    if fields.text(VERSION_FIELD) is None:
        only_old = fields.text(_INCOMPLETE) is not None and fields.text(_COMPLETE) is None
        return REVISIONS[min(REVISIONS)] if only_old else NEWEST
    revision = REVISIONS.get(_integer(fields, VERSION_FIELD) or 0)
    if revision is None:
        known = ", ".join(map(str, REVISIONS))
        raise InvalidRequestError(f"{VERSION_FIELD} must be one of these: {known}.")
    return revision


def limits(max_size_bytes: int) -> dict[str, str]:
    """What OPTIONS tells."""
    return {"Upload-Limit": f"max-size={max_size_bytes}"}


def on_every_answer(fields: Fields, status: int) -> dict[str, str]:
    """What an answer has unless it says better: an error is one of the request, not of the whole upload."""
    try:
        revision = revision_of(fields)
    except InvalidRequestError:
        revision = NEWEST
    told = {VERSION_FIELD: str(revision.interop_version)} if fields.text(VERSION_FIELD) is not None else {}
    return told | (revision.complete(complete=False) if status >= FIRST_ERROR_STATUS else {})


class Draft:
    """The protocol, as a revision has it."""

    def __init__(self, revision: Revision, clock: Clock, *, max_size_bytes: int) -> None:
        self._revision = revision
        self._clock = clock
        self._max_size_bytes = max_size_bytes

    def creation(self, fields: Fields) -> Creation:
        """Upload creation; it may bring the whole, a part, or nothing."""
        complete = self._flag(fields)
        if complete is None:
            raise InvalidRequestError(f"{self._revision.flag} is missing: say whether all bytes come along.")
        metadata = Metadata.read(fields.text("Upload-Metadata"))
        disposition, declared = fields.text("Content-Disposition"), fields.text("Content-Type")
        if declared is not None and essence(declared) == MEDIA_TYPE:
            declared = None
        return Creation(
            name=(disposition is None and metadata.name) or file_name(disposition),
            content_type=(declared is None and metadata.content_type) or checked_content_type(declared),
            length_bytes=_length(fields, 0, complete=complete),
            client_metadata=metadata.text,
            first=Append(0, complete=complete, checksum=fields.content_checksum)
            if complete or fields.body_bytes != 0
            else None,
        )

    def append(self, fields: Fields) -> Append:
        """Upload append."""
        offset_bytes, complete = _integer(fields, "Upload-Offset"), self._flag(fields)
        if offset_bytes is None:
            raise InvalidRequestError("Upload-Offset is missing: say where the body goes on.")
        if complete is None:
            complete = self._revision.unflagged_append
        if complete is None:
            raise InvalidRequestError(
                f"{self._revision.flag} is missing: say whether the upload is complete with this body."
            )
        if self._revision.typed_append and essence(fields.text("Content-Type") or "") != MEDIA_TYPE:
            raise UnsupportedMediaTypeError(
                f"Send the bytes with Content-Type: {MEDIA_TYPE}.", headers={"Accept-Patch": MEDIA_TYPE}
            )
        length_bytes = _length(fields, offset_bytes, complete=complete)
        return Append(offset_bytes, length_bytes, complete, fields.content_checksum)

    def check_bare(self, fields: Fields) -> None:
        """Old revisions want some fields to be refused."""
        for name in self._revision.bare:
            if fields.text(name) is not None:
                raise InvalidRequestError(f"{name} has no place in this request.")

    def created(self, upload: Upload) -> Answer:
        """201: the upload's address, and the file where it was complete."""
        told = {"Location": upload_path(upload.id), **self._progress(upload)}
        return Answer(201, told, with_file=upload.is_complete)

    def appended(self, upload: Upload) -> Answer:
        """What the creation would have been answered with, once the upload is complete."""
        if upload.is_complete:
            return Answer(201, self._progress(upload), with_file=True)
        return Answer(self._revision.kept_status, self._progress(upload))

    def state(self, upload: Upload) -> Answer:
        """Offset retrieval."""
        told = self._progress(upload)
        if upload.length_bytes is not None:
            told["Upload-Length"] = str(upload.length_bytes)
        return Answer(204, told)

    def is_the_end(self, error: ProblemError, upload: Upload) -> bool:
        """Once more bytes are sent than the length that was told, the upload is invalid (Upload Append)."""
        return error.code == "length-exceeded" and upload.length_bytes is not None

    def worded(self, error: ProblemError, upload: Upload | None) -> ProblemError:
        """With the registered problem types, and whether it is the file or only the request that failed."""
        if isinstance(error, OffsetMismatchError):
            error.type_uri = f"{PROBLEM_TYPES}mismatching-upload-offset"
            error.extensions |= {
                "expected-offset": error.expected_bytes,
                "provided-offset": error.given_bytes,
            }
            error.headers["Upload-Offset"] = str(error.expected_bytes)
        elif error.code == "inconsistent-length":
            error.type_uri = f"{PROBLEM_TYPES}inconsistent-upload-length"
        elif error.code == "upload-complete" and upload is not None:
            error = InvalidRequestError(
                error.detail, code=error.code, type_uri=PROBLEM_TYPES + self._revision.after_the_end
            )
            error.headers["Upload-Offset"] = str(upload.offset_bytes)
        elif isinstance(error, ChecksumMismatchError):  # its status is known to tus alone
            error = UnprocessableError(error.detail, code="digest-mismatch")
        elif isinstance(error, TooLargeError) and self._revision.max_age is not None:
            error.headers |= limits(self._max_size_bytes)
        rejected = upload is not None and upload.status is UploadStatus.REJECTED
        error.headers |= self._revision.complete(complete=rejected)
        return error

    def _flag(self, fields: Fields) -> bool | None:
        """Whether the upload is complete with the request; None where that is not told."""
        flag = _item(fields, self._revision.flag)
        if not isinstance(flag, bool):
            return None
        return flag is (self._revision.flag == _COMPLETE)

    def _progress(self, upload: Upload) -> dict[str, str]:
        told = {
            "Upload-Offset": str(upload.offset_bytes),
            **self._revision.complete(complete=upload.is_complete),
        }
        if self._revision.max_age is not None:
            left_seconds = max(0, int((upload.expires_at - self._clock.now()).total_seconds()))
            told["Upload-Limit"] = f"max-size={self._max_size_bytes}, {self._revision.max_age}={left_seconds}"
        if upload.status is UploadStatus.FINISHED and not upload.partial:
            told[FILE_ID] = upload.id
        return told


def _length(fields: Fields, offset_bytes: int, *, complete: bool) -> int | None:
    """The length of the whole that a request tells; raises InvalidRequestError where it tells two."""
    declared = _integer(fields, "Upload-Length")
    body_bytes = fields.body_bytes
    if not complete or body_bytes is None:
        return declared
    length_bytes = offset_bytes + body_bytes
    if declared not in {None, length_bytes}:
        raise InvalidRequestError(
            "Upload-Length is not what comes of Upload-Offset and Content-Length.",
            code="inconsistent-length",
            type_uri=f"{PROBLEM_TYPES}inconsistent-upload-length",
        )
    return length_bytes


def _integer(fields: Fields, name: str) -> int | None:
    """A structured integer that is not negative; the draft has anything else ignored."""
    value = _item(fields, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _item(fields: Fields, name: str) -> object:
    """A structured item without its parameters (RFC 9651 §3.3)."""
    text = fields.text(name)
    if text is None:
        return None
    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="item")
    except ValueError:
        return None
    return parsed[0] if isinstance(parsed, tuple) else parsed


def _boolean(value: bool) -> str:
    return "?1" if value else "?0"
