"""A file as the catalogue knows it: its states, its row, its identity."""

from __future__ import annotations

import json
import secrets
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.files.name import from_metadata, to_metadata
from shared.ports import BlobProperties, Entity, Value
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping


class FileStatus(StrEnum):
    """Where a file is on its way.

    ::

        stored ──▶ announced ──▶ settled
           └───────(no subscriber)──▲

    ``receiving``, ``rejected`` and ``deleted`` join with resumable uploads, content checks and deletion.
    """

    STORED = "stored"
    """Every byte is in Blob Storage; subscribers are about to be told."""
    ANNOUNCED = "announced"
    """There is a delivery for every subscription that wants the file."""
    SETTLED = "settled"
    """No delivery is under way any more."""


TRANSITIONS: Mapping[FileStatus, frozenset[FileStatus]] = {
    FileStatus.STORED: frozenset({FileStatus.ANNOUNCED, FileStatus.SETTLED}),
    FileStatus.ANNOUNCED: frozenset({FileStatus.SETTLED}),
    FileStatus.SETTLED: frozenset(),
}


def new_file_id(now: datetime) -> str:
    """A UUIDv7 (RFC 9562 §5.7): sorts by creation time, says nothing else."""
    value = int(now.timestamp() * 1000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def newest_first(file_id: str) -> str:
    """A key part that sorts younger files before older ones: the complement of the id."""
    return f"{(1 << 128) - 1 - uuid.UUID(file_id).int:032x}"


def is_file_id(text: str) -> bool:
    """Whether ``text`` is a file id in its one canonical spelling."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def row_key(file_id: str) -> str:
    """The catalogue row of a file, within its owner's partition."""
    return f"file|{newest_first(file_id)}"


def blob_name(owner: str, file_id: str) -> str:
    """Where a file's bytes are, within the uploads container."""
    return f"{owner}/{file_id}"


@dataclass(frozen=True, slots=True)
class File:
    """One stored file."""

    id: str
    owner: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    """64 hexadecimal digits."""
    status: FileStatus
    correlation_id: str
    traceparent: str
    accepted_at: datetime
    stored_at: datetime
    updated_at: datetime
    announced_at: datetime | None = None
    settled_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    """The row's ETag; empty until it was written."""

    @property
    def trace_id(self) -> str:
        """The trace that follows this file, 32 hexadecimal digits."""
        return self.traceparent.split("-")[1]

    def moved_to(self, status: FileStatus, now: datetime) -> File:
        """The file one step further; raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a file cannot go from {self.status} to {status}")
        return replace(
            self,
            status=status,
            updated_at=now,
            announced_at=self.announced_at or now,
            settled_at=now if status is FileStatus.SETTLED else None,
        )


def to_entity(file: File) -> Entity:
    """The catalogue row."""
    values: dict[str, Value] = {
        "id": file.id,
        "name": file.name,
        "content_type": file.content_type,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "status": file.status.value,
        "correlation_id": file.correlation_id,
        "traceparent": file.traceparent,
        "accepted_at": file.accepted_at,
        "stored_at": file.stored_at,
        "updated_at": file.updated_at,
    }
    if file.announced_at:
        values["announced_at"] = file.announced_at
    if file.settled_at:
        values["settled_at"] = file.settled_at
    if file.labels:
        values["labels"] = json.dumps(dict(file.labels))
    return Entity(file.owner, row_key(file.id), values, file.etag)


def _instant(value: Value) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"a time was expected in the row, not {type(value).__name__}")
    return value


def from_entity(entity: Entity) -> File:
    """Read a catalogue row."""
    values = entity.values
    return File(
        id=str(values["id"]),
        owner=entity.partition_key,
        name=str(values["name"]),
        content_type=str(values["content_type"]),
        size_bytes=int(str(values["size_bytes"])),
        sha256=str(values["sha256"]),
        status=FileStatus(str(values["status"])),
        correlation_id=str(values["correlation_id"]),
        traceparent=str(values["traceparent"]),
        accepted_at=_instant(values["accepted_at"]),
        stored_at=_instant(values["stored_at"]),
        updated_at=_instant(values["updated_at"]),
        announced_at=_instant(values["announced_at"]) if "announced_at" in values else None,
        settled_at=_instant(values["settled_at"]) if "settled_at" in values else None,
        labels=json.loads(str(values.get("labels", "{}"))),
        etag=entity.etag,
    )


def to_blob_metadata(
    file_name: str,
    *,
    sha256: str,
    correlation_id: str,
    traceparent: str,
    accepted_at: datetime,
    stored_at: datetime,
) -> dict[str, str]:
    """What the blob itself says of the file, so that its row can be made again from the blob alone."""
    return {
        "name": to_metadata(file_name),
        "sha256": sha256,
        "correlation_id": correlation_id,
        "traceparent": traceparent,
        "accepted_at": accepted_at.isoformat(),
        "stored_at": stored_at.isoformat(),
    }


def from_blob(blob: BlobProperties) -> File:
    """The file as its blob tells it; raises ValueError when the blob is not one of ours.

    The request that stored the blob and the trigger that saw it both make the row from the same facts, so it
    does not matter which of them writes it.
    """
    owner, _, file_id = blob.name.partition("/")
    if not is_file_id(file_id):
        raise ValueError("the blob's name does not end in a file id")
    metadata = blob.metadata
    try:
        stored_at = datetime.fromisoformat(metadata["stored_at"])
        if TraceContext.parse(metadata["traceparent"]) is None:
            raise ValueError("the blob's traceparent is malformed")
        return File(
            id=file_id,
            owner=owner,
            name=from_metadata(metadata["name"]),
            content_type=blob.content_type,
            size_bytes=blob.size_bytes,
            sha256=metadata["sha256"],
            status=FileStatus.STORED,
            correlation_id=metadata["correlation_id"],
            traceparent=metadata["traceparent"],
            accepted_at=datetime.fromisoformat(metadata["accepted_at"]),
            stored_at=stored_at,
            updated_at=stored_at,
        )
    except KeyError as missing:
        raise ValueError(f"the blob lacks the metadata {missing}") from missing
