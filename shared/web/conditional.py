"""Conditional requests: what If-Match, If-None-Match, If-Modified-Since and If-Range ask (RFC 9110 §13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError, PreconditionFailedError, PreconditionMissingError
from shared.web.entity_tag import revision_part, revision_part_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from shared.files.file import File

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+")
"""Between the members of a list; empty members are read over (RFC 9110 §5.6.1.2)."""


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The tags of an If-Match or If-None-Match field, without their quotes."""

    anything: bool = False
    """The field is ``*``: whatever there is."""
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def include(self, tag: str) -> bool:
        """Strong comparison (§8.8.3.2) with a strong tag, quotes included."""
        return self.anything or tag.strip('"') in self.strong

    def resemble(self, tag: str) -> bool:
        """Weak comparison with a strong tag, quotes included."""
        return self.anything or tag.strip('"') in self.strong | self.weak


def entity_tags(field: str) -> EntityTags | None:
    """Read the field; None when it cannot be read."""
    text = field.strip(" \t")
    if text == "*":
        return EntityTags(anything=True)
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    position = 0
    while position < len(text):
        tag = _TAG.match(text, position)
        if tag is None:
            return None
        kinds[tag[1] is None].add(tag[2])
        separator = _SEPARATOR.match(text, tag.end())
        if separator is None:
            if tag.end() < len(text):
                return None
            break
        position = separator.end()
    if not kinds[True] and not kinds[False]:
        return None
    return EntityTags(strong=frozenset(kinds[True]), weak=frozenset(kinds[False]))


def field(request: Request, name: str) -> str | None:
    """A header field; one sent more than once is joined, as HTTP reads it (RFC 9110 §5.3)."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def edits(request: Request, *, required: bool) -> Callable[[File], bool]:
    """Whether a file is in a revision that the request wants to change, as its If-Match says.

    Raises PreconditionMissingError where the field is required, InvalidRequestError where it cannot be read:
    to act as if it had not been sent would overwrite what it was meant to protect.
    """
    text = field(request, "if-match")
    if text is None:
        if required:
            raise PreconditionMissingError(
                "Send the file's ETag in If-Match, so that nobody else's change is overwritten."
            )
        return lambda _file: True
    tags = entity_tags(text)
    if tags is None:
        raise InvalidRequestError('If-Match must be * or a list of entity tags such as "a1b2.c3d4".')
    revisions = {revision_part_of(tag) for tag in tags.strong}
    return lambda file: tags.anything or revision_part(file) in revisions


def check_precondition(request: Request, tag: str) -> None:
    """Raise PreconditionFailedError when If-Match names other tags than that of what is there."""
    text = field(request, "if-match")
    tags = None if text is None else entity_tags(text)
    if tags is not None and not tags.include(tag):
        raise PreconditionFailedError("This is not the version you asked for.")


def is_not_modified(request: Request, tag: str, modified_at: datetime | None = None) -> bool:
    """Whether the client holds what it would be sent, so that 304 says it all (§13.1.2, §13.1.3).

    A field that cannot be read asks for nothing. If-None-Match overrides If-Modified-Since.
    """
    text = field(request, "if-none-match")
    if text is not None:
        tags = entity_tags(text)
        return tags is not None and tags.resemble(tag)
    since = _http_date(field(request, "if-modified-since"))
    return since is not None and modified_at is not None and modified_at.replace(microsecond=0) <= since


def allows_range(request: Request, tag: str) -> bool:
    """Whether the client's earlier part is of the same bytes, as If-Range says (§13.1.5).

    A date never is proof enough: it tells no two versions of one second apart. The client gets the whole.
    """
    text = field(request, "if-range")
    return text is None or text.strip(" \t") == tag


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # also for a zone that no clock could show
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
