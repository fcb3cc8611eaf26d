"""host.json, local.settings.json, settings in bindings, keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.functions_host.__main__ import argument_parser, host_options
from local.functions_host.host_json import parse_host_config
from local.functions_host.keys import AuthLevel, HostKeys, keys_from_file, parse_keys, parse_level
from local.functions_host.settings import (
    SettingsError,
    connection_string,
    read_local_settings,
    resolve,
    worker_environment,
)
from local.functions_host.timespan import parse_seconds

if TYPE_CHECKING:
    from pathlib import Path

KEYS = HostKeys("m", {"default": "f", "other": "o"}, {"blobs_extension": "s"})


def test_empty_host_json_means_the_defaults() -> None:
    config = parse_host_config({})
    assert config.route_prefix == "api"
    assert config.function_timeout_seconds == 1800
    assert config.blobs.poison_blob_threshold == 5
    assert config.service_bus.max_auto_lock_renewal_seconds == 300
    assert config.service_bus.prefetch_count == 0


def test_host_json_is_honoured() -> None:
    config = parse_host_config(
        {
            "functionTimeout": "00:10:00",
            "logging": {"logLevel": {"default": "Warning"}},
            "extensions": {
                "http": {"routePrefix": "/v1/"},
                "blobs": {"maxDegreeOfParallelism": 2, "poisonBlobThreshold": 1},
                "serviceBus": {
                    "prefetchCount": 4,
                    "maxConcurrentCalls": 8,
                    "maxMessageBatchSize": 10,
                    "maxAutoLockRenewalDuration": "00:01:30",
                    "autoCompleteMessages": False,
                },
            },
        }
    )
    assert (config.route_prefix, config.function_timeout_seconds) == ("v1", 600)
    assert config.log_levels == {"default": "Warning"}
    assert (config.blobs.max_degree_of_parallelism, config.blobs.poison_blob_threshold) == (2, 1)
    bus = config.service_bus
    assert (bus.prefetch_count, bus.max_concurrent_calls, bus.max_message_batch_size) == (4, 8, 10)
    assert (bus.max_auto_lock_renewal_seconds, bus.auto_complete_messages) == (90, False)


def test_minus_one_means_no_time_limit() -> None:
    assert parse_host_config({"functionTimeout": "-1"}).function_timeout_seconds is None


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"functionTimeout": 5}, "functionTimeout"),
        ({"functionTimeout": "00:00:00"}, "functionTimeout"),
        ({"extensions": []}, "extensions"),
        ({"extensions": {"http": {"routePrefix": 1}}}, "extensions.http.routePrefix"),
        ({"extensions": {"serviceBus": {"prefetchCount": -1}}}, "extensions.serviceBus.prefetchCount"),
        (
            {"extensions": {"serviceBus": {"maxConcurrentCalls": True}}},
            "extensions.serviceBus.maxConcurrentCalls",
        ),
        (
            {"extensions": {"serviceBus": {"autoCompleteMessages": 1}}},
            "extensions.serviceBus.autoCompleteMessages",
        ),
        ({"extensions": {"blobs": {"poisonBlobThreshold": 0}}}, "extensions.blobs.poisonBlobThreshold"),
    ],
)
def test_bad_host_json_is_refused_by_name(document: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}'"):
        parse_host_config(document)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:05", 5), ("01:30", 5400), ("1.02:03:04.5", 93784.5), ("-00:01:00", -60)]
)
def test_time_span(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "24:00:00", "00:60:00", "x"])
def test_bad_time_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time span"):
        parse_seconds(text)


def test_local_settings_are_read(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    document = {
        "Values": {"A": "1", "B": True, "C": 2, "D": None},
        "Host": {"LocalHttpPort": 7072, "CORS": "a, b"},
    }
    file.write_text(json.dumps(document), encoding="utf-8-sig")
    settings = read_local_settings(file)
    assert settings.values == {"A": "1", "B": "true", "C": "2"}
    assert (settings.port, settings.cors_origins, settings.cors_credentials) == (7072, ("a", "b"), False)
    environment = worker_environment(settings, {"A": "real"})
    assert (environment["A"], environment["C"]) == ("real", "2")


def test_missing_local_settings_mean_none(tmp_path: Path) -> None:
    assert read_local_settings(tmp_path / "local.settings.json").values == {}


def test_settings_in_bindings() -> None:
    assert resolve("a/%X%/{name}/%Y%", {"X": "1", "Y": "2"}) == "a/1/{name}/2"
    with pytest.raises(SettingsError, match="'%MISSING%'"):
        resolve("%MISSING%", {})


def test_connection_strings() -> None:
    environment = {
        "A": "one",
        "AzureWebJobsB": "two",
        "C": "UseDevelopmentStorage=true;",
        "D__serviceUri": "x",
    }
    assert connection_string("A", environment) == "one"
    assert connection_string("B", environment) == "two"
    assert "devstoreaccount1" in connection_string("C", environment)
    with pytest.raises(SettingsError, match="identity"):
        connection_string("D", environment)
    with pytest.raises(SettingsError, match="'E' is missing"):
        connection_string("E", environment)


@pytest.mark.parametrize(
    ("level", "key", "allowed"),
    [
        (AuthLevel.ANONYMOUS, None, True),
        (AuthLevel.FUNCTION, None, False),
        (AuthLevel.FUNCTION, "", False),
        (AuthLevel.FUNCTION, "f", True),
        (AuthLevel.FUNCTION, "o", True),
        (AuthLevel.FUNCTION, "m", True),
        (AuthLevel.FUNCTION, "s", False),
        (AuthLevel.ADMIN, "f", False),
        (AuthLevel.ADMIN, "m", True),
    ],
)
def test_key_opens_a_level(level: AuthLevel, key: str | None, *, allowed: bool) -> None:
    assert KEYS.allow(level, key) is allowed


@pytest.mark.parametrize(
    ("name", "key", "allowed"),
    [
        ("blobs_extension", "s", True),
        ("blobs_extension", "m", True),
        ("blobs_extension", "f", False),
        ("x", "", False),
    ],
)
def test_key_opens_a_webhook(name: str, key: str, *, allowed: bool) -> None:
    assert KEYS.allow_system(name, key) is allowed


def test_keys_are_not_shown() -> None:
    assert "f" not in repr(HostKeys("mmm", {"default": "fff"}, {})).replace("HostKeys", "")


def test_level_of_a_binding() -> None:
    assert parse_level("FUNCTION") is AuthLevel.FUNCTION
    assert parse_level("") is AuthLevel.FUNCTION
    with pytest.raises(ValueError, match="nobody"):
        parse_level("nobody")


def test_keys_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "keys.json"
    assert keys_from_file(file) == keys_from_file(file)


@pytest.mark.parametrize(
    ("options", "asked_for"),
    [
        ([], False),
        (["--enable-auth"], True),
        (["--keys-file", "keys.json"], True),
        (["--keys-file", "keys.json", "--no-auth"], False),
    ],
)
def test_keys_are_asked_for_where_some_are_given(
    tmp_path: Path, options: list[str], *, asked_for: bool
) -> None:
    in_folder = [str(tmp_path / option) if option.endswith(".json") else option for option in options]
    parsed = argument_parser().parse_args([str(tmp_path), *in_folder])
    assert (host_options(parsed).keys is not None) is asked_for


@pytest.mark.parametrize(
    "document",
    [{"master": ""}, {"master": 1}, {"functionKeys": []}, {"functionKeys": {"a": 1}}, {"systemKeys": "x"}],
)
def test_bad_keys_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"keys\.json"):
        parse_keys(document, "keys.json")
