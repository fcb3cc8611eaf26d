"""Which source of a setting wins, and what a damaged file does."""

from __future__ import annotations

from pathlib import Path

import pytest

from dropbell.settings import (
    DEFAULT_SCOPES,
    Settings,
    config_directory,
    forget_settings,
    load_settings,
    resolve_settings,
    save_settings,
)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"scopes": 7}', "\xff"])
def test_damaged_settings_count_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content, encoding="latin-1")
    assert load_settings(tmp_path) == Settings()


def test_what_is_saved_is_loaded_until_it_is_forgotten(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "dropbell"
    settings = Settings("https://api", "https://issuer/tenant", "id", None, ("a", "b"))
    save_settings(directory, settings)
    assert load_settings(directory) == settings
    assert [path.name for path in directory.iterdir()] == ["settings.json"]
    forget_settings(directory)
    forget_settings(directory)
    assert load_settings(directory) == Settings()


def test_an_option_wins_over_the_environment_and_that_over_what_is_saved() -> None:
    saved = Settings(api="saved", authority="saved", client_id="saved")
    environment = {"DROPBELL_API": "env", "DROPBELL_AUTHORITY": "env", "DROPBELL_CA_FILE": ""}
    chosen = resolve_settings({"api": "option", "scopes": None}, environment, saved)
    assert chosen == Settings("option", "env", "saved", None, DEFAULT_SCOPES)


def test_scopes_are_a_list_from_either_source() -> None:
    assert resolve_settings({"scopes": ["x y"]}, {}, Settings()).scopes == ("x y",)
    assert resolve_settings({}, {"DROPBELL_SCOPES": "x y"}, Settings()).scopes == ("x", "y")


def test_the_place_of_the_sign_in_can_be_chosen() -> None:
    assert config_directory({"DROPBELL_CONFIG_DIR": "/here", "HOME": "/home/me"}) == Path("/here")
    assert config_directory({"HOME": "/home/me"}).is_relative_to("/home/me")
