from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.adapters.memory import MemoryClock, MemorySender
from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels import Fault, Notification, Outcome, Verdict
from shared.notifications.channels.webhook import WebhookChannel, outcome_of
from shared.notifications.sealed_secret import SecretBox, new_secret
from shared.notifications.subscription import SealedSecret
from shared.ports import HttpAnswer
from tests.unit.shared import sample
from tests.unit.shared.sample import NOW, SECRET, SECRET_BOX

SPAN = f"00-{'a' * 32}-{'c' * 16}-01"


def notification(**changes: Any) -> Notification:
    subscription = sample.subscription(**changes)
    return Notification(sample.delivery().id, subscription, sample.message().event, "correlation-1", SPAN)


async def deliver(sender: MemorySender, now: datetime = NOW, **changes: Any) -> Outcome:
    channel = WebhookChannel(sender, SECRET_BOX, MemoryClock(now))
    return await channel.deliver(notification(**changes), timeout_seconds=7)


async def test_receivers_verify_the_signature_with_the_standard_library_of_webhooks() -> None:
    sender = MemorySender()
    await deliver(sender, now=datetime.now(UTC))  # the library refuses what is older than five minutes
    ((_, headers, body),) = sender.posts
    assert Webhook(SECRET).verify(body, dict(headers)) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", dict(headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, dict(headers))


async def test_the_request_is_a_structured_cloud_event_with_all_that_ties_it_to_its_upload() -> None:
    sender = MemorySender()
    await deliver(sender)
    ((url, headers, body),) = sender.posts
    assert url == "https://receiver.example/1"
    assert json.loads(body) == json.loads(sample.message().event.model_dump_json())
    assert {name: value for name, value in headers.items() if name != "webhook-signature"} == {
        "webhook-id": sample.delivery().id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "content-type": "application/cloudevents+json; charset=utf-8",
        "user-agent": "Dropbell/1",
        "traceparent": SPAN,
        "x-correlation-id": "correlation-1",
    }
    assert sender.timeouts_seconds == [7]
    assert SECRET not in f"{url}{headers}{body!r}"


async def test_a_retry_carries_the_same_id_and_a_signature_of_its_own_time() -> None:
    sender = MemorySender()
    await deliver(sender)
    await deliver(sender, now=NOW + timedelta(minutes=9))
    (_, first, _), (_, second, _) = sender.posts
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "verdict", "gone"),
    [
        (200, Verdict.DELIVERED, False),
        (204, Verdict.DELIVERED, False),
        (299, Verdict.DELIVERED, False),
        (301, Verdict.TRY_AGAIN, False),
        (307, Verdict.TRY_AGAIN, False),
        (400, Verdict.TRY_AGAIN, False),
        (401, Verdict.TRY_AGAIN, False),
        (404, Verdict.TRY_AGAIN, False),
        (408, Verdict.TRY_AGAIN, False),
        (410, Verdict.REJECTED, True),
        (429, Verdict.TRY_AGAIN, False),
        (500, Verdict.TRY_AGAIN, False),
        (503, Verdict.TRY_AGAIN, False),
        (599, Verdict.TRY_AGAIN, False),
    ],
)
async def test_the_answer_decides(status: int, verdict: Verdict, gone: bool) -> None:
    outcome = await deliver(MemorySender(HttpAnswer(status)))
    assert (outcome.verdict, outcome.target_gone, outcome.status_code) == (verdict, gone, status)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 13:01:00 +0100", 60),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(retry_after: str | None, seconds: float | None) -> None:
    assert outcome_of(HttpAnswer(503, retry_after), now=NOW).retry_after_seconds == seconds


async def test_no_answer_is_tried_again_and_a_forbidden_address_is_not() -> None:
    failed = await deliver(MemorySender(TargetFailedError("the target cannot be connected to")))
    refused = await deliver(MemorySender(TargetNotAllowedError("the target's address is not a public one")))
    assert (failed.verdict, failed.status_code) == (Verdict.TRY_AGAIN, None)
    assert (refused.verdict, refused.detail) == (Verdict.REJECTED, "the target's address is not a public one")
    assert (failed.whose_fault, refused.whose_fault) == (Fault.TARGET, Fault.TARGET)


async def test_a_secret_that_cannot_be_opened_is_our_failure_and_nothing_is_posted() -> None:
    sender = MemorySender()
    foreign = SealedSecret(SECRET_BOX.seal(SECRET, subscription_id="another"))
    outcome = await deliver(sender, secrets=(foreign,))
    assert (outcome.verdict, outcome.whose_fault) == (Verdict.TRY_AGAIN, Fault.OURS)
    assert not sender.posts


async def test_after_the_services_key_was_changed_a_rotation_mends_it_at_once() -> None:
    now = datetime.now(UTC)
    subscription_id = sample.subscription().id
    unreadable = SecretBox(b"x" * 32).seal(new_secret(), subscription_id=subscription_id)
    secrets = (
        SealedSecret(SECRET_BOX.seal(SECRET, subscription_id=subscription_id)),
        SealedSecret(unreadable, now + timedelta(hours=24)),
    )
    sender = MemorySender()
    outcome = await deliver(sender, now=now, secrets=secrets)
    assert outcome.verdict is Verdict.DELIVERED
    ((_, headers, body),) = sender.posts
    assert Webhook(SECRET).verify(body, dict(headers)) == json.loads(body)


async def test_while_a_secret_is_rotated_the_standard_library_of_webhooks_takes_either() -> None:
    now = datetime.now(UTC)
    other, retired = new_secret(), new_secret()
    id_ = sample.subscription().id
    secrets = (
        SealedSecret(SECRET_BOX.seal(other, subscription_id=id_)),
        SealedSecret(SECRET_BOX.seal(SECRET, subscription_id=id_), now + timedelta(seconds=1)),
        SealedSecret(SECRET_BOX.seal(retired, subscription_id=id_), now),
    )
    sender = MemorySender()
    await deliver(sender, now=now, secrets=secrets)
    ((_, headers, body),) = sender.posts
    for secret in (other, SECRET):
        assert Webhook(secret).verify(body, dict(headers)) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(retired).verify(body, dict(headers))


@pytest.mark.parametrize(
    ("body_start", "shown_as"),
    [
        (b"", None),
        (b" \r\n ", None),
        (b"no such user", "no such user"),
        (b"a\r\nb\tc", "a  b c"),
        (b"\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("\u202egnp.exe".encode(), "\ufffdgnp.exe"),
        (b"\x1f\x8b\x08", "\ufffd\ufffd\ufffd"),
        ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
        (b"x" * 1024, "x" * 256),
    ],
)
@pytest.mark.parametrize("status", [200, 410, 500])
async def test_the_start_of_the_answer_is_kept_as_harmless_text(
    status: int, body_start: bytes, shown_as: str | None
) -> None:
    outcome = await deliver(MemorySender(HttpAnswer(status, body_start=body_start)))
    assert outcome.answer_start == shown_as
