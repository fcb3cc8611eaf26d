"""Requests that are carried out once, however often they are sent.

Source: draft-ietf-httpapi-idempotency-key-header.

A request with a key takes the key's row, does its work, and finishes the row in the same transaction as what
the work brings about. The row names that result before the work starts, and every try for the key works on
the same result, so that a try which was thought dead and one that took over cannot make two.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from shared.errors import (
    ConflictError,
    EntityChangedError,
    EntityExistsError,
    EntityMissingError,
    UnavailableError,
    UnprocessableError,
)
from shared.ledger import conditional
from shared.ledger.newer import newer
from shared.ports import Delete, Entity, Insert, Replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ledger.due import DueWriter
    from shared.ports import Change, Clock, TableStore, Value

KIND = "request"
"""Of the rows and of their entries in the book of what is due."""
MAX_TRIES = 4
"""Races for a key that are fought before the caller is told to wait."""
RETRY_AFTER_SECONDS = 2


class RequestStatus(StrEnum):
    """Where the work for a key is.

    ::

        (no row) ──▶ running ──▶ done
           ▲            │          │
           └─(failed)───┴─(kept)───┘
    """

    RUNNING = "running"
    """Somebody is at it, or was and died: the lease says which."""
    DONE = "done"
    """The result is there."""


TRANSITIONS: Mapping[RequestStatus, frozenset[RequestStatus]] = {
    RequestStatus.RUNNING: frozenset({RequestStatus.RUNNING, RequestStatus.DONE}),
    RequestStatus.DONE: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Content:
    """What a request with a key asked for; two that differ are not the same request."""

    described: str
    """Digest of what was said of the bytes: see ``described_by``."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """The row of a key."""

    owner: str
    id: str
    """See ``key_id``."""
    status: RequestStatus
    epoch: int
    """Counts the tries that took the key; 1 for the first."""
    result_id: str
    """Of what the work makes, the same for every try."""
    lease_ends_at: datetime
    kept_until: datetime
    content: Content | None = None
    """Known when done."""
    answer: str | None = None
    """The body that was answered; None when the process died before it was written down."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    def moved_to(self, status: RequestStatus) -> KeyedRequest:
        """The request one step further; raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a request cannot go from {self.status} to {status}")
        return replace(self, status=status)


@dataclass(frozen=True, slots=True)
class IdempotencyPolicy:
    """How long a silent request keeps its key, and how long an answered one is remembered."""

    lease_seconds: float = 300
    kept_seconds: float = 24 * 3600


class Verdict(Enum):
    """What a request that brings a key may do."""

    START = "start"
    TAKE_OVER = "take over"
    WAIT = "wait"
    REPLAY = "replay"


def verdict(found: KeyedRequest | None, now: datetime) -> Verdict:
    """The decision, by the key's row."""
    if found is None:
        return Verdict.START
    if found.status is RequestStatus.RUNNING and now < found.lease_ends_at:
        return Verdict.WAIT
    if now >= found.kept_until:
        return Verdict.START
    return Verdict.REPLAY if found.status is RequestStatus.DONE else Verdict.TAKE_OVER


def key_id(*scope: str, key: str) -> str:
    """The key within its scope (caller, owner, route): 64 hexadecimal digits that reveal neither."""
    return hashlib.sha256(json.dumps([*scope, key]).encode()).hexdigest()


