"""What is said of an upload before its bytes, and what uploads may be."""

from __future__ import annotations

from dataclasses import dataclass

from shared.files.blocks import BLOCK_BYTES, MAX_BLOCKS


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What is known of an upload before its bytes."""

    owner: str
    name: str
    content_type: str
    length_bytes: int | None
    """None: told later."""
    correlation_id: str
    traceparent: str
    client_metadata: str = ""
    partial: bool = False
    expected_sha256: str | None = None
    """Of the whole file, hexadecimal."""
    expected_sha512: str | None = None
    tenant: str = ""
    """The partition of the owner's tenant."""


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """The limits of uploads."""

    max_file_bytes: int
    expires_seconds: float = 86_400
    """After the last byte came in, so long an unfinished upload is kept; so long, too, what became of it."""
    block_bytes: int = BLOCK_BYTES
    max_blocks: int = MAX_BLOCKS
