from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from local.inbox.signatures import UNCHECKED, VERIFIED, Reason, check_signature, parse_secret

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = '{"name": "grüße"}'


def signed(
    secret: str = SECRET, *, at: datetime = NOW, changes: dict[str, str] | None = None
) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, BODY),
    } | (changes or {})


def test_a_request_is_unchecked_while_no_secret_is_known() -> None:
    assert check_signature([], signed(), BODY.encode(), NOW) == UNCHECKED


@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET.removeprefix("whsec_").rstrip("=")]])
def test_any_known_secret_verifies(secrets: list[str]) -> None:
    assert check_signature(secrets, signed(), BODY.encode(), NOW) == VERIFIED


def test_one_of_several_signatures_is_enough_while_a_secret_is_rotated() -> None:
    both = f"v1a,unknown {signed(OTHER)['webhook-signature']} {signed()['webhook-signature']}"
    assert (
        check_signature([SECRET], signed(changes={"webhook-signature": both}), BODY.encode(), NOW) == VERIFIED
    )


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.MISSING_HEADERS),
        (signed(changes={"webhook-id": ""}), Reason.MISSING_HEADERS),
        (signed(changes={"webhook-timestamp": "now"}), Reason.MALFORMED_TIMESTAMP),
        (signed(changes={"webhook-timestamp": "9" * 30}), Reason.MALFORMED_TIMESTAMP),
        (signed(changes={"webhook-timestamp": "\N{SUPERSCRIPT TWO}"}), Reason.MALFORMED_TIMESTAMP),
        (signed(at=NOW - timedelta(minutes=6)), Reason.TIMESTAMP_TOO_OLD),
        (signed(at=NOW + timedelta(minutes=6)), Reason.TIMESTAMP_TOO_NEW),
        (signed(changes={"webhook-signature": "v1"}), Reason.MALFORMED_SIGNATURE),
        (signed(changes={"webhook-signature": "v1,%%%"}), Reason.MALFORMED_SIGNATURE),
        (signed(changes={"webhook-signature": "v1,gr\u00fc\u00dfe"}), Reason.MALFORMED_SIGNATURE),
        (signed(OTHER), Reason.NO_MATCHING_SIGNATURE),
        (signed(changes={"webhook-id": "msg_2"}), Reason.NO_MATCHING_SIGNATURE),
    ],
)
def test_a_failed_check_names_its_reason(headers: dict[str, str], reason: Reason) -> None:
    check = check_signature([SECRET], headers, BODY.encode(), NOW)
    assert (check.verified, check.reason) == (False, reason)


def test_a_changed_body_does_not_verify() -> None:
    check = check_signature([SECRET], signed(), BODY.encode() + b" ", NOW)
    assert check.reason is Reason.NO_MATCHING_SIGNATURE


def test_a_body_that_is_not_utf8_is_said_to_be_so() -> None:
    assert check_signature([SECRET], signed(), b"\xff", NOW).reason is Reason.BODY_NOT_UTF8


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_%%%", "whsec_a", "whsec_\u00e9"])
def test_an_unusable_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        parse_secret(text)
