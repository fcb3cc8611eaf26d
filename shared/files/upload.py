"""An upload under way: its states and its row. It has the id of the file that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.files.file import blob_name, incoming_blob_name, newest_first
from shared.ledger.newer import newer
from shared.ports import Entity, Value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ROW_KEYS = ("upload|", "upload}")
"""The range of all uploads of a partition, newest first."""


class UploadKind(StrEnum):
    """Who writes the blob."""

    RESUMABLE = "resumable"
    """We do, in requests that each append (tus, the IETF draft)."""
    DIRECT = "direct"
    """The client does, by a URL that lets it."""


class UploadStatus(StrEnum):
    """Where an upload is on its way.

    ::

        open ──▶ complete ──▶ finished
          │ │        └──────▶ rejected
          │ └──(direct: checked at once)──▶ finished | rejected
          └──▶ ended
    """

    OPEN = "open"
    """Bytes can be added."""
    COMPLETE = "complete"
    """Every byte is there. From here on it goes forward only, whoever carries it on."""
    FINISHED = "finished"
    """There is a file. Of a part of an upload: it can be joined to others."""
    REJECTED = "rejected"
    """What arrived is not what was announced or allowed."""
    ENDED = "ended"
    """Called off by its owner, or expired. What is left of it goes."""


TRANSITIONS: Mapping[UploadStatus, frozenset[UploadStatus]] = {
    UploadStatus.OPEN: frozenset(
        {UploadStatus.COMPLETE, UploadStatus.FINISHED, UploadStatus.REJECTED, UploadStatus.ENDED}
    ),
    UploadStatus.COMPLETE: frozenset({UploadStatus.FINISHED, UploadStatus.REJECTED}),
    UploadStatus.FINISHED: frozenset({UploadStatus.ENDED}),
    UploadStatus.REJECTED: frozenset({UploadStatus.ENDED}),
    UploadStatus.ENDED: frozenset(),
}

UNDER_WAY = frozenset({UploadStatus.OPEN, UploadStatus.COMPLETE})


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload."""

    id: str
    owner: str
    kind: UploadKind
    status: UploadStatus
    name: str
    content_type: str
    length_bytes: int | None
    """Of the whole; None while it is not known."""
    correlation_id: str
    traceparent: str
    created_at: datetime
    updated_at: datetime
    """When its bytes or its status last changed; of a complete one: when it was complete."""
    expires_at: datetime
    offset_bytes: int = 0
    """How many bytes are safe. More may be while somebody is writing."""
    epoch: int = 0
    """Counts those who took the right to write; only the last one has it."""
    writing: bool = False
    """Somebody took the right to write and has not given it back, or has crashed."""
    all_or_nothing: bool = False
    """What is being written counts only when all of it is there: a checksum covers it."""
    blocks: int = 0
    partial: bool = False
    """It becomes no file but a part of one (tus concatenation)."""
    parts: tuple[str, ...] = ()
    """The uploads that this one joins."""
    joined_by: str = ""
    """The upload that this part goes into."""
    expected_sha256: str | None = None
    """What the client says the digest is, 64 hexadecimal digits."""
    expected_sha512: str | None = None
    sha256: str | None = None
    """Of a complete one, where writing has told it."""
    client_metadata: str = ""
    """What the client wants to be told again (``Upload-Metadata`` of tus), as sent."""
    tenant: str = ""
    """The partition of its owner's tenant."""
    charged_bytes: int = 0
    """Counted against the owner's quota."""
    claimed_until: datetime | None = None
    """Until then somebody is reading it before it is published."""
    reason: str | None = None
    newer: Mapping[str, Value] = field(default_factory=dict)
    """What only a newer version knows; kept as it is."""
    etag: str = ""

    @property
    def blob_name(self) -> str:
        """Where its bytes go."""
        place = incoming_blob_name if self.partial or self.kind is UploadKind.DIRECT else blob_name
        return place(self.owner, self.id)

    @property
    def charged_files(self) -> int:
        """Counted against the owner's quota."""
        return 0 if self.partial else 1

    @property
    def is_complete(self) -> bool:
        """Whether every byte is there."""
        return self.status in {UploadStatus.COMPLETE, UploadStatus.FINISHED}

    def moved_to(self, status: UploadStatus, now: datetime, *, reason: str | None = None) -> Upload:
        """The upload one step further; raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"an upload cannot go from {self.status} to {status}")
        return replace(self, status=status, updated_at=now, reason=reason, writing=False)


def row_key(upload_id: str) -> str:
    """The row of an upload, within its owner's partition."""
    return f"upload|{newest_first(upload_id)}"


_OPTIONAL = ("length_bytes", "expected_sha256", "expected_sha512", "sha256", "reason", "claimed_until")
_PLAIN = (
    *(
        "id",
        "name",
        "content_type",
        "correlation_id",
        "traceparent",
        "created_at",
        "updated_at",
        "expires_at",
    ),
    *("offset_bytes", "epoch", "writing", "all_or_nothing", "blocks", "partial", "client_metadata"),
    *("charged_bytes", "tenant", "joined_by"),
)
_KNOWN = frozenset(each.name for each in fields(Upload))


def to_entity(upload: Upload) -> Entity:
    """The row of an upload."""
    values: dict[str, Value] = {**upload.newer} | {name: getattr(upload, name) for name in _PLAIN}
    values |= {name: value for name in _OPTIONAL if (value := getattr(upload, name)) is not None}
    values |= {"kind": upload.kind.value, "status": upload.status.value, "parts": ",".join(upload.parts)}
    return Entity(upload.owner, row_key(upload.id), values, upload.etag)


def from_entity(entity: Entity) -> Upload:
    """Read the row of an upload."""
    values = entity.values
    known = {name: values[name] for name in (*_PLAIN, *_OPTIONAL) if name in values}
    return Upload(
        owner=entity.partition_key,
        kind=UploadKind(str(values["kind"])),
        status=UploadStatus(str(values["status"])),
        parts=tuple(filter(None, str(values["parts"]).split(","))),
        newer=newer(entity, _KNOWN),
        etag=entity.etag,
        **{"length_bytes": None, **known},  # type: ignore[arg-type]  # the row holds what to_entity wrote
    )