def described_by(*facts: str | Mapping[str, str]) -> str:
    """A digest of what a request says beside its bytes."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def check_same(done: KeyedRequest, *, described: str, size_bytes: int | None, sha256: str | None) -> None:
    """Raise UnprocessableError (``idempotency-key-reused``) unless what is known so far is the same."""
    first = done.content
    if first is None:
        raise ValueError("the request is not done")
    told = (described, first.size_bytes if size_bytes is None else size_bytes, sha256 or first.sha256)
    if told != (first.described, first.size_bytes, first.sha256):
        raise UnprocessableError(
            "This Idempotency-Key was used for another request; take a new key for a new one.",
            code="idempotency-key-reused",
        )


class IdempotentRequests:
    """The rows of keys, in the partition of the owner whose data the requests work on."""

    def __init__(
        self, tables: TableStore, clock: Clock, due: DueWriter, policy: IdempotencyPolicy | None = None
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._due = due
        self._policy = policy or IdempotencyPolicy()

    async def begin(self, owner: str, id_: str, *, result_id: str) -> Claim | KeyedRequest:
        """Take the key, or learn what was done for it. ``result_id`` is for a first try.

        Raises ConflictError (``request-in-progress``) while another request is at it.
        """
        for _ in range(MAX_TRIES):
            found, now = await self.find(owner, id_), self._clock.now()
            match verdict(found, now):
                case Verdict.REPLAY if found is not None:
                    return found
                case Verdict.WAIT:
                    break
                case Verdict.TAKE_OVER if found is not None:
                    wanted = replace(self._leased(found, now), epoch=found.epoch + 1)
                case _:
                    wanted = self._first(owner, id_, result_id, now, found)
                    await self._due.put(KIND, owner, id_, wanted.kept_until)
            try:
                return Claim(self._tables, self._clock, self._policy, await self._written(wanted))
            except (EntityExistsError, EntityChangedError, EntityMissingError):
                continue
        raise in_progress()

    async def find(self, owner: str, id_: str) -> KeyedRequest | None:
        """The key's row."""
        entity = await self._tables.get(owner, row_key(id_))
        return None if entity is None else from_entity(entity)

    async def keep_answer(self, owner: str, id_: str, answer: str) -> None:
        """Write down what was answered, so that a replay is the same to the letter.

        Where this fails, a replay is made of the result as it then is; so no failure is reported.
        """

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            row = from_entity(entity)
            wanted = row.status is RequestStatus.DONE and row.answer is None
            return (to_entity(replace(row, answer=answer)) if wanted else None), None

        try:
            await conditional.update(self._tables, owner, row_key(id_), decide)
        except (EntityChangedError, EntityMissingError, UnavailableError):
            return

    async def forget(self, owner: str, id_: str) -> datetime | None:
        """Delete the row when its time is over; returns when to look again, None for never."""
        found, now = await self.find(owner, id_), self._clock.now()
        match verdict(found, now):
            case Verdict.START if found is not None:
                try:
                    await self._tables.apply([Delete(to_entity(found))])
                except EntityMissingError:
                    return None
                except EntityChangedError:
                    return self._kept_until(now)
                return None
            case Verdict.START:
                return None
            case _:
                return max(found.kept_until, found.lease_ends_at) if found is not None else None

    async def _written(self, wanted: KeyedRequest) -> KeyedRequest:
        entity = to_entity(wanted)
        (etag,) = await self._tables.apply([Replace(entity) if entity.etag else Insert(entity)])
        return replace(wanted, etag=etag)

    def _first(
        self, owner: str, id_: str, result_id: str, now: datetime, expired: KeyedRequest | None
    ) -> KeyedRequest:
        made = KeyedRequest(
            owner, id_, RequestStatus.RUNNING, 1, result_id, now, now, etag=expired.etag if expired else ""
        )
        return self._leased(made, now)

    def _leased(self, request: KeyedRequest, now: datetime) -> KeyedRequest:
        lease_ends_at = now + timedelta(seconds=self._policy.lease_seconds)
        return replace(request, lease_ends_at=lease_ends_at, kept_until=self._kept_until(now))

    def _kept_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._policy.kept_seconds)


