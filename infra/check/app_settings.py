"""The settings of the function app are those that the application reads, and all that it needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from infra.check.bicep import Kind, literal, members, parse, text
from shared.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tree_sitter import Node

OF_THE_HOST: Final = frozenset(
    {
        *(f"AzureWebJobsStorage__{each}" for each in ("credential", "clientId")),
        *(f"AzureWebJobsStorage__{each}ServiceUri" for each in ("blob", "queue", "table")),
        *(
            "DropbellStorage__credential",
            "DropbellStorage__queueServiceUri",
            "DropbellServiceBus__credential",
        ),
        *("APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
        *("DROPBELL_BLOB_TRIGGER_SOURCE", "DROPBELL_SWEEP_SCHEDULE"),
    }
)
"""Read by the Functions host and its extensions (also where the application reads them too)."""
OF_TELEMETRY: Final = frozenset({"DROPBELL_TRACE_SAMPLE_RATIO"})
"""Read where telemetry is set up."""
WITH_A_KEY: Final = frozenset({"AzureWebJobsStorage", "DropbellStorage", "DropbellServiceBus"})
"""Connection strings; Azure has identities instead."""
_VALUES: Final[Mapping[str, str]] = {
    "DropbellStorage__blobServiceUri": "https://account.blob.core.windows.net",
    "DropbellStorage__tableServiceUri": "https://account.table.core.windows.net",
    "DropbellServiceBus__fullyQualifiedNamespace": "namespace.servicebus.windows.net",
}
"""What stands in for values that only a deployment knows, beside those of the example settings."""


def check_app_settings(root: Path) -> Sequence[str]:
    """Set is what ``read_settings`` asks for, nothing that nobody reads, and no connection string."""
    given = app_settings(root)
    known = {str(field.alias) for field in Settings.model_fields.values()} | OF_THE_HOST | OF_TELEMETRY
    findings = [
        f"{name} is a connection string: use an identity" for name in sorted(given.keys() & WITH_A_KEY)
    ]
    findings += [f"nobody reads {name}" for name in sorted(given.keys() - known)]
    findings += [f"the host needs {name}" for name in sorted(OF_THE_HOST - given.keys())]
    example = json.loads((root / "local.settings.json.example").read_text())["Values"]
    values = {
        name: literal(node) or _VALUES.get(name) or example.get(name, "") for name, node in given.items()
    }
    try:
        read_settings(values)
    except SettingsError as error:
        findings += [line.strip() for line in str(error).splitlines()[1:]]
    return [f"modules/app-settings.bicep: {finding}" for finding in findings]


def app_settings(root: Path) -> Mapping[str, Node]:
    """The settings by name, as the Bicep file has them."""
    file = parse(root / "infra" / "modules" / "app-settings.bicep")
    resource = file.of_kind(Kind.RESOURCE)["appSettings"]
    if text(resource.body["properties"]) != "union(settings, furtherSettings)":
        raise ValueError("modules/app-settings.bicep: the settings are no longer the variable 'settings'")
    return members(file.of_kind(Kind.VARIABLE)["settings"].value)
