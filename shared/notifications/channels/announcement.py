"""An event in words for people: what e-mail and chat say, before either gives it a form.

Everything in it is one line, printable and bounded; none of it is escaped yet.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from shared.notifications.message import EVENT_TYPE_PREFIX, EVENT_TYPE_SUFFIX
from shared.notifications.subscription import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.notifications.message import CloudEvent

MAX_NAME_CHARACTERS: Final = 100
MAX_FACT_CHARACTERS: Final = 200
MAX_URL_CHARACTERS: Final = 2048

_TEST: Final = "subscription.test"
_DISABLED: Final = "subscription.disabled"
_HEADLINES: Final[Mapping[str, str]] = {
    EventType.FILE_STORED: "File stored",
    EventType.FILE_UPDATED: "File changed",
    EventType.FILE_DELETED: "File deleted",
    EventType.FILE_REJECTED: "File rejected",
    EventType.UPLOAD_EXPIRED: "Upload expired",
    _TEST: "Test message",
    _DISABLED: "Subscription disabled",
}
_ANY_HEADLINE: Final = "News"
_LINKED: Final = frozenset({EventType.FILE_STORED, EventType.FILE_UPDATED, EventType.FILE_REJECTED})
"""After these there is something to look at."""

_UNPRINTABLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and format characters (text that runs backwards), surrogates, line and paragraph separators."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Zero-width (non-)joiner: format characters that Persian, Indic scripts and emoji need."""
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True, slots=True)
class Announcement:
    """What happened."""

    headline: str
    name: str | None
    """The file's, as its owner gave it."""
    facts: tuple[tuple[str, str], ...]
    """Label and value, in the order to show them; the name is not among them."""
    url: str | None
    """Where the file's record is; reading it needs a token."""

    @property
    def title(self) -> str:
        """The headline, and the name where there is one."""
        return self.headline if self.name is None else f"{self.headline}: {self.name}"


def announcement_of(event: CloudEvent) -> Announcement:
    """The event in words; one of an unknown type, or without a file, is announced all the same."""
    kind = event.type.removeprefix(EVENT_TYPE_PREFIX).removesuffix(EVENT_TYPE_SUFFIX)
    file = event.data.get("file")
    file = file if isinstance(file, dict) else {}
    name = file.get("name")
    return Announcement(
        headline=_HEADLINES.get(kind, _ANY_HEADLINE),
        name=one_line(name, MAX_NAME_CHARACTERS) if isinstance(name, str) and name else None,
        facts=tuple((label, one_line(value, MAX_FACT_CHARACTERS)) for label, value in _facts(event, file)),
        url=_url(event, file) if kind in _LINKED else None,
    )


def one_line(text: str, max_characters: int) -> str:
    """``text`` without what moves or hides other text (U+FFFD instead), cut to ``max_characters``."""
    shown = "".join("\ufffd" if _is_unprintable(c) else c for c in text)
    return shown if len(shown) <= max_characters else f"{shown[: max_characters - 1]}…"


def size_in_words(size_bytes: int) -> str:
    """``1 byte``, ``999 bytes``, ``1.5 MB``: decimal units (IEC 80000-13), rounded to one place."""
    for unit_bytes, unit in _UNITS:
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"


def _facts(event: CloudEvent, file: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(message := event.data.get("message"), str):
        yield "Message", message
    if isinstance(reason := file.get("reason"), str):
        yield "Reason", reason
    if isinstance(size_bytes := file.get("size_bytes"), int):
        yield "Size", size_in_words(size_bytes)
    if isinstance(content_type := file.get("content_type"), str):
        yield "Type", content_type
    yield "Time", f"{event.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _url(event: CloudEvent, file: Mapping[str, Any]) -> str | None:
    """The file's URL, if it leads to the service itself."""
    url = file.get("url")
    if not isinstance(url, str) or not url.startswith(f"{event.source.rstrip('/')}/"):
        return None
    return url if len(url) <= MAX_URL_CHARACTERS and url.isascii() and url.isprintable() else None


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE_CATEGORIES and character not in _JOINERS
