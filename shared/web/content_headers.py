"""The header fields that go with a file's bytes, chosen so that no browser takes them for a page of ours."""

from __future__ import annotations

import base64
import unicodedata
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.web.entity_tag import content_tag

if TYPE_CHECKING:
    from shared.files.file import File

HARMLESS_TYPES = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "text/plain",
    }
)
"""What a browser may show by itself when it is asked to: nothing that can carry a script."""
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
"""What RFC 8187 §3.2.1 leaves as it is, beside letters and digits."""
_UNSAFE_IN_QUOTES = frozenset('"\\%')
"""RFC 6266 appendix D: agents disagree on escapes in quoted names."""


def validators(file: File) -> dict[str, str]:
    """What a 304 carries (RFC 9110 §15.4.5)."""
    return {
        "etag": content_tag(file),
        "last-modified": format_datetime(file.stored_at, usegmt=True),
        "cache-control": "private, no-cache",
    }


def of_content(file: File, *, inline: bool) -> dict[str, str]:
    """What goes with the bytes, the whole or a range of them."""
    return {
        **validators(file),
        "accept-ranges": "bytes",
        "content-type": file.content_type,
        "content-disposition": disposition(file, inline=inline),
        "repr-digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }


def disposition(file: File, *, inline: bool) -> str:
    """Content-Disposition (RFC 6266): the whole name for those who know RFC 8187, a plain one for the others.

    Inline is granted to harmless types only.
    """
    media_type = file.content_type.partition(";")[0].strip().lower()
    kind = "inline" if inline and media_type in HARMLESS_TYPES else "attachment"
    extended = quote(file.name, safe=_ATTRIBUTE_CHARACTERS)
    return f"{kind}; filename=\"{_plain(file.name)}\"; filename*=UTF-8''{extended}"


def _plain(name: str) -> str:
    """The name in ASCII, accents taken off, everything else replaced."""
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return "".join(
        c if c.isascii() and c.isprintable() and c not in _UNSAFE_IN_QUOTES else "_" for c in letters
    )
