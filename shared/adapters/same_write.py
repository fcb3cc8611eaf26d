"""When a blob that is there already is the very one that was about to be made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import EntityExistsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import BlobProperties


def is_same_write(found: BlobProperties, asked: BlobProperties) -> bool:
    """Whether ``found`` has the size, type and metadata asked for.

    The answer to a write can be lost and the write sent again. Metadata carries the digest, the time and the
    trace of one upload, so two uploads do not share it.
    """
    return replace(found, etag="", metadata=_seen(found)) == replace(asked, etag="", metadata=_seen(asked))


def same_commit(found: BlobProperties, asked: BlobProperties, block_ids: Sequence[str]) -> BlobProperties:
    """``found`` if it is what the commit asked for makes; raises EntityExistsError if not.

    The size counts only for an empty list: the first commit threw the blocks away, and their sizes with them.
    """
    size_bytes = found.size_bytes if block_ids else 0
    if not is_same_write(found, replace(asked, size_bytes=size_bytes)):
        raise EntityExistsError(asked.name)
    return found


def _seen(blob: BlobProperties) -> dict[str, str]:
    """Metadata as header fields bring it back: names in any case, values without spaces around them."""
    return {name.lower(): value.strip() for name, value in blob.metadata.items()}
