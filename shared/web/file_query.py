"""Query parameters of the file routes. What cannot be taken is refused by its name (``invalid-query``)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.files.catalogue import FileFilter
from shared.files.file import FileStatus
from shared.files.name import MAX_NAME_BYTES
from shared.web.query import check_known, invalid, limit, single
from shared.web.rfc3339 import parsed

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.datastructures import QueryParams

_WORD = r"[!#$%&'+.^_`|~0-9a-z-]+"
_MEDIA_RANGE = re.compile(rf"{_WORD}/(?:{_WORD}|\*)|\*/\*")
_LIST_PARAMETERS = frozenset(
    {
        "limit",
        "cursor",
        "status",
        "content_type",
        "name_prefix",
        "created_after",
        "created_before",
    }
)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What ``GET /files`` asks for."""

    wanted: FileFilter
    limit: int
    cursor: str | None


def list_query(query: QueryParams) -> ListQuery:
    """Read the parameters; raises InvalidRequestError that names the one at fault."""
    check_known(query, _LIST_PARAMETERS)
    filters = FileFilter(
        content_type=_content_type(single(query, "content_type")),
        name_prefix=_name_prefix(single(query, "name_prefix")),
        created_after=_instant("created_after", single(query, "created_after")),
        created_before=_instant("created_before", single(query, "created_before")),
        **({"statuses": _statuses(query.getlist("status"))} if "status" in query else {}),
    )
    return ListQuery(filters, limit(query), single(query, "cursor"))


def _statuses(texts: list[str]) -> frozenset[FileStatus]:
    try:
        return frozenset(FileStatus(each.strip()) for text in texts for each in text.split(","))
    except ValueError:
        raise invalid("status", f"must be of: {', '.join(FileStatus)}") from None


def _content_type(text: str | None) -> str | None:
    if text is None:
        return None
    media_range = text.strip().lower()
    if _MEDIA_RANGE.fullmatch(media_range) is None:
        raise invalid("content_type", "must be a media type without parameters, or such as image/*")
    return media_range


def _name_prefix(text: str | None) -> str | None:
    if text is None:
        return None
    prefix = unicodedata.normalize("NFC", text)
    if len(prefix.encode(errors="replace")) > MAX_NAME_BYTES:
        raise invalid("name_prefix", f"is longer than {MAX_NAME_BYTES} bytes in UTF-8")
    return prefix


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsed(text.replace(" ", "+"))  # a plus sign that was not encoded
    except ValueError as error:
        raise invalid(name, str(error)) from None
