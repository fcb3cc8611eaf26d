"""The app's settings: ``local.settings.json`` and the environment, and ``%NAME%`` in binding settings."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EXPRESSION = re.compile(r"%([^%]+)%")

AZURITE_CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
)
"""What ``UseDevelopmentStorage=true`` stands for: the emulator's published account and default port."""


class SettingsError(ValueError):
    """A settings file or a setting cannot be used; the sentence says which and why."""


@dataclass(frozen=True)
class LocalSettings:
    """The contents of ``local.settings.json``."""

    values: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    cors_origins: tuple[str, ...] = ()
    cors_credentials: bool = False


def read_local_settings(path: Path) -> LocalSettings:
    """Read the file; without one there are no settings.

    Raises:
        SettingsError: the file is not JSON of the right shape, or encrypted.
    """
    document = read_json_object(path)
    if document.get("IsEncrypted") is True:
        raise SettingsError(f"{path} is encrypted; decrypt it with 'func settings decrypt'.")
    values, host = document.get("Values") or {}, document.get("Host") or {}
    if not isinstance(values, dict) or not isinstance(host, dict):
        raise SettingsError(f"{path}: 'Values' and 'Host' must be objects.")
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise SettingsError(f"{path}: the value of '{name}' must be a string.")
    port = host.get("LocalHttpPort")
    if port is not None and (not isinstance(port, int) or not 0 <= port <= 65535):
        raise SettingsError(f"{path}: 'LocalHttpPort' must be a port number, not {port!r}.")
    return LocalSettings(
        values={name: _text(value) for name, value in values.items() if value is not None},
        port=port,
        cors_origins=tuple(part.strip() for part in str(host.get("CORS") or "").split(",") if part.strip()),
        cors_credentials=host.get("CORSCredentials") is True,
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty when there is no file.

    Raises:
        SettingsError: it is there and cannot be read as a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path} must be a JSON object.")
    return document


def worker_environment(
    settings: LocalSettings, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The worker's environment: the file's values, over which the real environment wins."""
    base = os.environ if environment is None else environment
    defaults = {"FUNCTIONS_WORKER_RUNTIME": "python", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return {**defaults, **settings.values, **base}


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """Replace each ``%NAME%`` with the setting of that name.

    Raises:
        SettingsError: a setting is missing.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return environment[match[1]]
        except KeyError:
            raise SettingsError(
                f"'%{match[1]}%' does not resolve to a value: the setting is missing."
            ) from None

    return _EXPRESSION.sub(value, text)


def connection_string(name: str, environment: Mapping[str, str]) -> str:
    """The connection string in setting ``name``, also found under ``AzureWebJobs<name>`` as in Azure.

    Raises:
        SettingsError: there is none.
    """
    name = resolve(name, environment)
    for candidate in (name, f"AzureWebJobs{name}"):
        if value := environment.get(candidate):
            return AZURITE_CONNECTION if value.strip().rstrip(";") == "UseDevelopmentStorage=true" else value
    if any(key.startswith(f"{name}__") for key in environment):
        raise SettingsError(f"The connection '{name}' uses an identity; this host needs a connection string.")
    raise SettingsError(f"The connection string setting '{name}' is missing or empty.")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
