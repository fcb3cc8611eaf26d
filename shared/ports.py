"""What the logic needs from the world, as small protocols.

Each has one to three methods. The real adapters and their memory twins live in ``shared/adapters`` and pass
the same conformance suite (``tests/conformance``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
    from datetime import datetime
    from email.message import EmailMessage

type Value = str | int | bool | float | datetime
"""What a table property can hold. Whole numbers are 64 bits wide."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


class JsonSource(Protocol):
    """Fetches public JSON documents: OpenID Connect discovery documents and signing keys."""

    async def fetch_json(self, url: str) -> object:
        """The decoded document at ``url``; raises UnavailableError when it cannot be had in time."""
        ...


@dataclass(frozen=True, slots=True)
class BlobProperties:
    """What is known of a stored blob without reading it."""

    name: str
    etag: str
    size_bytes: int
    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StagedBlock:
    """A block that was sent and is part of no blob yet."""

    block_id: str
    size_bytes: int


class BlobStore(Protocol):
    """Holds the bytes. A blob is created once and never overwritten."""

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        """Store ``content`` as a new blob that becomes visible whole or not at all.

        ``metadata`` is called once, after the last byte, so that it can carry a digest of the content.
        Memory stays bounded whatever the size. An exception out of ``content`` passes through and leaves
        nothing visible. Asking again for the same name, size, type and metadata is the same write: it returns
        the blob that is there. Raises EntityExistsError when the name is taken by another write,
        UnavailableError on a failing store.
        """
        ...

    async def properties(self, name: str) -> BlobProperties | None:
        """The blob's properties, None when there is no such blob."""
        ...

    def read(
        self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        """The blob's bytes from ``offset_bytes`` on, all or ``size_bytes`` of them; memory stays bounded.

        Every byte is of the state that ``etag`` names, or of the one that the first read met. Raises
        EntityMissingError when there is no such blob, EntityChangedError when its state is another one,
        UnavailableError on a failing store; also in the middle.
        """
        ...

    async def stage(self, name: str, block_id: str, content: bytes) -> None:
        """Send one block for a blob to be made by ``commit``; the same id again replaces the block.

        ``block_id`` is plain ASCII, and of one length for all blocks of a blob. Staged blocks are not
        visible and not part of a blob until they are committed. Raises ValueError for empty content.
        """
        ...

    async def staged(self, name: str) -> Sequence[StagedBlock]:
        """The blocks staged and not committed, in no certain order; none is no error."""
        ...

    async def commit(
        self, name: str, block_ids: Sequence[str], *, content_type: str, metadata: Mapping[str, str]
    ) -> BlobProperties:
        """Make the blob of these staged blocks, in this order; no block makes an empty blob.

        Asking again for the same metadata and type is the same write, as with ``create``. Raises
        EntityExistsError when the name is taken by another write, EntityMissingError when a block is not
        there, UnavailableError on a failing store.
        """
        ...

    async def delete(self, name: str) -> None:
        """Delete the blob, or the blocks staged where no blob was made; neither is no error."""
        ...


class Verdict(StrEnum):
    """What a malware scan of a blob has come to."""

    CLEAN = "clean"
    MALICIOUS = "malicious"
    NOT_SCANNED = "not-scanned"
    """The scanner cannot read it: too large, encrypted, of a kind it does not take."""
    FAILED = "scan-failed"
    """It tried, and said nothing that proves the blob to be clean."""


class Scanner(Protocol):
    """Tells what a malware scanner has found, which looks at every blob by itself after it was made."""

    async def verdict(self, name: str) -> Verdict | None:
        """Its verdict on the blob; None while there is none, or no such blob.

        Raises UnavailableError where it cannot be asked for.
        """
        ...


class UrlSigner(Protocol):
    """Makes URLs by which anybody who has them can do one thing with one blob for a short time."""

    async def upload_url(self, name: str, *, expires_at: datetime) -> str:
        """To create the blob and write to it; not to read, list or delete."""
        ...

    async def download_url(
        self, name: str, *, expires_at: datetime, content_type: str, content_disposition: str
    ) -> str:
        """To read the blob; the answer then carries the given header fields."""
        ...


@dataclass(frozen=True, slots=True)
class Entity:
    """One table row. ``etag`` is empty until the row was read or written."""

    partition_key: str
    row_key: str
    values: Mapping[str, Value]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a row that must not exist yet."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace a row whose ETag must still be ``entity.etag``."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a row whose ETag must still be ``entity.etag``."""

    entity: Entity


type Change = Insert | Replace | Delete

MAX_TRANSACTION_CHANGES = 100
"""Most changes that one entity-group transaction takes (Table service limit)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a range query, in row-key order."""

    entities: Sequence[Entity]
    next_row_key: str | None
    """Where the following page starts; None on the last page."""


class TableStore(Protocol):
    """Rows with ETags; the partition is the transaction boundary."""

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        """The row, None when it does not exist."""
        ...

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        """Up to ``limit`` rows with ``first_row_key <= row_key < end_row_key``, ordered by row key."""
        ...

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        """Carry out 1 to 100 changes of one partition, all or none; returns the new ETags (empty: deleted).

        Raises EntityExistsError, EntityMissingError or EntityChangedError for the change that did not fit;
        UnavailableError, which leaves open whether the changes were made; ValueError for changes that no
        service would take together.
        """
        ...


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message to be sent. Two with the same ``message_id`` within the detection window count once."""

    message_id: str
    body: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    not_before: datetime | None = None
    """When the queue may show it; None for at once."""


class MessageQueue(Protocol):
    """Sends to the notifications queue."""

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        """Send all of ``messages`` in as few transfers as the size limit allows.

        Raises UnavailableError when the queue did not accept them all; sending all again is then safe.
        Raises ValueError, and sends nothing, for a message that is too large for the queue.
        """
        ...


ANSWER_START_BYTES = 1024
"""So much of a receiver's answer is kept."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a receiver answered."""

    status_code: int
    retry_after: str | None = None
    """The Retry-After field as sent (RFC 9110 §10.2.3)."""
    body_start: bytes = b""
    """The first bytes of the body, at most ``ANSWER_START_BYTES``."""


class HttpSender(Protocol):
    """Posts to addresses that users chose; the address connected to is checked against the target policy."""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> HttpAnswer:
        """Post ``body``, follow no redirect; the status counts even if the answer's body does not come.

        Raises TargetNotAllowedError for an address the policy forbids, TargetFailedError when no answer came
        within ``timeout_seconds``.
        """
        ...


class MailSender(Protocol):
    """Hands mail to a server that carries it on."""

    async def send(self, mail: EmailMessage, *, timeout_seconds: float) -> None:
        """Send ``mail`` to the addresses in its To field.

        Raises MailRefusedError for an address or content that the server refuses for good, TargetFailedError
        when it may go better later.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in the queue's dead-letter queue."""

    sequence_number: int
    message_id: str
    body: bytes
    enqueued_at: datetime
    reason: str | None = None
    """The queue's own, such as ``MaxDeliveryCountExceeded``."""
    properties: Mapping[str, str] = field(default_factory=dict)


class DeadLetterQueue(Protocol):
    """What could not be delivered."""

    async def peek(self, *, from_sequence_number: int = 0, limit: int) -> Sequence[DeadLetter]:
        """Up to ``limit`` messages in their order, without taking them."""
        ...

    async def take(self, sequence_numbers: Set[int], settle: Callable[[DeadLetter], Awaitable[bool]]) -> int:
        """Receive these messages, each under a lock, and remove those for which ``settle`` returns True.

        All others stay, also when ``settle`` raises. Returns how many were removed. A message that somebody
        else holds just now is passed over.
        """
        ...
