"""The memory twins of the adapters: real implementations of the ports, for tests and simulations.

They pass the same conformance suite as Azurite and the broker.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from shared.adapters.blob_arguments import (
    check_block,
    check_block_list,
    check_field_value,
    check_name,
    check_range,
)
from shared.adapters.same_write import is_same_write, same_commit
from shared.adapters.scan_tags import verdict_of
from shared.adapters.transaction import check_transaction
from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError, UnavailableError
from shared.ports import (
    BlobProperties,
    Delete,
    Entity,
    HttpAnswer,
    Insert,
    Page,
    QueueMessage,
    StagedBlock,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, MutableSequence, Sequence
    from email.message import EmailMessage

    from shared.ports import Change, Verdict


PIECE_BYTES = 1024 * 1024
"""Most that one step of reading a blob brings."""
MAX_MESSAGE_BYTES = 256 * 1024
"""As the Standard tier of Service Bus."""


class MemoryClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """See ``Clock``."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._now += timedelta(seconds=seconds)


class MemoryBlobs:
    """``BlobStore`` in dictionaries, and the ``Scanner`` that reads their tags."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}
        """Staged and not committed, by blob name and block id."""
        self.tags: dict[str, dict[str, str]] = {}
        """Index tags, by blob name."""
        self._properties: dict[str, BlobProperties] = {}
        self._versions = itertools.count(1)

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        """See ``BlobStore``."""
        whole = b"".join([chunk async for chunk in content])
        return self._make(BlobProperties(name, "", len(whole), content_type, dict(metadata())), whole)

    async def properties(self, name: str) -> BlobProperties | None:
        """See ``BlobStore``."""
        return self._properties.get(name)

    async def read(
        self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        """See ``BlobStore``."""
        check_range(offset_bytes, size_bytes)
        pinned = etag or self._pinned(name, etag).etag
        end_bytes = self._pinned(name, pinned).size_bytes
        if size_bytes is not None:
            end_bytes = min(end_bytes, offset_bytes + size_bytes)
        for start in range(offset_bytes, end_bytes, PIECE_BYTES):
            self._pinned(name, pinned)
            yield self.contents[name][start : min(start + PIECE_BYTES, end_bytes)]

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        """See ``BlobStore``."""
        check_block(block_id, content)
        blocks = self.blocks.setdefault(name, {})
        if any(len(other_id) != len(block_id) for other_id in blocks):
            raise ValueError("all block ids of a blob have the same length")
        blocks[block_id] = bytes(content)

    async def staged(self, name: str) -> Sequence[StagedBlock]:
        """See ``BlobStore``."""
        return tuple(
            StagedBlock(block_id, len(content)) for block_id, content in self.blocks.get(name, {}).items()
        )

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        """See ``BlobStore``."""
        check_block_list(block_ids)
        asked = BlobProperties(name, "", 0, content_type, dict(metadata))
        found = self._properties.get(name)
        if found is not None:
            return same_commit(found, asked, block_ids)
        blocks = self.blocks.get(name, {})
        if any(block_id not in blocks for block_id in block_ids):
            raise EntityMissingError(name)
        whole = b"".join(blocks[block_id] for block_id in block_ids)
        return self._make(replace(asked, size_bytes=len(whole)), whole)

    async def delete(self, name: str) -> None:
        """See ``BlobStore``."""
        for held in (self.contents, self.blocks, self.tags, self._properties):
            held.pop(name, None)

    async def verdict(self, name: str) -> Verdict | None:
        """See ``Scanner``."""
        return verdict_of(self.tags.get(name, {}))

    def _make(self, asked: BlobProperties, whole: bytes) -> BlobProperties:
        """What makes a blob throws away the blocks that are not part of it."""
        found = self._properties.get(asked.name)
        if found is not None:
            if not is_same_write(found, asked):
                raise EntityExistsError(asked.name)
            return found
        made = replace(asked, etag=f'"{next(self._versions)}"')
        self._properties[asked.name] = made
        self.contents[asked.name] = whole
        self.blocks.pop(asked.name, None)
        return made

    def _pinned(self, name: str, etag: str | None) -> BlobProperties:
        found = self._properties.get(name)
        if found is None:
            raise EntityMissingError(name)
        if etag not in {None, found.etag}:
            raise EntityChangedError(name)
        return found


class MemoryUrlSigner:
    """``UrlSigner`` whose URLs say what was asked for; nothing answers there."""

    def __init__(self, base_url: str = "https://blobs.invalid") -> None:
        self._base_url = base_url

    async def upload_url(self, name: str, *, expires_at: datetime) -> str:
        """See ``UrlSigner``."""
        return self._url(name, sp="cw", se=expires_at.isoformat())

    async def download_url(
        self, name: str, *, expires_at: datetime, content_type: str, content_disposition: str
    ) -> str:
        """See ``UrlSigner``."""
        check_field_value(content_type)
        check_field_value(content_disposition)
        return self._url(name, sp="r", se=expires_at.isoformat(), rsct=content_type, rscd=content_disposition)

    def _url(self, name: str, **query: str) -> str:
        check_name(name)
        return f"{self._base_url}/{quote(name)}?{urlencode(query)}"


class MemoryTables:
    """``TableStore`` in a dictionary; each call is one atomic step."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Entity] = {}
        self._versions = itertools.count(1)

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        """See ``TableStore``."""
        return self.rows.get((partition_key, row_key))

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        """See ``TableStore``."""
        rows = [row for (partition, _), row in self.rows.items() if partition == partition_key]
        found = sorted(
            (row for row in rows if first_row_key <= row.row_key < end_row_key), key=lambda row: row.row_key
        )
        return Page(found[:limit], found[limit].row_key if len(found) > limit else None)

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        """See ``TableStore``."""
        check_transaction(changes)
        for change in changes:
            self._check(change)
        return [self._carry_out(change) for change in changes]

    def _check(self, change: Change) -> None:
        row = self.rows.get((change.entity.partition_key, change.entity.row_key))
        if isinstance(change, Insert):
            if row is not None:
                raise EntityExistsError(change.entity.row_key)
        elif row is None:
            raise EntityMissingError(change.entity.row_key)
        elif row.etag != change.entity.etag:
            raise EntityChangedError(change.entity.row_key)

    def _carry_out(self, change: Change) -> str:
        key = (change.entity.partition_key, change.entity.row_key)
        if isinstance(change, Delete):
            del self.rows[key]
            return ""
        etag = f'W/"{next(self._versions)}"'
        self.rows[key] = replace(change.entity, etag=etag, values=dict(change.entity.values))
        return etag


