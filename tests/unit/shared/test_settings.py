from __future__ import annotations

import pytest

from shared.settings import EVENT_GRID, SettingsError, blob_trigger_source, read_settings

PLANTED = "planted-secret"
TENANT = "abcdef11-1111-4111-8111-111111111111"
GOOD = {
    "DropbellStorage": f"AccountName=x;AccountKey={PLANTED}",
    "DropbellServiceBus": f"Endpoint=sb://x;SharedAccessKey={PLANTED}",
    "DROPBELL_TOKEN_ISSUER": f"https://login.example/{TENANT}/v2.0",
    "DROPBELL_TOKEN_AUDIENCES": "371172cc-2f12-4f08-bfaf-4a290043b9ac",
    "DROPBELL_PUBLIC_URL": "https://dropbell.example",
    "DROPBELL_SECRETS_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
}
IDENTITY = {
    "DropbellStorage__blobServiceUri": "https://x.blob.core.windows.net",
    "DropbellStorage__tableServiceUri": "https://x.table.core.windows.net",
    "DropbellServiceBus__fullyQualifiedNamespace": "x.servicebus.windows.net",
}


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in GOOD.items() if name not in names}


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    return str(caught.value)


def test_a_minimal_environment_is_enough() -> None:
    settings = read_settings(GOOD)
    assert settings.secrets_key == b"k" * 32
    assert (settings.uploads_container, settings.table, settings.queue) == (
        "uploads",
        "dropbell",
        "notifications",
    )
    assert settings.retry_schedule_seconds is None
    assert settings.webhook_allowed_hosts == []
    assert settings.delivery_timeout_seconds < settings.lease_seconds < 60


def test_lists_are_separated_by_commas_and_numbers_read() -> None:
    settings = read_settings(
        GOOD
        | {
            "DROPBELL_TOKEN_AUDIENCES": "a, b ,,c",
            "DROPBELL_RETRY_SCHEDULE_SECONDS": "0.5, 2,30",
            "DROPBELL_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1,localhost:8025",
            "DROPBELL_MAX_FILE_BYTES": "1048576",
            "DROPBELL_DELIVERY_TIMEOUT_SECONDS": "2.5",
        }
    )
    assert settings.token_audiences == ["a", "b", "c"]
    assert settings.retry_schedule_seconds == [0.5, 2, 30]
    assert settings.webhook_allowed_hosts == ["127.0.0.1", "localhost:8025"]
    assert (settings.max_file_bytes, settings.delivery_timeout_seconds) == (1048576, 2.5)


def test_unknown_variables_are_not_ours() -> None:
    read_settings(GOOD | {"DROPBELL_FUTURE": "x", "PATH": "/bin"})


