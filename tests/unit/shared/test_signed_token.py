from __future__ import annotations

import pytest

from shared.ledger.signed_token import Signer

KEY = bytes(range(32))
SIGNER = Signer(KEY, "cursor")


@pytest.mark.parametrize("payload", [b"", b"x", b"any \x00 bytes \xff" * 20])
def test_what_was_signed_is_read_again(payload: bytes) -> None:
    text = SIGNER.sign(payload)
    assert SIGNER.read(text) == payload
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    ["", "A", "AAAA", "A" * 22, "é" * 30, "not base64 !", SIGNER.sign(b"x") + "=", SIGNER.sign(b"x")[:-1]],
)
def test_what_nobody_signed_is_not_believed(text: str) -> None:
    assert SIGNER.read(text) is None


def test_every_changed_character_is_noticed() -> None:
    text = SIGNER.sign(b"row-key")
    for index in range(len(text)):
        other = "A" if text[index] != "A" else "B"
        assert SIGNER.read(text[:index] + other + text[index + 1 :]) is None


def test_a_text_for_another_purpose_or_by_another_key_is_not_believed() -> None:
    assert Signer(KEY, "share-link").read(SIGNER.sign(b"x")) is None
    assert Signer(bytes(32), "cursor").read(SIGNER.sign(b"x")) is None
