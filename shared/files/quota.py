"""How much an owner may keep, counted in the same transaction as what is counted.

The count is one row of the owner's partition. It is made from what is there when it is first needed, and only
where a limit is set: without one, uploads of one owner do not wait for each other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from shared.errors import (
    EntityChangedError,
    EntityExistsError,
    EntityMissingError,
    TooLargeError,
    UnavailableError,
)
from shared.files import file as files
from shared.files import upload as uploads
from shared.ledger.newer import newer
from shared.ledger.ranges import rows
from shared.ports import Entity, Insert, Replace
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.ports import Change, TableStore, Value

ROW_KEY = "quota|"
_KNOWN = ("bytes", "files")
MAX_TRIES = 20
"""Races for one owner's count that are fought in one go; processes race, requests of a process queue."""


@dataclass(frozen=True, slots=True)
class QuotaPolicy:
    """The limits of each owner; None for no limit."""

    max_bytes: int | None = None
    max_files: int | None = None


@dataclass(frozen=True, slots=True)
class _Usage:
    bytes: int
    files: int
    etag: str = ""
    """Empty while there is no row."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""


class Quota:
    """Counts bytes and files of each owner, and refuses what goes over the limits."""

    def __init__(self, tables: TableStore, policy: QuotaPolicy) -> None:
        self._tables = tables
        self._policy = policy
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def enabled(self) -> bool:
        """Whether there is a limit at all."""
        return self._policy != QuotaPolicy()

    async def check(self, owner: str, *, bytes_delta: int, files_delta: int) -> None:
        """Refuse early, without writing; raises TooLargeError (``quota-exceeded``)."""
        if self.enabled:
            self._counted(await self._usage(owner), bytes_delta, files_delta)

    async def apply(
        self, owner: str, changes: Sequence[Change], *, bytes_delta: int, files_delta: int
    ) -> Sequence[str]:
        """Carry out ``changes`` and count them, all or none; returns the ETags of ``changes``.

        Raises TooLargeError (``quota-exceeded``), or what ``TableStore.apply`` raises for ``changes``; then
        nothing has changed. Giving back is never refused.
        """
        if not self.enabled or not (bytes_delta or files_delta):
            return await self._tables.apply(changes)
        async with self._turns.setdefault(owner, asyncio.Lock()):
            for _ in range(MAX_TRIES):
                usage = await self._usage(owner)
                count = self._row(owner, self._counted(usage, bytes_delta, files_delta))
                try:
                    etags = await self._tables.apply([*changes, count])
                except (EntityChangedError, EntityExistsError, EntityMissingError):
                    if (await self._usage(owner)).etag == usage.etag:
                        raise  # it was not the count that somebody else wrote
                else:
                    return etags[:-1]
        raise UnavailableError(
            "Too many uploads of one owner at once; try again in a moment.", reason="quota-race"
        )

    def _counted(self, usage: _Usage, bytes_delta: int, files_delta: int) -> _Usage:
        after = replace(
            usage, bytes=max(0, usage.bytes + bytes_delta), files=max(0, usage.files + files_delta)
        )
        policy = self._policy
        if policy.max_bytes is not None and bytes_delta > 0 and after.bytes > policy.max_bytes:
            raise _exceeded(f"{policy.max_bytes} bytes of files; {usage.bytes} are taken")
        if policy.max_files is not None and files_delta > 0 and after.files > policy.max_files:
            raise _exceeded(f"{policy.max_files} files")
        return after

    async def _usage(self, owner: str) -> _Usage:
        entity = await self._tables.get(owner, ROW_KEY)
        if entity is None:
            return await self._counted_from_rows(owner)
        bytes_taken, files_taken = (int(str(entity.values[name])) for name in _KNOWN)
        return _Usage(bytes_taken, files_taken, entity.etag, newer(entity, _KNOWN))

    async def _counted_from_rows(self, owner: str) -> _Usage:
        bytes_taken = files_taken = 0
        first, end = files.ROW_KEYS
        async for entity in rows(self._tables, owner, first_row_key=first, end_row_key=end):
            file = files.from_entity(entity)
            if file.status in files.PUBLISHED:
                bytes_taken, files_taken = bytes_taken + file.size_bytes, files_taken + 1
        first, end = uploads.ROW_KEYS
        async for entity in rows(self._tables, owner, first_row_key=first, end_row_key=end):
            upload = uploads.from_entity(entity)
            bytes_taken += upload.charged_bytes  # a finished part counts, too
            if upload.status in uploads.UNDER_WAY:
                files_taken += upload.charged_files
        return _Usage(bytes_taken, files_taken)

    @staticmethod
    def _row(owner: str, usage: _Usage) -> Change:
        values = {**usage.newer, "bytes": usage.bytes, "files": usage.files}
        entity = Entity(owner, ROW_KEY, values, usage.etag)
        return Replace(entity) if usage.etag else Insert(entity)


def _exceeded(limit: str) -> TooLargeError:
    record(Event.QUOTA_EXCEEDED)
    measure(Metric.QUOTA_REFUSALS)
    return TooLargeError(
        f"You can keep at most {limit}. Delete what you do not need, or ask for more.", code="quota-exceeded"
    )
