from __future__ import annotations

import json
from typing import Any

import pytest

from shared.adapters.memory import MemoryClock, MemorySender
from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels import Fault, Notification, Outcome, Verdict
from shared.notifications.channels.chat import ChatChannel, form_for
from shared.notifications.channels.chat_forms import plain_text, slack_blocks, teams_card
from shared.notifications.channels.target_policy import TargetPolicy
from shared.notifications.message import file_event
from shared.notifications.subscription import ChannelKind, EventType
from shared.ports import HttpAnswer
from tests.unit.shared import sample

SPAN = f"00-{'a' * 32}-{'c' * 16}-01"
SLACK = "https://hooks.slack.com/services/T0/B0/secret"
TEAMS = "https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=secret"
CONNECTOR = "https://contoso.webhook.office.com/webhookb2/1"
MATTERMOST = "https://chat.example/hooks/secret"
LINK = f"{sample.PUBLIC_URL}/api/v1/files/{sample.FILE_ID}"
HOSTILE = [
    "<!channel> <!everyone> <@U123> <https://evil.example|invoice.pdf>",
    "@everyone @all @here @channel",
    "[invoice](https://evil.example) https://evil.example www.evil.example",
    "`` ` ``` @all ` https://evil.example `",
    "&lt;!channel&gt; &#64;everyone",
    "<at>Everyone</at> **bold** # head",
    "a\r\nb\u2028c\u202egnp.exe",
]


async def deliver(sender: MemorySender, target: str = MATTERMOST, **file: Any) -> Outcome:
    channel = ChatChannel(sender, TargetPolicy(), MemoryClock(sample.NOW))
    subscription = sample.subscription(channel=ChannelKind.CHAT, target=target)
    event = file_event(sample.file(**file), EventType.FILE_STORED, source=sample.PUBLIC_URL)
    told = Notification(sample.delivery().id, subscription, event, "correlation-1", SPAN)
    return await channel.deliver(told, timeout_seconds=7)


async def posted(target: str, **file: Any) -> Any:
    sender = MemorySender()
    await deliver(sender, target, **file)
    ((_, _, body),) = sender.posts
    assert len(body) < 8192
    return json.loads(body)


@pytest.mark.parametrize(
    "target", ["", "no URL", "ftp://chat.example/", "https://10.0.0.1/", "http://chat.example/"]
)
async def test_a_target_that_the_policy_forbids_is_rejected_and_nothing_is_posted(target: str) -> None:
    sender = MemorySender()
    assert (await deliver(sender, target)).verdict is Verdict.REJECTED
    assert not sender.posts


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("hooks.slack.com", slack_blocks),
        ("hooks.slack-gov.com", slack_blocks),
        ("prod-1.westeurope.logic.azure.com", teams_card),
        ("default1.2.environment.api.powerplatform.com", teams_card),
        ("contoso.webhook.office.com", teams_card),
        ("slack.com", plain_text),
        ("hooks.slack.com.evil.example", plain_text),
        ("evilhooks.slack.com", plain_text),
        ("evillogic.azure.com", plain_text),
        ("logic.azure.com", plain_text),
        ("chat.example", plain_text),
    ],
)
def test_the_host_decides_upon_the_form(host: str, form: Any) -> None:
    assert form_for(host) is form


async def test_the_host_is_read_as_the_sender_reads_it() -> None:
    assert "blocks" in await posted("https://HOOKS.slack.com./services/1")
    assert "blocks" not in await posted("https://chat.example/hooks.slack.com")


@pytest.mark.parametrize("name", HOSTILE)
async def test_slack_gets_users_words_as_plain_text_only(name: str) -> None:
    message = await posted(SLACK, name=name)
    title, facts, context = message["blocks"]
    for text in (title["text"], *facts["fields"]):
        assert (text["type"], text["emoji"]) == ("plain_text", False)
    assert context["elements"] == [
        {"type": "mrkdwn", "text": f"<{LINK}|Open the file's record>", "verbatim": True}
    ]
    assert "<" not in message["text"]
    assert ">" not in message["text"]
    assert message["mrkdwn"] is message["link_names"] is message["unfurl_links"] is False


async def test_slacks_notification_text_is_escaped_once() -> None:
    assert (await posted(SLACK, name="A&B <1>.txt"))["text"] == "File stored: A&amp;B &lt;1&gt;.txt"


