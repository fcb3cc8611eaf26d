"""The parts of ``host.json`` that this host honours.

Source of names and defaults: learn.microsoft.com, "host.json reference for Azure Functions" and the pages
of the Storage and Service Bus extensions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.functions_host.settings import SettingsError, read_json_object
from local.functions_host.timespan import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class BlobOptions:
    """``extensions.blobs``."""

    max_degree_of_parallelism: int = 8 * _CORES
    poison_blob_threshold: int = 5


@dataclass(frozen=True)
class ServiceBusOptions:
    """``extensions.serviceBus``."""

    prefetch_count: int = 0
    max_concurrent_calls: int = 16 * _CORES
    max_message_batch_size: int = 1000
    max_auto_lock_renewal_seconds: float = 300.0
    auto_complete_messages: bool = True


@dataclass(frozen=True)
class HostConfig:
    """``host.json`` with the defaults filled in."""

    route_prefix: str = "api"
    function_timeout_seconds: float | None = 1800.0
    """None means without limit."""
    log_levels: Mapping[str, str] = field(default_factory=dict)
    blobs: BlobOptions = field(default_factory=BlobOptions)
    service_bus: ServiceBusOptions = field(default_factory=ServiceBusOptions)


def read_host_config(path: Path) -> HostConfig:
    """Read ``host.json``; a missing file means all defaults.

    Raises:
        SettingsError: the file or one of its values cannot be used; names the setting.
    """
    return parse_host_config(read_json_object(path))


def parse_host_config(document: Mapping[str, Any]) -> HostConfig:
    """The configuration of a parsed ``host.json``.

    Raises:
        SettingsError: a value cannot be used.
    """
    root = _Section("", document)
    extensions = root.section("extensions")
    blobs, service_bus = extensions.section("blobs"), extensions.section("serviceBus")
    default_blobs, default_bus = BlobOptions(), ServiceBusOptions()
    timeout = root.text("functionTimeout")
    levels = root.section("logging").section("logLevel")
    return HostConfig(
        route_prefix=(extensions.section("http").text("routePrefix", "api") or "").strip("/"),
        function_timeout_seconds=_timeout_seconds(timeout) if timeout is not None else 1800.0,
        log_levels={name: str(level) for name, level in levels.values.items()},
        blobs=BlobOptions(
            max_degree_of_parallelism=blobs.number(
                "maxDegreeOfParallelism", default_blobs.max_degree_of_parallelism, minimum=1
            ),
            poison_blob_threshold=blobs.number(
                "poisonBlobThreshold", default_blobs.poison_blob_threshold, minimum=1
            ),
        ),
        service_bus=ServiceBusOptions(
            prefetch_count=service_bus.number("prefetchCount", default_bus.prefetch_count),
            max_concurrent_calls=service_bus.number(
                "maxConcurrentCalls", default_bus.max_concurrent_calls, minimum=1
            ),
            max_message_batch_size=service_bus.number(
                "maxMessageBatchSize",
                service_bus.number("maxMessages", default_bus.max_message_batch_size, minimum=1),
                minimum=1,
            ),
            max_auto_lock_renewal_seconds=service_bus.seconds(
                "maxAutoLockRenewalDuration", default_bus.max_auto_lock_renewal_seconds
            ),
            auto_complete_messages=service_bus.flag("autoCompleteMessages", default=True),
        ),
    )


class _Section:
    """One object of the file; knows where it stands, so that errors can name the setting."""

    def __init__(self, where: str, values: object) -> None:
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise SettingsError(f"host.json: '{where}' must be an object.")
        self._where = where
        self.values: dict[str, Any] = values

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def section(self, key: str) -> _Section:
        return _Section(self._name(key), self.values.get(key))

    def text(self, key: str, default: str | None = None) -> str | None:
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"host.json: '{self._name(key)}' must be a string.")
        return value

    def number(self, key: str, default: int, *, minimum: int = 0) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise SettingsError(f"host.json: '{self._name(key)}' must be a whole number from {minimum} up.")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise SettingsError(f"host.json: '{self._name(key)}' must be true or false.")
        return value

    def seconds(self, key: str, default: float) -> float:
        text = self.text(key)
        if text is None:
            return default
        try:
            return parse_seconds(text)
        except ValueError as error:
            raise SettingsError(f"host.json: '{self._name(key)}': {error}") from error


def _timeout_seconds(text: str) -> float | None:
    if text.strip() == "-1":
        return None
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise SettingsError(f"host.json: 'functionTimeout': {error}") from error
    if seconds <= 0:
        raise SettingsError("host.json: 'functionTimeout' must be above zero, or -1 for no limit.")
    return seconds
