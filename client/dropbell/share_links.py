"""Share links: whoever has one can download the file, until it expires or is revoked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from dropbell.answers import Fields, to_json
from dropbell.connection import checked_id, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from dropbell.connection import Connection


@dataclass(frozen=True)
class ShareLink:
    """A share link. Its ``url`` is the permission, so it is kept out of ``repr``."""

    id: str
    url: str | None = field(repr=False)
    expires_at: datetime | None
    created_at: datetime | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "share link")
        return cls(
            id=fields.text("id"),
            url=fields.optional_text("url"),
            expires_at=fields.optional_time("expires_at"),
            created_at=fields.optional_time("created_at"),
            extra=fields.rest,
        )


def share(connection: Connection, file_id: str, lifetime: timedelta) -> ShareLink:
    """Make a link that lives so long; raises as ``Connection.request`` does."""
    wanted = {"expires_at": to_json(datetime.now(UTC) + lifetime)}
    return ShareLink.from_json(decoded(connection.request("POST", _path(file_id), json=wanted)))


def shares(connection: Connection, file_id: str) -> Iterator[ShareLink]:
    """Go through a file's links, fetched page by page; raises as ``Connection.request`` does."""
    for item in connection.items(_path(file_id)):
        yield ShareLink.from_json(item)


def unshare(connection: Connection, file_id: str, link_id: str) -> None:
    """Revoke a link at once; raises as ``Connection.request`` does."""
    connection.request("DELETE", f"{_path(file_id)}/{checked_id(link_id, 'share link')}")


def _path(file_id: str) -> str:
    return f"/files/{checked_id(file_id, 'file')}/share-links"
