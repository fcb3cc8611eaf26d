from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html import unescape

from local.inbox.messages import Email, Webhook
from local.inbox.page import CONTENT_SECURITY_POLICY, MAX_SHOWN_CHARACTERS, MAX_SHOWN_MESSAGES, render

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOSTILE = "\"'><script>alert(1)</script></pre></style><!--"


def webhook(number: int = 0, text: str = "{}") -> Webhook:
    return Webhook(str(number), NOW, text, f"/hooks/{text}", "", {text: text}, text.encode(), 200)


def test_nothing_that_arrived_becomes_markup() -> None:
    bad, several = HOSTILE, (HOSTILE,)
    mail = Email("m", NOW, bad, several, bad, bad, {"x": bad}, bad, bad, several, 1, 250)
    page = render([webhook(text=HOSTILE), mail], revision=1)
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 1
    assert page.count("</style>") == 1
    assert unescape(page).count(HOSTILE) >= 10


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_page() -> None:
    page = render([webhook()], revision=1)
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        (source,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "style=" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_newest_come_first_and_the_page_stays_small() -> None:
    text = "x" * 2 * MAX_SHOWN_CHARACTERS
    messages = [webhook(number, text) for number in range(MAX_SHOWN_MESSAGES + 5)]
    page = render(messages, revision=1)
    shown = re.findall(r'id="m-([0-9]+)"', page)
    assert shown == [str(number) for number in range(MAX_SHOWN_MESSAGES + 4, 4, -1)]
    assert "and 5 older" in page
    assert f"and {MAX_SHOWN_CHARACTERS} characters more" in page
