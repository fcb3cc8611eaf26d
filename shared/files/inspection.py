"""Whether bytes are what they were announced to be, told while they pass."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Protocol

from shared.errors import UnprocessableError

if TYPE_CHECKING:
    from shared.files.upload import Upload

HEAD_BYTES = 4096
"""So much of the content is looked at to tell what it is."""


class ContentCheck(Protocol):
    """Which content is taken."""

    def check_declared(self, content_type: str) -> None:
        """Raise UnsupportedMediaTypeError for a type that is not taken."""
        ...

    def check_content(self, content_type: str, head: bytes) -> None:
        """Raise UnsupportedMediaTypeError for content that is not taken, or not what it is said to be."""
        ...


class Inspection:
    """Looks at an upload's bytes as they pass."""

    def __init__(self, upload: Upload, content: ContentCheck) -> None:
        self._upload = upload
        self._content = content
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512() if upload.expected_sha512 is not None else None
        self._head: bytes | None = b""
        """What came first, until it was looked at."""

    @property
    def sha256(self) -> str:
        """Of all that was seen."""
        return self._sha256.hexdigest()

    def see(self, chunk: bytes) -> None:
        """Raises UnsupportedMediaTypeError at the first bytes, if at all."""
        self._sha256.update(chunk)
        if self._sha512 is not None:
            self._sha512.update(chunk)
        if self._head is not None:
            self._head += chunk[:HEAD_BYTES]
            if len(self._head) >= HEAD_BYTES:
                self._look()

    def check(self) -> None:
        """Raise UnprocessableError (``digest-mismatch``) unless that was what was announced."""
        self._look()
        check_digest(self.sha256, self._upload.expected_sha256)
        if self._sha512 is not None:
            check_digest(self._sha512.hexdigest(), self._upload.expected_sha512)

    def _look(self) -> None:
        if self._head is not None:
            head, self._head = self._head[:HEAD_BYTES], None
            self._content.check_content(self._upload.content_type, head)


def check_digest(actual: str, expected: str | None) -> None:
    """Raise UnprocessableError (``digest-mismatch``) unless the two agree, or nothing is expected."""
    if expected is not None and not hmac.compare_digest(actual, expected):
        raise UnprocessableError(
            "The bytes that arrived have another digest than announced.", code="digest-mismatch"
        )
