"""Throws staged blocks away.

The service has no operation for that. Committing a list without them does it, so an empty blob is committed
and deleted again. It says what it is, and the adapter does not show it. Its BlobCreated event is still sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from shared.adapters.azure_transport import answered, error_code
from shared.adapters.blob_errors import TAKEN, is_missing
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.storage.blob.aio import BlobClient

_MARK = "discarded"


def is_discarded(metadata: Mapping[str, str]) -> bool:
    """Whether it is the metadata of a blob that only stands there to be deleted."""
    return _MARK in metadata


async def discard_blocks(blob: BlobClient) -> None:
    """Throw away the blocks, and the blob if there is one; what somebody else commits meanwhile stays."""
    etag = await answered(
        System.BLOB, "Blob discard blocks", lambda: _commit_empty(blob), target=blob.container_name
    )
    if etag is not None:
        await answered(
            System.BLOB, "Blob delete", lambda: delete_blob(blob, etag=etag), target=blob.container_name
        )


async def delete_blob(blob: BlobClient, *, etag: str | None = None) -> None:
    """Delete the blob and its snapshots if it is (still) there, and in the state ``etag``."""
    conditions: dict[str, Any] = {}
    if etag is not None:
        conditions = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    try:
        await blob.delete_blob(delete_snapshots="include", **conditions)
    except HttpResponseError as error:
        if not is_missing(error) and error_code(error) != "ConditionNotMet":
            raise


async def _commit_empty(blob: BlobClient) -> str | None:
    """ETag of the blob to be deleted; None when somebody else's has come in between."""
    found = await _state(blob)
    conditions: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
    if found is not None:
        etag, _ = found
        conditions = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    try:
        answer = await blob.commit_block_list([], metadata={_MARK: "1"}, **conditions)
    except HttpResponseError as error:
        if error_code(error) not in TAKEN:
            raise
        found = await _state(blob)
        if found is None:
            return None
        etag, metadata = found
        return etag if is_discarded(metadata) else None
    return str(answer["etag"])


async def _state(blob: BlobClient) -> tuple[str, Mapping[str, str]] | None:
    try:
        found = await blob.get_blob_properties()
    except HttpResponseError as error:
        if is_missing(error):
            return None
        raise
    return str(found.etag), found.metadata
