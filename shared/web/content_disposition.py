"""The file name in a Content-Disposition field (RFC 6266, RFC 8187)."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value

from shared.errors import InvalidRequestError
from shared.files.name import DEFAULT_NAME, checked_name


def file_name(header: str | None) -> str:
    """The checked name; a default when none is given. Raises InvalidRequestError (``invalid-name``)."""
    if header is None or not header.strip():
        return DEFAULT_NAME
    message = Message()
    try:
        message["content-disposition"] = _header_text(header)
        parameter = message.get_param("filename", header="content-disposition")
    except (ValueError, LookupError):
        raise _unreadable() from None
    if parameter is None:
        return DEFAULT_NAME
    try:
        name = collapse_rfc2231_value(parameter, errors="strict")
    except (ValueError, LookupError):
        raise _unreadable() from None
    return checked_name(name)


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
