from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.entra.directory import BUILT_IN, App, load_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = App(
    name="cli",
    client_id="2347bf2a-0e1d-47aa-bd7e-66fe6bf875ab",
    object_id="22b88fa7-560a-4dbb-96f0-dfb247d74bed",
    redirect_uris=("http://localhost", "http://127.0.0.1/signed-in", "https://dropbell.example/in"),
)


def test_the_built_in_tenant_has_its_callers() -> None:
    directory = load_directory()
    assert [user.name for user in directory.users] == ["alice", "bob", "olga"]
    assert directory.user("OLGA@dropbell.example") is directory.user("olga")
    assert directory.public_client() is directory.app("dropbell-cli")
    assert directory.app("55f622b2-0ab4-48dc-86ac-29f7a125db22") is directory.app("ingest-app")
    assert directory.user("mallory") is None
    assert directory.app("mallory") is None


def a_bad_guid(content: dict[str, Any]) -> None:
    content["tenant_id"] = "common"


def a_missing_field(content: dict[str, Any]) -> None:
    del content["api"]["app_id_uri"]


def a_misspelt_field(content: dict[str, Any]) -> None:
    content["users"][0]["rolls"] = []


def two_users_of_one_name(content: dict[str, Any]) -> None:
    content["users"][1]["name"] = "alice"


def one_object_id_twice(content: dict[str, Any]) -> None:
    content["users"][1]["object_id"] = content["apps"][0]["object_id"]


def an_undefined_role(content: dict[str, Any]) -> None:
    content["users"][0]["roles"] = ["Emperor"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (a_bad_guid, "tenant_id"),
        (a_missing_field, "app_id_uri"),
        (a_misspelt_field, "rolls"),
        (two_users_of_one_name, "share the user name alice"),
        (one_object_id_twice, "share the object id"),
        (an_undefined_role, "Emperor"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    content = json.loads(BUILT_IN.read_text())
    spoil(content)
    file = tmp_path / "directory.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=complaint):
        load_directory(file)


@pytest.mark.parametrize(
    ("uri", "registered"),
    [
        ("http://localhost", True),
        ("http://localhost:4711/", True),
        ("http://127.0.0.1:4711/signed-in", True),
        ("https://dropbell.example/in", True),
        ("http://127.0.0.1:4711", False),
        ("http://localhost:4711/?next=evil", False),
        ("http://localhost:4711/#fragment", False),
        ("https://localhost", False),
        ("http://localhost.attacker.example", False),
        ("https://dropbell.example:444/in", False),
        ("https://dropbell.example/in/", False),
        ("http://[bad", False),
        ("", False),
    ],
)
def test_only_the_port_of_a_loopback_redirect_is_free(uri: str, registered: bool) -> None:
    assert APP.redirects_to(uri) is registered
