"""The header fields of answers, by name: one place for what each means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.web.openapi.operation import JsonSchema


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field of an answer's header."""

    meaning: str
    schema: JsonSchema


_TEXT: Final[JsonSchema] = {"type": "string"}
_COUNT: Final[JsonSchema] = {"type": "integer", "minimum": 0}
_DIGEST: Final[JsonSchema] = {
    "type": "string",
    "examples": ["sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"],
}

CORRELATION: Final = "X-Correlation-ID"

HEADER_FIELDS: Final[Mapping[str, HeaderField]] = {
    CORRELATION: HeaderField(
        "The request's own X-Correlation-ID, or a new one. Quote it when you ask about the request.",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    ),
    "Accept": HeaderField("The media types that are taken.", _TEXT),
    "Accept-Patch": HeaderField("The media types that PATCH takes (RFC 5789).", _TEXT),
    "Accept-Ranges": HeaderField(
        "That ranges of bytes can be asked for.", {"type": "string", "const": "bytes"}
    ),
    "Allow": HeaderField("The methods that the resource takes.", _TEXT),
    "Cache-Control": HeaderField("How long the answer may be kept (RFC 9111).", _TEXT),
    "Content-Disposition": HeaderField("The file's name (RFC 6266).", _TEXT),
    "Content-Location": HeaderField("Where the file is that the answer holds.", _TEXT),
    "Content-Range": HeaderField("Which bytes these are, of how many (RFC 9110 §14.4).", _TEXT),
    "Content-Security-Policy": HeaderField("Keeps the page from loading or running anything.", _TEXT),
    "Dropbell-File-Id": HeaderField("The id of the file that a finished upload has become.", _TEXT),
    "ETag": HeaderField(
        "The version, for If-Match and If-None-Match.", {"type": "string", "pattern": '^"[^"]+"$'}
    ),
    "Idempotent-Replayed": HeaderField(
        "true when the answer is that of an earlier request with the same Idempotency-Key.",
        {"type": "string", "const": "true"},
    ),
    "Last-Modified": HeaderField("When the file was stored.", _TEXT),
    "Location": HeaderField(
        "Where the new resource is, or where to go on.", {"type": "string", "format": "uri-reference"}
    ),
    "RateLimit": HeaderField(
        "How much of the allowance is left, and when it is whole again (RateLimit header fields for HTTP).",
        _TEXT,
    ),
    "RateLimit-Policy": HeaderField("The allowance (RateLimit header fields for HTTP).", _TEXT),
    "Repr-Digest": HeaderField("Digest of the whole file (RFC 9530).", _DIGEST),
    "Retry-After": HeaderField("Seconds to wait before the next try.", _COUNT),
    "Tus-Resumable": HeaderField("Version of the tus protocol.", {"type": "string", "const": "1.0.0"}),
    "Tus-Version": HeaderField("Versions of the tus protocol that are spoken.", _TEXT),
    "Tus-Extension": HeaderField("Extensions of the tus protocol that are spoken.", _TEXT),
    "Tus-Max-Size": HeaderField("Bytes that an upload can have at most.", _COUNT),
    "Tus-Checksum-Algorithm": HeaderField("Algorithms that Upload-Checksum can name.", _TEXT),
    "Upload-Complete": HeaderField(
        "?1 once all bytes are here (resumable uploads for HTTP).", {"type": "string", "enum": ["?0", "?1"]}
    ),
    "Upload-Concat": HeaderField("The part that the upload has in a concatenation (tus).", _TEXT),
    "Upload-Defer-Length": HeaderField("1 while the length is not known (tus).", _TEXT),
    "Upload-Draft-Interop-Version": HeaderField("Revision of the draft that the answer follows.", _TEXT),
    "Upload-Expires": HeaderField("When an unfinished upload is removed (tus).", _TEXT),
    "Upload-Incomplete": HeaderField(
        "Revisions of the draft before 4: the reverse of Upload-Complete.", _TEXT
    ),
    "Upload-Length": HeaderField("Bytes that the upload will have.", _COUNT),
    "Upload-Limit": HeaderField("Limits of the upload (resumable uploads for HTTP).", _TEXT),
    "Upload-Metadata": HeaderField("The metadata that the upload was made with (tus).", _TEXT),
    "Upload-Offset": HeaderField("Bytes that have arrived and will be kept.", _COUNT),
    "Vary": HeaderField("Request fields that the answer depends on.", _TEXT),
    "Want-Content-Digest": HeaderField("The digests that are known (RFC 9530 §4).", _TEXT),
    "Want-Repr-Digest": HeaderField("The digests that are known (RFC 9530 §4).", _TEXT),
    "WWW-Authenticate": HeaderField(
        "What is wrong with the token, and the scope to ask for (RFC 6750 §3).", _TEXT
    ),
}

LIMITS: Final = ("RateLimit", "RateLimit-Policy")
"""Fields that every answer to a signed-in caller can have."""
OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {401: ("WWW-Authenticate",)}
"""Fields that every error of a status has."""
SOMETIMES_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    403: ("WWW-Authenticate",),
    400: ("Want-Content-Digest", "Want-Repr-Digest"),
    409: ("Upload-Offset", "Retry-After"),
    412: ("Tus-Version",),
    413: ("Upload-Limit",),
    415: ("Accept", "Accept-Patch"),
    416: ("Content-Range",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
"""Fields that an error of a status can have."""
