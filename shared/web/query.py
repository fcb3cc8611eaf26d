"""Query parameters: each given once, known by name, and refused by its name (``invalid-query``) otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from starlette.datastructures import QueryParams

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
"""Things on one page of a list."""
HOST_KEY: Final = "code"
"""A key of the Functions host, which it has looked at itself."""
_LIMIT: Final = re.compile(r"[0-9]{1,4}")
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_MAX_NAME_TOLD: Final = 40


def check_known(query: QueryParams, known: Set[str]) -> None:
    """Raise InvalidRequestError for a parameter that is not ``known``."""
    unknown = sorted(query.keys() - known - {HOST_KEY})
    if unknown:
        raise invalid(unknown[0][:_MAX_NAME_TOLD], "is not known here")


def single(query: QueryParams, name: str) -> str | None:
    """The parameter; None when it is not there."""
    values = query.getlist(name)
    if len(values) > 1:
        raise invalid(name, "can be given only once")
    return values[0] if values else None


def limit(query: QueryParams, default: int = DEFAULT_LIMIT) -> int:
    """How many are to be on the page."""
    text = single(query, "limit")
    if text is None:
        return default
    if _LIMIT.fullmatch(text) is None or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def flag(query: QueryParams, name: str) -> bool:
    """A parameter that is ``true`` or ``false``; false when it is not there."""
    value = single(query, name)
    if value is None:
        return False
    if value not in _FLAGS:
        raise invalid(name, "must be true or false")
    return _FLAGS[value]


def choice(query: QueryParams, name: str, choices: tuple[str, ...]) -> str:
    """A parameter that is one of ``choices``; the first when it is not there."""
    value = single(query, name)
    if value is not None and value not in choices:
        raise invalid(name, f"must be {' or '.join(choices)}")
    return value or choices[0]


def invalid(name: str, why: str) -> InvalidRequestError:
    """The error that names the parameter at fault."""
    return InvalidRequestError(f"The query parameter {name} {why}.", code="invalid-query")
