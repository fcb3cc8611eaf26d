"""A file as the catalogue knows it: its states, its row, its identity."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.files.name import from_metadata, to_metadata
from shared.ledger.newer import newer
from shared.ports import BlobProperties, Entity, Value
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping


class FileStatus(StrEnum):
    """Where a file is on its way.

    ::

        receiving ──▶ stored ──▶ announced ──▶ settled
            │         │ │  └──(no subscriber)──▲  │
            ▼         │ └───────────┬─────────────┘
        rejected ◀────┘             ▼
            └──────────────────▶ deleted
    """

    RECEIVING = "receiving"
    """Bytes are coming in or being checked. There is an upload (``shared.files.upload``) and no file yet."""
    STORED = "stored"
    """Every byte is in Blob Storage; subscribers are about to be told, where files are scanned for malware
    once the verdict is there (``shared.files.scanning``)."""
    ANNOUNCED = "announced"
    """There is a delivery for every subscription that wants the file."""
    SETTLED = "settled"
    """No delivery is under way any more."""
    REJECTED = "rejected"
    """What arrived is not what was announced or allowed, or is malware; ``reason`` says why. Its bytes are
    not kept."""
    DELETED = "deleted"
    """Its owner has deleted it, or it expired; the bytes go at the next purge."""


TRANSITIONS: Mapping[FileStatus, frozenset[FileStatus]] = {
    FileStatus.RECEIVING: frozenset({FileStatus.STORED, FileStatus.REJECTED}),
    FileStatus.STORED: frozenset(
        {FileStatus.ANNOUNCED, FileStatus.SETTLED, FileStatus.REJECTED, FileStatus.DELETED}
    ),
    FileStatus.ANNOUNCED: frozenset({FileStatus.SETTLED, FileStatus.DELETED}),
    FileStatus.SETTLED: frozenset({FileStatus.DELETED}),
    FileStatus.REJECTED: frozenset({FileStatus.DELETED}),
    FileStatus.DELETED: frozenset(),
}

PUBLISHED = frozenset({FileStatus.STORED, FileStatus.ANNOUNCED, FileStatus.SETTLED})
"""The file can be read by its owner."""


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


ROW_KEYS = ("file|", "file}")
"""The range of all files of a partition, newest first."""

ANNOUNCE = "announce"
"""Entries of the due book for files whose BlobCreated event should have come by then."""
ANNOUNCE_SECONDS = 600
"""From when a file is about to be stored: longer than one request can take, and than an event is late."""

INCOMING = "incoming/"
"""Blobs below this are no files: what clients write themselves, and parts of uploads."""


def blob_name(owner: str, file_id: str) -> str:
    """Where a file's bytes are, within the uploads container."""
    return f"{owner}/{file_id}"


def incoming_blob_name(owner: str, file_id: str) -> str:
    """Where bytes wait that are not known to be a file yet."""
    return f"{INCOMING}{owner}/{file_id}"


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
    tenant: str = ""
    """The partition of its owner's tenant, for those who are told of all its files; empty for none."""
    expires_at: datetime | None = None
    """When it deletes itself; None for never."""
    deleted_at: datetime | None = None
    reason: str | None = None
    """Why it was rejected: an error code and a sentence."""
    revision: int = 0
    """How often somebody has changed what people can change; progress of deliveries does not count."""
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
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
        told = status in {FileStatus.ANNOUNCED, FileStatus.SETTLED}
        return replace(
            self,
            status=status,
            updated_at=now,
            announced_at=self.announced_at or (now if told else None),
            settled_at=now if status is FileStatus.SETTLED else self.settled_at,
            deleted_at=now if status is FileStatus.DELETED else None,
        )


_OPTIONAL_INSTANTS = ("announced_at", "settled_at", "expires_at", "deleted_at")
_KNOWN = frozenset(each.name for each in fields(File))


def to_entity(file: File) -> Entity:
    """The catalogue row."""
    values: dict[str, Value] = {
        **file.newer,
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
    for name in _OPTIONAL_INSTANTS:
        instant = getattr(file, name)
        if instant is not None:
            values[name] = instant
    if file.labels:
        values["labels"] = json.dumps(dict(file.labels))
    if file.reason is not None:
        values["reason"] = file.reason
    if file.revision:
        values["revision"] = file.revision
    if file.tenant:
        values["tenant"] = file.tenant
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
        **{name: _instant(values[name]) for name in _OPTIONAL_INSTANTS if name in values},
        labels=json.loads(str(values.get("labels", "{}"))),
        reason=str(values["reason"]) if "reason" in values else None,
        revision=int(str(values.get("revision", 0))),
        tenant=str(values.get("tenant", "")),
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
    )


def to_blob_metadata(
    file_name: str,
    *,
    sha256: str | None,
    correlation_id: str,
    traceparent: str,
    accepted_at: datetime,
    stored_at: datetime,
    labels: Mapping[str, str] | None = None,
    tenant: str = "",
) -> dict[str, str]:
    """What the blob itself says of the file, so that its row can be made again from the blob alone.

    Without the digest, where it is not known yet, the blob has to be read once before it is a file.
    """
    return {
        "name": to_metadata(file_name),
        **({"sha256": sha256} if sha256 else {}),
        "correlation_id": correlation_id,
        "traceparent": traceparent,
        "accepted_at": accepted_at.isoformat(),
        "stored_at": stored_at.isoformat(),
        **({"labels": labels_metadata(labels)} if labels else {}),
        **({"tenant": tenant} if tenant else {}),
    }


def labels_metadata(labels: Mapping[str, str]) -> str:
    """Labels as blob metadata takes them: ASCII."""
    return base64.b64encode(json.dumps(dict(labels), ensure_ascii=False).encode()).decode()


def _labels(metadata: Mapping[str, str]) -> dict[str, str]:
    told: dict[str, str] = json.loads(base64.b64decode(metadata["labels"])) if "labels" in metadata else {}
    return told


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
            labels=_labels(metadata),
            tenant=metadata.get("tenant", ""),
        )
    except KeyError as missing:
        raise ValueError(f"the blob lacks the metadata {missing}") from missing