class MemoryQueue:
    """``MessageQueue`` that keeps what it was given; message ids count once, as with duplicate detection."""

    def __init__(self) -> None:
        self.messages: list[QueueMessage] = []
        self._seen: set[str] = set()

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        """See ``MessageQueue``."""
        for message in messages:
            if len(message.body) > MAX_MESSAGE_BYTES:
                raise ValueError(f"the message {message.message_id} is too large for the queue")
        for message in messages:
            if message.message_id not in self._seen:
                self._seen.add(message.message_id)
                self.messages.append(message)


class MemoryJson:
    """``JsonSource`` over a dictionary of documents."""

    def __init__(self, documents: Mapping[str, object]) -> None:
        self.documents = dict(documents)

    async def fetch_json(self, url: str) -> object:
        """See ``JsonSource``."""
        if url not in self.documents:
            raise UnavailableError("The document cannot be had.", reason=url)
        return json.loads(json.dumps(self.documents[url]))


class MemorySender:
    """``HttpSender`` that keeps what was posted and answers what it was told to: a status, or an error."""

    def __init__(self, *answers: HttpAnswer | Exception) -> None:
        self.posts: list[tuple[str, Mapping[str, str], bytes]] = []
        self.timeouts_seconds: list[float] = []
        self._answers: MutableSequence[HttpAnswer | Exception] = list(answers)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> HttpAnswer:
        """See ``HttpSender``."""
        self.posts.append((url, dict(headers), body))
        self.timeouts_seconds.append(timeout_seconds)
        answer = self._answers.pop(0) if self._answers else HttpAnswer(200)
        if isinstance(answer, Exception):
            raise answer
        return answer


class MemoryMail:
    """``MailSender`` that keeps what was sent; it fails as it was told to, then takes everything."""

    def __init__(self, *failures: Exception) -> None:
        self.mails: list[EmailMessage] = []
        self.timeouts_seconds: list[float] = []
        self._failures: MutableSequence[Exception] = list(failures)

    async def send(self, mail: EmailMessage, *, timeout_seconds: float) -> None:
        """See ``MailSender``."""
        self.timeouts_seconds.append(timeout_seconds)
        if self._failures:
            raise self._failures.pop(0)
        self.mails.append(mail)
