"""The file name in a Content-Disposition field (RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from shared.errors import InvalidRequestError
from shared.files.name import DEFAULT_NAME, checked_name

MAX_HEADER_CHARACTERS = 4096
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"[ \t]*{_WORD}[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^";\s]+)[ \t]*)?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CHARSETS = {"utf-8": "utf-8", "iso-8859-1": "latin-1"}
"""Those that RFC 8187 §3.2.1 and its predecessor name."""


def file_name(header: str | None) -> str:
    """The checked name; a default when none is given. Raises InvalidRequestError (``invalid-name``).

    ``filename*`` is taken before ``filename``, wherever they stand (RFC 6266 §4.3).
    """
    if header is None or not header.strip():
        return DEFAULT_NAME
    parameters = _parameters(_header_text(header))
    extended, plain = parameters.get("filename*"), parameters.get("filename")
    if extended is not None:
        return checked_name(_extended_value(extended))
    return DEFAULT_NAME if plain is None else checked_name(plain)


def _parameters(header: str) -> dict[str, str]:
    """The parameters by name in lower case, quotes taken off; the first of a name counts."""
    start = _TYPE.match(header) if len(header) <= MAX_HEADER_CHARACTERS else None
    if start is None:
        raise _unreadable()
    position = start.end()
    parameters: dict[str, str] = {}
    while position < len(header):
        match = _PARAMETER.match(header, position)
        if match is None:
            raise _unreadable()
        position = match.end()
        name, value = match.groups()
        if name is not None:
            parameters.setdefault(name.lower(), _unquoted(value))
    return parameters


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _extended_value(value: str) -> str:
    """``charset'language'percent-encoded`` (RFC 8187 §3.2.1)."""
    charset, first, rest = value.partition("'")
    _, second, encoded = rest.partition("'")
    codec = _CHARSETS.get(charset.lower())
    if not first or not second or codec is None or re.search(r"%(?![0-9A-Fa-f]{2})", encoded):
        raise _unreadable()
    try:
        return unquote_to_bytes(encoded).decode(codec)
    except UnicodeDecodeError:
        raise _unreadable() from None


def _header_text(header: str) -> str:
    """Header fields arrive as Latin-1; clients that break RFC 8187 send UTF-8, which is what they mean."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _unreadable() -> InvalidRequestError:
    return InvalidRequestError(
        "Content-Disposition cannot be read; write it as: attachment; filename*=UTF-8''report.pdf",
        code="invalid-name",
    )
