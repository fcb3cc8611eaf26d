from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.notifications.sealed_secret import KEY_BYTES, SecretBox, new_secret

BOX = SecretBox(b"k" * KEY_BYTES)


@given(st.text(), st.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_what_is_sealed_can_be_opened(secret: str, subscription_id: str) -> None:
    assert (
        BOX.open(BOX.seal(secret, subscription_id=subscription_id), subscription_id=subscription_id) == secret
    )


def test_the_sealed_secret_shows_nothing_and_is_never_the_same_twice() -> None:
    one, other = (BOX.seal("whsec_planted", subscription_id="s") for _ in range(2))
    assert one != other
    assert b"planted" not in base64.b64decode(one)


def test_another_key_another_subscription_or_a_changed_byte_opens_nothing() -> None:
    sealed = BOX.seal("whsec_planted", subscription_id="one")
    raw = bytearray(base64.b64decode(sealed))
    raw[-1] ^= 1
    attempts = [
        (SecretBox(b"x" * KEY_BYTES), sealed, "one"),
        (BOX, sealed, "other"),
        (BOX, base64.b64encode(raw).decode(), "one"),
        (BOX, "", "one"),
        (BOX, "AAAA", "one"),
        (BOX, "no base64!", "one"),
    ]
    for box, text, subscription_id in attempts:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is checked below
            box.open(text, subscription_id=subscription_id)
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 33])
def test_the_key_must_have_its_length(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretBox(key)


def test_a_new_secret_has_the_form_of_standard_webhooks() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    assert new_secret() != secret
