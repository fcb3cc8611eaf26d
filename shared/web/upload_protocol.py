"""What the protocols of resumable uploads have in common: what a request asks for, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from shared.errors import InvalidRequestError
from shared.files.appending import Checksum
from shared.files.digest import DigestAlgorithm
from shared.web.digest_fields import digests
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import Headers

    from shared.errors import ProblemError
    from shared.files.upload import Upload

FILE_ID: Final = "Dropbell-File-Id"
MAX_DIGITS: Final = 18
"""Of a number of bytes: more than any file has, less than any integer type takes."""


@dataclass(frozen=True, slots=True)
class Append:
    """Bytes to be added; see ``Uploads.append``."""

    offset_bytes: int
    length_bytes: int | None = None
    complete: bool | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Creation:
    """An upload to be begun; see ``NewUpload``."""

    name: str
    content_type: str
    length_bytes: int | None
    client_metadata: str = ""
    partial: bool = False
    part_ids: tuple[str, ...] = ()
    """The uploads that it joins; empty for one that gets bytes of its own."""
    first: Append | None = None
    """What to do with the request's body; None where it has none and does not complete the upload."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and header fields of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    with_file: bool = False
    """Whether the file that the upload has become makes the content."""


class Fields:
    """The header fields of a request, each as one text (RFC 9110 §5.3)."""

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def text(self, name: str) -> str | None:
        """The field without the space around it; None when it was not sent."""
        values = self.headers.getlist(name)
        return ", ".join(values).strip() if values else None

    def number(self, name: str) -> int | None:
        """A number of bytes; raises InvalidRequestError for anything else."""
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
            raise InvalidRequestError(f"{name} must be a whole number of bytes.")
        return int(text)

    @property
    def body_bytes(self) -> int | None:
        """How long the body is; None when that is not told."""
        if self.text("Transfer-Encoding") is not None:
            return None
        return self.number("Content-Length") or 0

    @property
    def content_checksum(self) -> Checksum | None:
        """What Content-Digest says the body is; raises InvalidRequestError (``invalid-digest``)."""
        found = digests(self.headers, "Content-Digest")
        for algorithm in (DigestAlgorithm.SHA_512, DigestAlgorithm.SHA_256):
            if algorithm in found:
                return Checksum(algorithm.replace("-", ""), found[algorithm])
        return None


class UploadProtocol(Protocol):
    """Reads requests and words answers in one protocol, without any I/O."""

    def creation(self, fields: Fields) -> Creation:
        """What a POST asks for; raises InvalidRequestError or UnsupportedMediaTypeError."""
        ...

    def append(self, fields: Fields) -> Append:
        """What a PATCH asks for; raises InvalidRequestError or UnsupportedMediaTypeError."""
        ...

    def check_bare(self, fields: Fields) -> None:
        """Raise InvalidRequestError for fields that a HEAD or DELETE must not have."""
        ...

    def created(self, upload: Upload) -> Answer:
        """Begun, and with what the request brought."""
        ...

    def appended(self, upload: Upload) -> Answer:
        """The bytes are kept."""
        ...

    def state(self, upload: Upload) -> Answer:
        """How far the upload is."""
        ...

    def is_the_end(self, error: ProblemError, upload: Upload) -> bool:
        """Whether nothing can be added to the upload after that error."""
        ...

    def worded(self, error: ProblemError, upload: Upload | None) -> ProblemError:
        """The error as the protocol tells it; ``upload`` as it stands now, where there is one."""
        ...


def upload_path(upload_id: str) -> str:
    """Where an upload is."""
    return f"{BASE_PATH}/uploads/{upload_id}"