@pytest.mark.parametrize("name", HOSTILE)
async def test_teams_gets_users_words_in_text_runs_only(name: str) -> None:
    message = await posted(TEAMS, name=name)
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert message["type"] == "message"
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the file's record", "url": LINK}]
    assert "msteams" not in card  # where mentions would be


@pytest.mark.parametrize("name", HOSTILE)
async def test_other_chats_get_users_words_as_code_that_nothing_ends(name: str) -> None:
    message = await posted(MATTERMOST, name=name)
    assert list(message) == ["text"]
    first, *_, last = message["text"].split("\n")
    before, shown, after = first.split("`")
    assert (before, after, last) == ("File stored: ", "", LINK)
    assert not set("<>&@") & set(shown)
    assert "\u202e" not in shown


@pytest.mark.parametrize("target", [SLACK, TEAMS, CONNECTOR, MATTERMOST])
async def test_a_long_name_makes_no_long_message(target: str) -> None:
    await posted(
        target,
        name="😀" * 10_000,
        content_type="😀" * 10_000,
        reason="😀" * 10_000,
        labels={"a": "b" * 10_000},
    )


async def test_the_name_the_size_and_the_type_are_told() -> None:
    for target in (SLACK, TEAMS, MATTERMOST):
        text = json.dumps(await posted(target), ensure_ascii=False)
        assert all(word in text for word in ("File stored", "résumé.pdf", "5 bytes", "application/pdf"))


async def test_the_post_can_be_followed() -> None:
    sender = MemorySender()
    await deliver(sender, SLACK)
    ((url, headers, _),) = sender.posts
    assert url == SLACK
    assert headers == {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Dropbell/1",
        "traceparent": SPAN,
        "x-correlation-id": "correlation-1",
    }
    assert sender.timeouts_seconds == [7]


@pytest.mark.parametrize(
    ("target", "status", "said", "verdict", "gone", "fault"),
    [
        (SLACK, 200, b"ok", Verdict.DELIVERED, False, Fault.TARGET),
        (SLACK, 404, b"no_service", Verdict.REJECTED, True, Fault.TARGET),
        (SLACK, 404, b"", Verdict.REJECTED, True, Fault.TARGET),
        (SLACK, 403, b"invalid_token", Verdict.REJECTED, True, Fault.TARGET),
        (SLACK, 403, b"action_prohibited", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (SLACK, 410, b"channel_is_archived", Verdict.REJECTED, True, Fault.TARGET),
        (SLACK, 400, b"invalid_payload", Verdict.REJECTED, False, Fault.OURS),
        (SLACK, 400, b"user_not_found", Verdict.REJECTED, True, Fault.TARGET),
        (SLACK, 429, b"rate_limited", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (SLACK, 500, b"rollup_error", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (TEAMS, 202, b"", Verdict.DELIVERED, False, Fault.TARGET),
        (TEAMS, 400, b"{}", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (TEAMS, 404, b"{}", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (CONNECTOR, 200, b"1", Verdict.DELIVERED, False, Fault.TARGET),
        (
            CONNECTOR,
            200,
            b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
            Verdict.TRY_AGAIN,
            False,
            Fault.TARGET,
        ),
        (MATTERMOST, 200, b"ok", Verdict.DELIVERED, False, Fault.TARGET),
        (MATTERMOST, 302, b"", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (MATTERMOST, 400, b"invalid_payload", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (MATTERMOST, 404, b"no_service", Verdict.TRY_AGAIN, False, Fault.TARGET),
        (MATTERMOST, 410, b"", Verdict.REJECTED, True, Fault.TARGET),
    ],
)
async def test_the_answer_decides_as_the_chat_means_it(
    target: str, status: int, said: bytes, verdict: Verdict, gone: bool, fault: Fault
) -> None:
    outcome = await deliver(MemorySender(HttpAnswer(status, body_start=said)), target)
    assert (outcome.verdict, outcome.target_gone, outcome.whose_fault) == (verdict, gone, fault)
    assert outcome.status_code == status


async def test_how_long_the_chat_wants_to_be_left_alone_is_kept() -> None:
    outcome = await deliver(MemorySender(HttpAnswer(429, "30")), SLACK)
    assert outcome.retry_after_seconds == 30


async def test_no_answer_is_tried_again_and_a_forbidden_address_is_not() -> None:
    failed = await deliver(MemorySender(TargetFailedError("no answer")))
    refused = await deliver(MemorySender(TargetNotAllowedError("not a public address")))
    assert (failed.verdict, refused.verdict) == (Verdict.TRY_AGAIN, Verdict.REJECTED)
