"""Reads a blob range by range, every byte of one and the same state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ServiceResponseError

from shared.adapters.azure_transport import CONTENT, answered
from shared.adapters.blob_arguments import check_range
from shared.adapters.blob_errors import is_missing
from shared.adapters.discarding import is_discarded
from shared.errors import EntityChangedError, EntityMissingError
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from azure.storage.blob.aio import BlobClient

RANGE_BYTES = 4 * 1024 * 1024
"""What one request reads. With one range handed out and one on its way, a download holds 12 MiB at most."""
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True, slots=True)
class _Part:
    content: bytes
    etag: str
    blob_bytes: int
    """Size of the whole blob."""


async def read_blob(
    blob: BlobClient, name: str, *, offset_bytes: int, size_bytes: int | None, etag: str | None
) -> AsyncGenerator[bytes]:
    """See ``BlobStore.read``.

    The ranges are whole requests of their own: each can be repeated without losing or doubling a byte, and no
    connection is held while the consumer takes its time.
    """
    check_range(offset_bytes, size_bytes)
    first_bytes = RANGE_BYTES if size_bytes is None else min(RANGE_BYTES, size_bytes)
    part = await _fetch(blob, name, offset_bytes, first_bytes, etag) if first_bytes else None
    if part is None:
        await _check_state(blob, name, etag)
        return
    end_bytes = part.blob_bytes if size_bytes is None else min(part.blob_bytes, offset_bytes + size_bytes)
    next_bytes = offset_bytes + len(part.content)
    ahead: asyncio.Task[_Part | None] | None = None
    try:
        while part is not None:
            ahead = None
            if next_bytes < end_bytes:
                wanted_bytes = min(RANGE_BYTES, end_bytes - next_bytes)
                ahead = asyncio.create_task(_fetch(blob, name, next_bytes, wanted_bytes, part.etag))
                next_bytes += wanted_bytes
            yield part.content
            part = await ahead if ahead is not None else None
    finally:
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)


async def _fetch(
    blob: BlobClient, name: str, offset_bytes: int, size_bytes: int, etag: str | None
) -> _Part | None:
    """The range, cut at the blob's end; None when it begins there or beyond."""

    async def fetch() -> _Part | None:
        try:
            download = await blob.download_blob(offset_bytes, size_bytes, **_only(etag))
            # Joined from its one chunk, the content is not copied, as ``readall`` does.
            content = b"".join([chunk async for chunk in download.chunks()])
        except HttpResponseError as error:
            if error.status_code == _RANGE_NOT_SATISFIABLE:
                return None
            await _explain(error, blob, name)
            raise
        found = download.properties
        if is_discarded(found.metadata):
            raise EntityMissingError(name)
        blob_bytes = int(str(found.content_range).rpartition("/")[2])
        if len(content) != min(size_bytes, blob_bytes - offset_bytes):
            raise ServiceResponseError("the answer is shorter than the range")
        return _Part(content, str(found.etag), blob_bytes)

    return await answered(System.BLOB, "Blob read", fetch, target=blob.container_name, patience=CONTENT)


async def _check_state(blob: BlobClient, name: str, etag: str | None) -> None:
    """Where there is nothing to read, the errors are still those of a read."""

    async def check() -> None:
        try:
            found = await blob.get_blob_properties(**_only(etag))
        except HttpResponseError as error:
            await _explain(error, blob, name)
            raise
        if is_discarded(found.metadata):
            raise EntityMissingError(name)

    await answered(System.BLOB, "Blob properties", check, target=blob.container_name)


async def _explain(error: HttpResponseError, blob: BlobClient, name: str) -> None:
    """Raise the port's error, if there is one for it. A missing blob fails the condition, too: then ask."""
    if is_missing(error):
        raise EntityMissingError(name) from error
    if isinstance(error, ResourceModifiedError):
        await _check_state(blob, name, None)
        raise EntityChangedError(name) from error


def _only(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}
