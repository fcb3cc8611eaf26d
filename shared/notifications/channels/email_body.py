"""The two bodies of a mail: plain text, and HTML that loads nothing from anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shared.notifications.channels.announcement import Announcement

LINK_WORDS: Final = "The file's record (asks for an access token)"
_FONT: Final = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"


def text_body(announcement: Announcement, public_url: str, unsubscribe_url: str) -> str:
    """The mail as plain text."""
    facts = _facts(announcement)
    width = max(len(label) for label, _ in facts)
    lines = [announcement.headline, ""]
    lines += [f"{label:<{width}}  {value}" for label, value in facts]
    if announcement.url is not None:
        lines += ["", f"{LINK_WORDS}:", announcement.url]
    lines += ["", "-- ", _why(public_url), f"Unsubscribe: {unsubscribe_url}", ""]
    return "\n".join(lines)


def html_body(announcement: Announcement, public_url: str, unsubscribe_url: str) -> str:
    """The mail as HTML. Styles are inline, since mail programs drop style sheets."""
    rows = "".join(
        f'<tr><th scope="row" style="padding:2px 16px 2px 0;text-align:left;vertical-align:top;'
        f'font-weight:normal;opacity:.7">{escape(label)}</th>'
        f'<td style="padding:2px 0;overflow-wrap:anywhere"><bdi>{escape(value)}</bdi></td></tr>\n'
        for label, value in _facts(announcement)
    )
    link = (
        ""
        if announcement.url is None
        else f'<p style="margin:20px 0 0"><a href="{escape(announcement.url)}">{LINK_WORDS}</a></p>\n'
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(announcement.title)}</title>\n</head>\n"
        f'<body style="margin:0;padding:24px;{_FONT};font-size:16px;line-height:1.5">\n'
        '<div style="max-width:560px;margin:0 auto">\n'
        f'<h1 style="margin:0 0 12px;font-size:20px">{escape(announcement.headline)}</h1>\n'
        f'<table style="border-collapse:collapse">\n{rows}</table>\n'
        f"{link}"
        '<p style="margin:28px 0 0;padding-top:12px;border-top:1px solid #8888;font-size:13px;opacity:.7">'
        f"{escape(_why(public_url))}\n"
        f'<a href="{escape(unsubscribe_url)}">Unsubscribe</a></p>\n'
        "</div>\n</body>\n</html>\n"
    )


def _facts(announcement: Announcement) -> tuple[tuple[str, str], ...]:
    name = () if announcement.name is None else (("Name", announcement.name),)
    return (*name, *announcement.facts)


def _why(public_url: str) -> str:
    return f"You get this mail because this address is subscribed to news of files at {public_url}."
