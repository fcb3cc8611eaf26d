"""What a client may declare its file to be (RFC 9110 §8.3.1)."""

from __future__ import annotations

import re

from shared.errors import UnsupportedMediaTypeError

DEFAULT_CONTENT_TYPE = "application/octet-stream"
"""What content without a declared type is (RFC 9110 §8.3)."""
MAX_CONTENT_TYPE_CHARACTERS = 255
FORM = "multipart/form-data"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
_MEDIA_TYPE = re.compile(rf"({_WORD}/{_WORD})(?:[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|{_QUOTED}))?)*[ \t]*")
"""Each space has one place only, so that no input makes the match slow."""
_ADDED_BY_TOOLS = "application/x-www-form-urlencoded"
"""curl and Python's urllib declare any body to be this when their user declares nothing."""


def essence(content_type: str) -> str:
    """The type and subtype in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(header: str | None) -> bool:
    """Whether the body is declared to be a form that holds the file."""
    return header is not None and essence(header) == FORM


def checked_content_type(header: str | None) -> str:
    """The declared media type; raises UnsupportedMediaTypeError for what is none or is a form."""
    if header is None or not header.strip():
        return DEFAULT_CONTENT_TYPE
    value = header.strip()
    match = _MEDIA_TYPE.fullmatch(value) if len(value) <= MAX_CONTENT_TYPE_CHARACTERS else None
    if match is None:
        raise UnsupportedMediaTypeError(
            "Content-Type must be a media type such as 'image/png' (RFC 9110 §8.3.1)."
        )
    media_type = match.group(1).lower()
    if media_type == FORM:
        raise UnsupportedMediaTypeError(
            "Send the file's bytes as the body itself, with its own Content-Type; forms are not taken here."
        )
    return DEFAULT_CONTENT_TYPE if media_type == _ADDED_BY_TOOLS else value
