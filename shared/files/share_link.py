"""Share links: who has the link can read one file, until it expires or is revoked.

The link carries its own proof: a signed text of owner, file and link, so that made-up ones cost no look-up.
The row behind it says whether it still holds.
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.errors import EntityChangedError, EntityMissingError, GoneError, NotFoundError, TooManyError
from shared.files.catalogue import check_expiry
from shared.ledger import conditional
from shared.ledger.newer import newer
from shared.ledger.ranges import rows
from shared.ports import MAX_TRANSACTION_CHANGES, Delete, Entity, Insert, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.files.catalogue import Catalogue
    from shared.files.file import File
    from shared.ledger.signed_token import Signer
    from shared.ports import Change, Clock, TableStore

DEFAULT_LIFE = timedelta(days=1)
MAX_LIFE = timedelta(days=30)
MAX_LINKS = 100
"""Of one file, that still hold. Requests at the same moment can go a little above it."""
MAX_TOKEN_CHARACTERS = 128

_PART_BYTES = 16
"""Owner, file id and link id are 128 bits each."""
_LINK_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ShareLink:
    """A link to one file."""

    id: str
    owner: str
    file_id: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether the file can be read by it."""
        return self.revoked_at is None and now < self.expires_at


_KNOWN = frozenset(each.name for each in fields(ShareLink))


def row_key(file_id: str, link_id: str) -> str:
    """The row of a link, within its owner's partition."""
    return f"share|{file_id}|{link_id}"


def row_keys_of_file(file_id: str) -> tuple[str, str]:
    """The range of row keys that holds a file's links: ``first <= key < end``."""
    return f"share|{file_id}|", f"share|{file_id}}}"


def to_entity(link: ShareLink) -> Entity:
    """The row of a link."""
    values: dict[str, Value] = {
        **link.newer,
        "id": link.id,
        "file_id": link.file_id,
        "created_at": link.created_at,
        "expires_at": link.expires_at,
    }
    if link.revoked_at is not None:
        values["revoked_at"] = link.revoked_at
    return Entity(link.owner, row_key(link.file_id, link.id), values, link.etag)


def from_entity(entity: Entity) -> ShareLink:
    """Read the row of a link."""
    values = entity.values
    revoked_at = values.get("revoked_at")
    return ShareLink(
        id=str(values["id"]),
        owner=entity.partition_key,
        file_id=str(values["file_id"]),
        created_at=_instant(values["created_at"]),
        expires_at=_instant(values["expires_at"]),
        revoked_at=None if revoked_at is None else _instant(revoked_at),
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )


def _instant(value: Value) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"a time was expected in the row, not {type(value).__name__}")
    return value


class Sharing:
    """Makes, lists, revokes and follows share links."""

    def __init__(self, tables: TableStore, clock: Clock, catalogue: Catalogue, signer: Signer) -> None:
        self._tables = tables
        self._clock = clock
        self._catalogue = catalogue
        self._signer = signer

    async def create(
        self,
        owner: str,
        file_id: str,
        *,
        expires_at: datetime | None = None,
        expires_in: timedelta | None = None,
    ) -> ShareLink:
        """A new link, by default for a day.

        Raises NotFoundError for a file without content to share, InvalidRequestError (``invalid-body``) for
        an expiry that cannot be, TooManyError (``too-many``).
        """
        file = await self._catalogue.find_published(owner, file_id)
        now = self._clock.now()
        until = expires_at or now + (expires_in or DEFAULT_LIFE)
        check_expiry(until, now, MAX_LIFE)
        known = await self._links(file)
        if sum(link.holds(now) for link in known) >= MAX_LINKS:
            raise TooManyError(f"A file can have at most {MAX_LINKS} share links; revoke some first.")
        made = ShareLink(secrets.token_hex(_PART_BYTES), owner, file.id, now, until)
        try:
            await self._tables.apply([Insert(to_entity(made)), *_cleared(known, now)])
        except (EntityChangedError, EntityMissingError):  # another request has cleared some of them
            await self._tables.apply([Insert(to_entity(made))])
        return made

    async def links_of(self, owner: str, file_id: str) -> Sequence[ShareLink]:
        """The file's links, newest first, those that hold no more included for a while."""
        known = await self._links(await self._catalogue.find_published(owner, file_id))
        return sorted(known, key=lambda link: (link.created_at, link.id), reverse=True)

    async def revoke(self, owner: str, file_id: str, link_id: str) -> None:
        """End the link; once more is no error. Raises NotFoundError when there is no such link or file."""
        file = await self._catalogue.find(owner, file_id)
        now = self._clock.now()

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            link = from_entity(entity)
            return (None if link.revoked_at else to_entity(replace(link, revoked_at=now))), None

        if _LINK_ID.fullmatch(link_id) is None:
            raise _no_link()
        try:
            await conditional.update(self._tables, owner, row_key(file.id, link_id), decide)
        except EntityMissingError:
            raise _no_link() from None

    def token(self, link: ShareLink) -> str:
        """What the link's URL ends in."""
        parts = (bytes.fromhex(link.owner), uuid.UUID(link.file_id).bytes, bytes.fromhex(link.id))
        return self._signer.sign(b"".join(parts))

    async def follow(self, token: str) -> File:
        """The file that the link leads to.

        Raises NotFoundError for a token that was never made here, GoneError (``share-link-expired``) for one
        that holds no more: expired, revoked, or the file is not there any more.
        """
        payload = self._signer.read(token) if len(token) <= MAX_TOKEN_CHARACTERS else None
        if payload is None or len(payload) != 3 * _PART_BYTES:
            raise NotFoundError("There is no such link.")
        owner = payload[:_PART_BYTES].hex()
        file_id = str(uuid.UUID(bytes=payload[_PART_BYTES : 2 * _PART_BYTES]))
        entity = await self._tables.get(owner, row_key(file_id, payload[2 * _PART_BYTES :].hex()))
        if entity is None or not from_entity(entity).holds(self._clock.now()):
            raise _gone()
        try:
            return await self._catalogue.find_published(owner, file_id)
        except NotFoundError:
            raise _gone() from None

    async def _links(self, file: File) -> Sequence[ShareLink]:
        first, end = row_keys_of_file(file.id)
        return [
            from_entity(entity)
            async for entity in rows(self._tables, file.owner, first_row_key=first, end_row_key=end)
        ]


def _cleared(known: Sequence[ShareLink], now: datetime) -> Sequence[Change]:
    """Take away the oldest links that hold no more, once there are as many links as there can be."""
    over = min(len(known) + 1 - MAX_LINKS, MAX_TRANSACTION_CHANGES - 1)
    ended = sorted((link for link in known if not link.holds(now)), key=lambda link: link.created_at)
    return [Delete(to_entity(link)) for link in ended[: max(0, over)]]


def _no_link() -> NotFoundError:
    return NotFoundError("This file has no share link of this id.")


def _gone() -> GoneError:
    return GoneError("This link has expired or was revoked.", code="share-link-expired")
