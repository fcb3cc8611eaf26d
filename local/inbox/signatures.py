"""Check Standard Webhooks signatures and say in one word why a check failed.

Format and tolerance: Standard Webhooks specification, https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVERY_PATH = "*"
TOLERANCE = timedelta(minutes=5)


class Reason(StrEnum):
    """Why a signature did not verify."""

    MISSING_HEADERS = "missing_headers"
    MALFORMED_TIMESTAMP = "malformed_timestamp"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    BODY_NOT_UTF8 = "body_not_utf8"
    MALFORMED_SIGNATURE = "malformed_signature"
    NO_MATCHING_SIGNATURE = "no_matching_signature"


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Outcome of one check; ``verified`` is None while no secret is known for the path."""

    verified: bool | None
    reason: Reason | None = None


UNCHECKED = SignatureCheck(verified=None)
VERIFIED = SignatureCheck(verified=True)


def check_signature(
    secrets: Iterable[str], headers: Mapping[str, str], body: bytes, received_at: datetime
) -> SignatureCheck:
    """Verify one request against every secret known for its path.

    The library's own ``verify`` compares with the present time; a secret may arrive long after the request,
    so the tolerance is measured here, from the time of receipt.

    Args:
        secrets: Secrets accepted by ``parse_secret``; several while one is being rotated.
        headers: Request headers by lower-case name.
        body: The bytes as they arrived.
        received_at: Time of receipt, with time zone.
    """
    keys = list(secrets)
    if not keys:
        return UNCHECKED
    message_id, timestamp_text, signatures_text = (
        headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
    )
    if not (message_id and timestamp_text and signatures_text):
        return SignatureCheck(verified=False, reason=Reason.MISSING_HEADERS)
    timestamp = _parse_timestamp(timestamp_text)
    if timestamp is None:
        return SignatureCheck(verified=False, reason=Reason.MALFORMED_TIMESTAMP)
    if timestamp < received_at - TOLERANCE:
        return SignatureCheck(verified=False, reason=Reason.TIMESTAMP_TOO_OLD)
    if timestamp > received_at + TOLERANCE:
        return SignatureCheck(verified=False, reason=Reason.TIMESTAMP_TOO_NEW)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return SignatureCheck(verified=False, reason=Reason.BODY_NOT_UTF8)
    given = _parse_signatures(signatures_text)
    if not given:
        return SignatureCheck(verified=False, reason=Reason.MALFORMED_SIGNATURE)
    for key in keys:
        signature = Webhook(key).sign(message_id, timestamp, text)
        expected = base64.b64decode(signature.removeprefix("v1,"))
        if any(hmac.compare_digest(expected, candidate) for candidate in given):
            return VERIFIED
    return SignatureCheck(verified=False, reason=Reason.NO_MATCHING_SIGNATURE)


def parse_secret(text: str) -> str:
    """Return ``text`` when it is a usable secret: base64 of at least one byte, with or without ``whsec_``.

    Raises:
        ValueError: It is not.
    """
    encoded = text.removeprefix("whsec_")
    try:
        # The library pads unpadded base64 in the same way.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:  # binascii.Error is one, and so is the refusal of what is not ASCII
        key = b""
    if not key:
        raise ValueError("secret must be base64, usually behind the prefix 'whsec_'.")
    return text


def _parse_timestamp(text: str) -> datetime | None:
    if not (text.isascii() and text.isdecimal()):
        return None
    try:
        return datetime.fromtimestamp(int(text), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _parse_signatures(text: str) -> list[bytes]:
    """Return the readable ``v1`` signatures of a space-delimited list; other versions are not judged."""
    signatures = []
    for item in text.split():
        version, _, encoded = item.partition(",")
        if version != "v1":
            continue
        try:
            signatures.append(base64.b64decode(encoded, validate=True))
        except ValueError:
            continue
    return [signature for signature in signatures if signature]
