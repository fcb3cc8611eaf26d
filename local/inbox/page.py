"""The inbox as a web page.

Everything that arrived is hostile: it is escaped here, and the Content-Security-Policy allows nothing but the
page's own style and script, known by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from local.inbox.messages import Email, Message, Webhook, parse_json, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SHOWN_MESSAGES = 200
MAX_SHOWN_CHARACTERS = 20_000
FIRST_ERROR_STATUS = 400

_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash_source(_STYLE)}",
        f"script-src {_hash_source(_SCRIPT)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def render(messages: Sequence[Message], revision: int) -> str:
    """Return the page: the newest of ``messages`` first. A new ``revision`` makes an open page redraw."""
    shown = messages[-MAX_SHOWN_MESSAGES:][::-1]
    items = "\n".join(map(_message, shown))
    older = len(messages) - len(shown)
    count = f"{len(messages)} message{'' if len(messages) == 1 else 's'}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Dropbell inbox</title>
<style>{_STYLE}</style>
<noscript><meta http-equiv="refresh" content="3"></noscript>
</head>
<body>
<header><h1>Inbox</h1><p id="state" role="status">{count}</p></header>
<main id="messages" data-revision="{revision}">
{f"<ol>{items}</ol>" if shown else _EMPTY}
{f'<p class="quiet">… and {older} older.</p>' if older else ""}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


_EMPTY = (
    '<p class="quiet">Nothing has arrived yet. Send a webhook to any path under <code>/hooks/</code>, '
    "or an e-mail to the SMTP port.</p>"
)


def _message(message: Message) -> str:
    if isinstance(message, Webhook):
        title = f'<span class="kind">{escape(message.method)}</span> <b>{escape(message.path)}</b>'
        badge, detail = _signature_badge(message), _webhook_detail(message)
    else:
        title = f'<span class="kind">e-mail</span> <b>{escape(message.subject or "(no subject)")}</b>'
        badge, detail = "", _email_detail(message)
    time = rfc3339(message.received_at)
    return f"""<li><details id="m-{escape(message.id)}">
<summary><span class="what">{title}</span><span class="facts">{badge}{_answer_badge(message.answered_status)}
<time datetime="{time}" title="{time}">{time[11:-1]}</time></span></summary>
{detail}
</details></li>"""


def _signature_badge(webhook: Webhook) -> str:
    check = webhook.signature
    if check.verified is None:
        return '<span class="badge plain">signature not checked</span>'
    if check.verified:
        return '<span class="badge good">signature verified</span>'
    return f'<span class="badge bad">signature: {escape((check.reason or "wrong").replace("_", " "))}</span>'


def _answer_badge(status: int) -> str:
    return (
        f'<span class="badge {"bad" if status >= FIRST_ERROR_STATUS else "plain"}">answered {status}</span>'
    )


def _webhook_detail(webhook: Webhook) -> str:
    value = parse_json(webhook.body)
    text = (
        webhook.body.decode(errors="replace")
        if value is None
        else json.dumps(value, indent=2, ensure_ascii=False)
    )
    return _block("Body", text) + _table("Headers", webhook.headers)


def _email_detail(message: Email) -> str:
    facts = {"From": message.sender, "To": ", ".join(message.envelope_to)}
    if message.attachments:
        facts["Attachments"] = ", ".join(message.attachments)
    return (
        _table("Envelope", facts)
        + ("" if message.text is None else _block("Text", message.text))
        # Shown as source on purpose: nothing of a message is ever rendered.
        + ("" if message.html is None else _block("HTML source", message.html))
        + _table("Headers", message.headers)
    )


def _block(title: str, text: str) -> str:
    shown = text[:MAX_SHOWN_CHARACTERS]
    cut = len(text) - len(shown)
    rest = f'<p class="quiet">… and {cut} characters more.</p>' if cut else ""
    return f"<h2>{title}</h2><pre tabindex=0>{escape(shown) or '(empty)'}</pre>{rest}"


def _table(title: str, fields: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th scope=row>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in fields.items())
    return f"<h2>{title}</h2><table>{rows}</table>"
