"""Whose tokens are believed, as the environment says it; and what is said when it makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.settings import SettingsError, read_settings

EXAMPLE: dict[str, str] = json.loads(
    (Path(__file__).parent.parent.parent / "local.settings.json.example").read_text()
)["Values"]
TENANT = "abcdef11-1111-4111-8111-111111111111"
PARTNER = "abcdef11-2222-4222-8222-222222222222"
OIDC = {"kind": "oidc", "issuer": "https://people.example/", "audiences": ["api"]}


def issuers(**environment: Any) -> dict[str, str]:
    """The trusted issuers and their discovery documents."""
    texts = {
        f"DROPBELL_TOKEN_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in environment.items()
    }
    found = read_settings(EXAMPLE | texts).token_policy.by_name
    return {name: issuer.discovery_url for name, issuer in found.items()}


def test_one_tenant() -> None:
    issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert issuers(ISSUER=issuer) == {issuer: f"{issuer}/.well-known/openid-configuration"}


def test_several_tenants() -> None:
    template = "https://login.microsoftonline.com/{tid}/v2.0"
    found = issuers(ISSUER=template, TENANTS=f"{TENANT}, {PARTNER.upper()}")
    assert set(found) == {template.replace("{tid}", tenant) for tenant in (TENANT, PARTNER)}


def test_further_issuers() -> None:
    v1 = {
        "kind": "entra-v1",
        "issuer": "https://sts.windows.net/{tid}/",
        "tenants": [TENANT],
        "audiences": ["api://dropbell"],
        "discovery_url": "https://login.microsoftonline.com/{tid}/.well-known/openid-configuration",
        "app_clients": [PARTNER],
    }
    named = OIDC | {
        "algorithms": ["PS256", "ES256"],
        "claims": {"scopes": ["scp"], "clients": ["cid"], "app_only": ["gty", "client-credentials"]},
    }
    assert issuers(ISSUER="", AUDIENCES="", ISSUERS=[v1, named]) == {
        f"https://sts.windows.net/{TENANT}/": (
            f"https://login.microsoftonline.com/{TENANT}/.well-known/openid-configuration"
        ),
        "https://people.example/": "https://people.example/.well-known/openid-configuration",
    }
    (row,) = read_settings(
        EXAMPLE | {"DROPBELL_TOKEN_ISSUER": "", "DROPBELL_TOKEN_ISSUERS": json.dumps([named])}
    ).token_policy.issuers
    assert (row.shape.scopes, row.shape.clients, row.shape.subject) == (("scp",), ("cid",), "sub")
    assert row.algorithms == {"PS256", "ES256"}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"ISSUER": ""}, "DROPBELL_TOKEN_ISSUER: is not set"),
        ({"AUDIENCES": ""}, "DROPBELL_TOKEN_AUDIENCES: is not set"),
        ({"ISSUER": "https://login.example/hunter2/v2.0"}, "DROPBELL_TOKEN_ISSUER: the issuer must contain"),
        (
            {"ISSUER": f"http://login.example/{TENANT}/v2.0"},
            "DROPBELL_TOKEN_ISSUER: must be an https",
        ),
        ({"ISSUER": "https://login.example/{tid}/v2.0"}, "DROPBELL_TOKEN_ISSUER: tenants must be listed"),
        (
            {"ISSUER": "https://login.example/{tid}/v2.0", "TENANTS": "common"},
            "DROPBELL_TOKEN_ISSUER: tenants must be listed",
        ),
        ({"LEEWAY_SECONDS": "301"}, "DROPBELL_TOKEN_LEEWAY_SECONDS: "),
        ({"REQUIRED_ACRS": 'c1"'}, "DROPBELL_TOKEN_REQUIRED_ACRS: "),
        ({"ISSUERS": "{"}, "DROPBELL_TOKEN_ISSUERS: must be a JSON list"),
        ({"ISSUERS": "{}"}, "DROPBELL_TOKEN_ISSUERS: "),
        ({"ISSUERS": [OIDC | {"kind": "hunter2"}]}, "DROPBELL_TOKEN_ISSUERS: 0.kind: "),
        ({"ISSUERS": [OIDC | {"hunter2": 1}]}, "DROPBELL_TOKEN_ISSUERS: 0.hunter2: "),
        ({"ISSUERS": [OIDC | {"audiences": []}]}, "DROPBELL_TOKEN_ISSUERS: 0.audiences: "),
        ({"ISSUERS": [OIDC | {"algorithms": ["HS256"]}]}, "DROPBELL_TOKEN_ISSUERS: 0: algorithms can be"),
        ({"ISSUERS": [OIDC | {"issuer": "ftp://hunter2/"}]}, "DROPBELL_TOKEN_ISSUERS: 0.issuer: must be an"),
        (
            {"ISSUERS": [OIDC | {"discovery_url": "http://hunter2/"}]},
            "DROPBELL_TOKEN_ISSUERS: 0.discovery_url: must be",
        ),
        ({"ISSUERS": [OIDC | {"tenants": [TENANT]}]}, "DROPBELL_TOKEN_ISSUERS: 0: tenants and {tid} are"),
        ({"ISSUERS": [OIDC, OIDC]}, "DROPBELL_TOKEN_ISSUERS: two rows trust the same issuer"),
    ],
)
def test_what_makes_no_sense_is_named_without_its_value(environment: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        issuers(**environment)
    assert f"\n  {sentence}" in str(refused.value)
    assert "hunter2" not in str(refused.value).replace("ISSUERS: 0.hunter2", "")
