"""The record of a file, as the service tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from dropbell.answers import Fields
from dropbell.errors import DamagedContentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


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

    def check_stored(self, size_bytes: int, sha256: str) -> Self:
        """Return the file if it holds what was sent; raises DamagedContentError when it does not."""
        if self.size_bytes != size_bytes or (self.sha256 is not None and self.sha256 != sha256):
            raise DamagedContentError(
                f"The stored file {self.id} is not what was sent "
                f"({self.size_bytes} of {size_bytes} bytes, SHA-256 {self.sha256} instead of {sha256})."
            )
        return self
