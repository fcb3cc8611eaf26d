from __future__ import annotations

import pytest

from local.entra.directory import load_directory
from local.entra.oauth_error import OAuthError
from local.entra.scopes import parse_scopes

API = load_directory().api


def test_names_come_short_in_the_apis_order_and_as_they_were_asked_for() -> None:
    scopes = parse_scopes("openid api://dropbell/Files.ReadWrite api://dropbell/Files.Read", API)
    assert scopes.api == ("Files.Read", "Files.ReadWrite")
    assert scopes.answer == ("api://dropbell/Files.ReadWrite", "api://dropbell/Files.Read")
    assert scopes.openid == {"openid"}
    assert not scopes.only_default


@pytest.mark.parametrize("resource", ["api://dropbell", f"api://{API.client_id}", API.client_id])
def test_default_means_all_that_is_consented(resource: str) -> None:
    scopes = parse_scopes(f"{resource}/.default", API)
    assert scopes.api == API.scopes
    assert f"{resource}/Deliveries.Read" in scopes.answer
    assert f"{resource}/.default" in scopes.answer
    assert scopes.only_default


@pytest.mark.parametrize(
    "parameter",
    [
        "",
        "openid offline_access",
        "Files.Read",
        "api://dropbell/",
        "api://dropbell/files.read",
        "api://dropbell/Files.Read.All",
        "api://dropbell//Files.Read",
        "api://other/Files.Read",
        "api://dropbell/Files.Read https://graph.microsoft.com/User.Read",
        "/.default",
    ],
)
def test_a_scope_that_is_not_there_is_refused(parameter: str) -> None:
    with pytest.raises(OAuthError) as refused:
        parse_scopes(parameter, API)
    assert refused.value.code == "invalid_scope"