class Claim:
    """A key held by one request. Every write is fenced by the ETag of the one before."""

    def __init__(
        self, tables: TableStore, clock: Clock, policy: IdempotencyPolicy, request: KeyedRequest
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._policy = policy
        self.request = request

    @property
    def taken_over(self) -> bool:
        """Whether an earlier try may have left something."""
        return self.request.epoch > 1

    async def keep(self) -> None:
        """Make the lease whole again once half of it is over; cheap to call for every chunk.

        Raises ConflictError (``request-in-progress``) when another request has taken the key over.
        """
        now = self._clock.now()
        if now < self.request.lease_ends_at - timedelta(seconds=self._policy.lease_seconds / 2):
            return
        await self._lease_until(now + timedelta(seconds=self._policy.lease_seconds))

    def finished(self, content: Content) -> Change:
        """The change that ends the work, to be made together with what the work brings about."""
        kept_until = self._clock.now() + timedelta(seconds=self._policy.kept_seconds)
        done = self.request.moved_to(RequestStatus.DONE)
        return Replace(to_entity(replace(done, content=content, kept_until=kept_until)))

    async def release(self) -> None:
        """Give the key back after a failure that left nothing."""
        if self.taken_over:  # the try before may still be about to leave its result
            return await self.abandon()
        try:
            await self._tables.apply([Delete(to_entity(self.request))])
        except (EntityChangedError, EntityMissingError, UnavailableError):
            return None  # somebody has taken over, or the lease will end
        return None

    async def abandon(self) -> None:
        """Let go after a failure that may have left the result; the next try finds out."""
        try:
            await self._lease_until(self._clock.now())
        except (ConflictError, UnavailableError):
            return

    async def _lease_until(self, lease_ends_at: datetime) -> None:
        wanted = replace(self.request, lease_ends_at=lease_ends_at)
        try:
            (etag,) = await self._tables.apply([Replace(to_entity(wanted))])
        except EntityMissingError:
            raise in_progress() from None
        except EntityChangedError:
            self.request = await self._own_earlier_write()
        else:
            self.request = replace(wanted, etag=etag)

    async def _own_earlier_write(self) -> KeyedRequest:
        """A write whose answer was lost is sent again, and then meets the row as it wrote it itself."""
        entity = await self._tables.get(self.request.owner, row_key(self.request.id))
        found = None if entity is None else from_entity(entity)
        own = (self.request.epoch, self.request.result_id, RequestStatus.RUNNING)
        if found is None or (found.epoch, found.result_id, found.status) != own:
            raise in_progress()
        return found


def in_progress() -> ConflictError:
    """The error for a key that another request holds."""
    return ConflictError(
        "A request with this Idempotency-Key is still running; ask again in a moment.",
        code="request-in-progress",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def row_key(id_: str) -> str:
    """The row of a key, within the owner's partition."""
    return f"{KIND}|{id_}"


_KNOWN = frozenset(each.name for each in (*fields(KeyedRequest), *fields(Content)))


def to_entity(request: KeyedRequest) -> Entity:
    """The row."""
    values: dict[str, Value] = {
        **request.newer,
        "id": request.id,
        "status": request.status.value,
        "epoch": request.epoch,
        "result_id": request.result_id,
        "lease_ends_at": request.lease_ends_at,
        "kept_until": request.kept_until,
    }
    if request.content is not None:
        values |= {
            "described": request.content.described,
            "size_bytes": request.content.size_bytes,
            "sha256": request.content.sha256,
        }
    if request.answer is not None:
        values["answer"] = request.answer
    return Entity(request.owner, row_key(request.id), values, request.etag)


def from_entity(entity: Entity) -> KeyedRequest:
    """Read the row."""
    values = entity.values
    lease_ends_at, kept_until = values["lease_ends_at"], values["kept_until"]
    if not isinstance(lease_ends_at, datetime) or not isinstance(kept_until, datetime):
        raise TypeError("a time was expected in the row of a request")
    status = RequestStatus(str(values["status"]))
    return KeyedRequest(
        owner=entity.partition_key,
        id=str(values["id"]),
        status=status,
        epoch=int(str(values["epoch"])),
        result_id=str(values["result_id"]),
        lease_ends_at=lease_ends_at,
        kept_until=kept_until,
        content=Content(str(values["described"]), int(str(values["size_bytes"])), str(values["sha256"]))
        if status is RequestStatus.DONE
        else None,
        answer=str(values["answer"]) if "answer" in values else None,
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )
