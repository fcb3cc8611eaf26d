"""Sign-in without an issuer: what goes wrong, and what is kept on disk."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from dropbell.errors import ConnectionFailedError, InputError
from dropbell.issuer import Token, lasting_token
from dropbell.service_sign_in import ClientCredentialSignIn
from dropbell.sign_in import BrowserSignIn, DeviceCode, DeviceCodeSignIn
from dropbell.token_store import forget_tokens, open_token_cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "http://localhost/tenant",
        "https://localhost",
        "https:///tenant",
        "https://localhost/a/b",
        "nonsense",
    ],
)
def test_an_authority_that_cannot_be_one_is_refused(authority: str) -> None:
    with pytest.raises(InputError, match="is not an authority"):
        ClientCredentialSignIn(authority, "id", "secret", "api://dropbell/.default")
    with pytest.raises(InputError, match="is not an authority"):
        DeviceCodeSignIn(authority, "id", ["api://dropbell/Files.Read"])
    with pytest.raises(InputError, match="is not an authority"):
        BrowserSignIn(authority, "id", ["api://dropbell/Files.Read"])


def test_an_issuer_that_is_not_there_is_a_failed_connection(closed_port: int) -> None:
    authority = f"https://localhost:{closed_port}/tenant"
    for sign_in in (
        ClientCredentialSignIn(authority, "id", "secret", "api://dropbell/.default"),
        DeviceCodeSignIn(authority, "id", ["api://dropbell/Files.Read"]),
        BrowserSignIn(authority, "id", ["api://dropbell/Files.Read"]),
    ):
        with pytest.raises(ConnectionFailedError, match="Could not connect to https://localhost"):
            sign_in.access_token()


@pytest.mark.parametrize(
    ("held", "expected", "asked"),
    [
        (Token("held", 899, is_new=False), "fresh", [False, True]),
        (Token("held", 900, is_new=False), "held", [False]),
        (Token("held", 60, is_new=True), "held", [False]),
    ],
)
def test_only_a_token_from_before_that_would_not_last_is_replaced(
    held: Token, expected: str, asked: list[bool]
) -> None:
    calls: list[bool] = []

    def acquire(force_refresh: bool) -> Token:
        calls.append(force_refresh)
        return Token("fresh", 3600, is_new=True) if force_refresh else held

    assert lasting_token(acquire, 900) == expected
    assert calls == asked


def test_a_token_does_not_show_itself_by_accident() -> None:
    assert "held" not in repr(Token("held", 1, is_new=True))


def test_a_device_code_says_what_to_do() -> None:
    sentence = DeviceCode("https://issuer/device", "ABCD-EFGH", 900).sentence
    assert "https://issuer/device" in sentence
    assert "ABCD-EFGH" in sentence
    assert "15 min" in sentence


def test_saved_tokens_are_encrypted_or_for_their_owner_only(tmp_path: Path) -> None:
    warnings: list[str] = []
    directory = tmp_path / "dropbell"
    cache = open_token_cache(directory, warnings.append)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    if not cache.is_encrypted:
        assert stat.S_IMODE((directory / "tokens.json").stat().st_mode) == 0o600
        assert len(warnings) == 1
        assert "unencrypted" in warnings[0]


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00\x01"])
def test_a_damaged_token_file_is_started_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokens.json").write_text(content)
    (tmp_path / "tokens.json").chmod(0o644)
    cache = open_token_cache(tmp_path)
    assert list(cache.search("AccessToken")) == []
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


def test_forgetting_removes_the_files_and_may_be_repeated(tmp_path: Path) -> None:
    open_token_cache(tmp_path)
    forget_tokens(tmp_path)
    forget_tokens(tmp_path)
    forget_tokens(tmp_path / "never-made")
    assert list(tmp_path.iterdir()) == []