def test_all_missing_settings_that_have_no_default_are_named_in_one_error() -> None:
    text = refusal({"DropbellStorage": "x", "DropbellServiceBus": "x"})
    for name in ("TOKEN_ISSUER", "TOKEN_AUDIENCES", "PUBLIC_URL", "SECRETS_KEY"):
        assert f"DROPBELL_{name}: is not set" in text


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_each_missing_setting_is_named(name: str, value: str | None) -> None:
    text = refusal(without(name) | ({} if value is None else {name: value}))
    assert f"  {name}: " in text
    assert PLANTED not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DROPBELL_TOKEN_ISSUER", "http://planted.example/v2.0"),
        ("DROPBELL_TOKEN_ISSUER", "http://127.0.0.1.planted.example"),
        ("DROPBELL_TOKEN_ISSUER", "http://127.0.0.1@planted.example"),
        ("DROPBELL_TOKEN_ISSUER", "planted"),
        ("DROPBELL_TOKEN_ISSUER", "ftp://127.0.0.1/planted"),
        ("DROPBELL_PUBLIC_URL", "http://planted.example"),
        ("DROPBELL_PUBLIC_URL", "//planted.example"),
        ("DROPBELL_TOKEN_AUDIENCES", " , "),
        ("DROPBELL_TOKEN_LEEWAY_SECONDS", "301"),
        ("DROPBELL_TOKEN_LEEWAY_SECONDS", "-1"),
        ("DROPBELL_TOKEN_LEEWAY_SECONDS", "planted"),
        ("DROPBELL_SECRETS_KEY", "planted"),
        ("DROPBELL_SECRETS_KEY", "cGxhbnRlZA=="),
        ("DROPBELL_SECRETS_KEY", "plänted"),
        ("DROPBELL_MAX_FILE_BYTES", "0"),
        ("DROPBELL_MAX_FILE_BYTES", "12 planted"),
        ("DROPBELL_MAX_FILE_BYTES", "1.5"),
        ("DROPBELL_MAX_FILE_BYTES", "209715200001"),
        ("DROPBELL_OWNER_QUOTA_BYTES", "0"),
        ("DROPBELL_ALLOWED_CONTENT_TYPES", "images"),
        ("DROPBELL_BLOCKED_CONTENT_TYPES", "text/html, */html"),
        ("DROPBELL_UPLOAD_EXPIRES_SECONDS", "604800"),
        ("DROPBELL_RATE_LIMIT_REQUESTS", "-1"),
        ("DROPBELL_CORS_ALLOWED_ORIGINS", "*"),
        ("DROPBELL_CORS_ALLOWED_ORIGINS", "http://app.example"),
        ("DROPBELL_CONTENT_URL", "http://cdn.example"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "5,planted"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "5,0"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "-5"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "nan"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "inf"),
        ("DROPBELL_RETRY_SCHEDULE_SECONDS", "604801"),
        ("DROPBELL_DELIVERY_TIMEOUT_SECONDS", "0"),
        ("DROPBELL_DELIVERY_TIMEOUT_SECONDS", "41"),
        ("DROPBELL_DELIVERY_TIMEOUT_SECONDS", "nan"),
        ("DROPBELL_UPLOADS_CONTAINER", "ab"),
        ("DROPBELL_TABLE", "ab"),
    ],
)
def test_each_wrong_setting_is_named_and_its_value_is_not_repeated(name: str, value: str) -> None:
    text = refusal(GOOD | {name: value})
    assert f"  {name}: " in text
    assert "planted" not in text
    assert value not in text or len(value) < 4


def test_several_wrong_settings_are_told_at_once() -> None:
    text = refusal(
        without("DROPBELL_PUBLIC_URL") | {"DROPBELL_MAX_FILE_BYTES": "x", "DROPBELL_SECRETS_KEY": "x"}
    )
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "DROPBELL_PUBLIC_URL",
        "DROPBELL_SECRETS_KEY",
        "DROPBELL_MAX_FILE_BYTES",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1:7080", "localhost", "[::1]:7080"])
def test_plain_http_is_taken_on_this_machine(host: str) -> None:
    read_settings(
        GOOD
        | {"DROPBELL_TOKEN_ISSUER": f"http://{host}/{TENANT}/v2.0", "DROPBELL_PUBLIC_URL": f"http://{host}"}
    )


def test_identities_serve_instead_of_connection_strings() -> None:
    settings = read_settings(without("DropbellStorage", "DropbellServiceBus") | IDENTITY)
    assert settings.storage is None
    assert settings.service_bus is None
    assert settings.blob_service_uri == "https://x.blob.core.windows.net"
    assert settings.service_bus_namespace == "x.servicebus.windows.net"


@pytest.mark.parametrize("name", IDENTITY)
def test_half_an_identity_is_not_enough(name: str) -> None:
    environment = without("DropbellStorage", "DropbellServiceBus") | IDENTITY
    del environment[name]
    assert f"{name.partition('__')[0]}: set it, or" in refusal(environment)


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    text = f"{read_settings(GOOD)!r} {read_settings(GOOD)}"
    assert PLANTED not in text
    assert "kkkk" not in text


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({}, EVENT_GRID),
        ({"DROPBELL_BLOB_TRIGGER_SOURCE": ""}, EVENT_GRID),
        ({"DROPBELL_BLOB_TRIGGER_SOURCE": "LogsAndContainerScan"}, "LogsAndContainerScan"),
    ],
)
def test_blob_events_come_from_event_grid_unless_told_otherwise(
    environment: dict[str, str], source: str
) -> None:
    assert blob_trigger_source(environment) == source
