"""Query parameters of the file routes. What cannot be taken is refused by its name (``invalid-query``)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError
from shared.files.catalogue import FileFilter
from shared.files.file import FileStatus
from shared.files.name import MAX_NAME_BYTES
from shared.web.rfc3339 import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.datastructures import QueryParams

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_LIMIT = re.compile(r"[0-9]{1,4}")
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
        "code",  # a key of the Functions host, which it has looked at itself
    }
)
_FLAGS: Mapping[str, bool] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What ``GET /files`` asks for."""

    wanted: FileFilter
    limit: int
    cursor: str | None


def list_query(query: QueryParams) -> ListQuery:
    """Read the parameters; raises InvalidRequestError that names the one at fault."""
    unknown = sorted(query.keys() - _LIST_PARAMETERS)
    if unknown:
        raise _invalid(unknown[0][:40], "is not known here")
    filters = FileFilter(
        content_type=_content_type(_single(query, "content_type")),
        name_prefix=_name_prefix(_single(query, "name_prefix")),
        created_after=_instant("created_after", _single(query, "created_after")),
        created_before=_instant("created_before", _single(query, "created_before")),
        **({"statuses": _statuses(query.getlist("status"))} if "status" in query else {}),
    )
    return ListQuery(filters, _limit(_single(query, "limit")), _single(query, "cursor"))


def flag(query: QueryParams, name: str) -> bool:
    """A parameter that is ``true`` or ``false``; false when it is not there."""
    value = _single(query, name)
    if value is None:
        return False
    if value not in _FLAGS:
        raise _invalid(name, "must be true or false")
    return _FLAGS[value]


def choice(query: QueryParams, name: str, choices: tuple[str, ...]) -> str:
    """A parameter that is one of ``choices``; the first when it is not there."""
    value = _single(query, name)
    if value is not None and value not in choices:
        raise _invalid(name, f"must be {' or '.join(choices)}")
    return value or choices[0]


def _single(query: QueryParams, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise _invalid(name, "can be given only once")
    return values[0] if values else None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if _LIMIT.fullmatch(text) is None or not 1 <= int(text) <= MAX_LIMIT:
        raise _invalid("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _statuses(texts: list[str]) -> frozenset[FileStatus]:
    try:
        return frozenset(FileStatus(each.strip()) for text in texts for each in text.split(","))
    except ValueError:
        raise _invalid("status", f"must be of: {', '.join(FileStatus)}") from None


def _content_type(text: str | None) -> str | None:
    if text is None:
        return None
    media_range = text.strip().lower()
    if _MEDIA_RANGE.fullmatch(media_range) is None:
        raise _invalid("content_type", "must be a media type without parameters, or such as image/*")
    return media_range


def _name_prefix(text: str | None) -> str | None:
    if text is None:
        return None
    prefix = unicodedata.normalize("NFC", text)
    if len(prefix.encode(errors="replace")) > MAX_NAME_BYTES:
        raise _invalid("name_prefix", f"is longer than {MAX_NAME_BYTES} bytes in UTF-8")
    return prefix


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsed(text.replace(" ", "+"))  # a plus sign that was not encoded
    except ValueError as error:
        raise _invalid(name, str(error)) from None


def _invalid(name: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The query parameter {name} {why}.", code="invalid-query")
