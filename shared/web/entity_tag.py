"""Entity tags of the API (RFC 9110 §8.8.3)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.files.file import File

_TAG_HEX_DIGITS = 20
_REVISION_HEX_DIGITS = 12


def entity_tag(row_etag: str) -> str:
    """A strong tag for the state of a row, quotes included.

    The Table service's own tag is weak and holds the time of change; If-Match compares strongly (§13.1.1).
    """
    return f'"{_digest(row_etag)[:_TAG_HEX_DIGITS]}"'


def file_tag(file: File, *, beside: str = "") -> str:
    """A strong tag for a file as it is told, quotes included: ``"<revision part>.<row part>"``.

    The whole tag changes with every byte that is told; ``beside`` is what is told beyond the row. It serves
    If-None-Match. The revision part changes only when somebody edits the file. If-Match exists to keep one
    editor from overwriting another's work (§13.1.1), and a delivery that goes on meanwhile is nobody's work:
    were it to count, an edit right after an upload would fail for no reason that its author could see.
    """
    return f'"{revision_part(file)}.{_digest(file.etag + beside)[:_TAG_HEX_DIGITS]}"'


def content_tag(file: File) -> str:
    """A strong tag for the file's bytes, quotes included: their digest, for they never change."""
    return f'"{file.sha256}"'


def revision_part(file: File) -> str:
    """What If-Match compares."""
    return _digest(f"{file.id} {file.revision}")[:_REVISION_HEX_DIGITS]


def revision_part_of(opaque_tag: str) -> str:
    """The revision part of a tag that a client sends back, without its quotes."""
    return opaque_tag.partition(".")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
