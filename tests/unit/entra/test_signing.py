from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from local.entra.signing import KeyRing, SigningKey

if TYPE_CHECKING:
    from pathlib import Path


def test_kept_keys_are_found_again_and_are_for_the_owners_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "signing_keys.json"
    ring = KeyRing.open(path)
    ring.roll_over(revoke=False)
    assert [key.kid for key in KeyRing.open(path).keys] == [key.kid for key in ring.keys]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rollover_keeps_or_drops_the_old_key() -> None:
    ring = KeyRing.open(None)
    first = ring.active
    ring.roll_over(revoke=False)
    assert ring.active != first
    assert first in ring.keys
    ring.roll_over(revoke=True)
    assert ring.keys == [ring.active]


def test_the_key_id_is_the_thumbprint() -> None:
    """The example of RFC 7638 §3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    assert SigningKey.thumbprint({"kty": "RSA", "e": "AQAB", "n": modulus}) == (
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"private_keys_pem": []}', '{"private_keys_pem": [7]}', '{"private_keys_pem": ["x"]}'],
)
def test_a_damaged_key_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "signing_keys.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"signing_keys\.json .* delete it"):
        KeyRing.open(path)
