"""The forms of a chat message.

Each keeps what users wrote out of the reach of the chat's markup: by a kind of text that has none, where the
chat knows one, and else by characters that look alike. All stay below 8 KB, since an announcement is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shared.notifications.channels.announcement import Announcement

type Json = dict[str, object]

LINK_WORDS: Final = "Open the file's record"

_SLACK_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""https://docs.slack.dev/messaging/formatting-message-text, "Escaping text"."""
_LOOK_ALIKES: Final = str.maketrans(
    {
        "`": "\u02cb",  # would end the code span
        "<": "\u2039",  # would begin a link or <!channel> in what is compatible with Slack
        ">": "\u203a",
        "&": "\uff06",  # "&lt;" could become "<" again
        "@": "\uff20",  # some look for @all before they look for code
    }
)


def slack_blocks(announcement: Announcement) -> Json:
    """For Slack's incoming webhooks: users' words as ``plain_text`` objects, which have no markup.

    ``text`` is what notifications show; Slack reads it as markup, so it is escaped.
    """
    blocks: list[Json] = [
        {"type": "section", "text": _slack_plain(announcement.title)},
        {
            "type": "section",
            "fields": [_slack_plain(f"{label}\n{value}") for label, value in announcement.facts],
        },
    ]
    if announcement.url is not None:
        link = f"<{announcement.url.translate(_SLACK_ESCAPES)}|{LINK_WORDS}>"
        context = {"type": "mrkdwn", "text": link, "verbatim": True}
        blocks.append({"type": "context", "elements": [context]})
    return {
        "text": announcement.title.translate(_SLACK_ESCAPES),
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def _slack_plain(text: str) -> Json:
    return {"type": "plain_text", "text": text, "emoji": False}


def teams_card(announcement: Announcement) -> Json:
    """For Workflows in Teams: an Adaptive Card in a message.

    ``TextRun`` has no Markdown (https://adaptivecards.io/explorer/TextRun.html), unlike ``TextBlock`` and
    ``Fact``; a mention would need an entity of its own, of which there is none.
    """
    body = [_teams_line((announcement.title, {"weight": "Bolder", "size": "Medium"}))]
    body += [
        _teams_line((f"{label}: ", {"isSubtle": True}), (value, {})) for label, value in announcement.facts
    ]
    actions = []
    if announcement.url is not None:
        actions.append({"type": "Action.OpenUrl", "title": LINK_WORDS, "url": announcement.url})
    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _teams_line(*runs: tuple[str, Json]) -> Json:
    inlines = [{"type": "TextRun", "text": text, **style} for text, style in runs]
    return {"type": "RichTextBlock", "inlines": inlines}


def plain_text(announcement: Announcement) -> Json:
    """For Mattermost, Rocket.Chat, Discord's ``/slack`` and the like: Markdown with users' words as code.

    In a code span nothing is a link or a mention; what could end the span, or means something before
    Markdown is read, is replaced by characters that look alike.
    """
    first = announcement.headline
    if announcement.name is not None:
        first = f"{first}: {_code(announcement.name)}"
    lines = [first, *(f"{label}: {_code(value)}" for label, value in announcement.facts)]
    if announcement.url is not None:
        lines.append(announcement.url)
    return {"text": "\n".join(lines)}


def _code(text: str) -> str:
    return f"`{text.translate(_LOOK_ALIKES)}`"
