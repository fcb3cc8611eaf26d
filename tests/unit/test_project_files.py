"""Files that must agree with each other, or keep a promise."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from shared.settings import Settings, read_settings
from shared.web.problem_catalogue import PROBLEMS
from shared.web.routes import OPEN_ROUTES, ROUTES

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def json_file(name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((ROOT / name).read_text())
    return content


def example_values() -> dict[str, str]:
    values = json_file("local.settings.json.example")["Values"]
    assert isinstance(values, dict)
    return values


def test_the_example_settings_are_all_that_the_app_needs_and_nothing_else() -> None:
    values = example_values()
    known = {field.alias for field in Settings.model_fields.values()}
    of_the_host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "DROPBELL_BLOB_TRIGGER_SOURCE"}
    of_the_host.add("DROPBELL_SWEEP_SCHEDULE")

    assert read_settings(values).queue == "notifications"
    assert set(values) <= known | of_the_host


def test_the_example_and_the_local_broker_agree_on_the_queue() -> None:
    config = json_file("local/service_bus.config.json")["UserConfig"]
    assert isinstance(config, dict)
    queues = {queue["Name"] for space in config["Namespaces"] for queue in space["Queues"]}

    assert queues == {example_values()["DROPBELL_QUEUE"]}


def test_the_lease_of_the_longest_attempt_ends_before_the_queue_s_lock() -> None:
    config = json_file("local/service_bus.config.json")["UserConfig"]
    assert isinstance(config, dict)
    (queue,) = config["Namespaces"][0]["Queues"]
    assert queue["Properties"]["LockDuration"] == "PT1M"

    longest = read_settings(example_values() | {"DROPBELL_DELIVERY_TIMEOUT_SECONDS": "40"})

    assert longest.lease_seconds < 60


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[a-z0-9][^\n]*\\\n", text, re.MULTILINE)

    assert pins
    assert all(re.match(r"[a-z0-9._\[\]-]+==\S+ ", pin) for pin in pins)
    assert len(re.findall(r"^    --hash=sha256:", text, re.MULTILINE)) >= len(pins)
    assert "://" not in text
    assert "--index" not in text


def test_every_package_that_the_app_declares_is_pinned() -> None:
    text = (ROOT / "requirements.txt").read_text().lower()
    project = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert declared is not None

    for package in re.findall(r'"([A-Za-z0-9._-]+)', declared.group(1)):
        assert re.search(rf"^{re.escape(package.lower())}==", text, re.MULTILINE), package


def test_the_npm_lock_file_names_no_download_address() -> None:
    packages = json_file("package-lock.json")["packages"]
    assert isinstance(packages, dict)

    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_function_app_is_a_table_of_contents() -> None:
    """Each function is one call, and nothing else is in the module but the app itself."""
    module = ast.parse((ROOT / "function_app.py").read_text())
    functions = [node for node in module.body if isinstance(node, ast.AsyncFunctionDef)]

    routes = {route.name for route in (*ROUTES, *OPEN_ROUTES)}
    assert {function.name for function in functions} == routes | {"announce", "deliver", "sweep"}
    assert all(len(function.body) == 1 and function.decorator_list for function in functions)
    others = [node for node in module.body if not isinstance(node, ast.AsyncFunctionDef)]
    assert [type(node) for node in others if not isinstance(node, ast.Import | ast.ImportFrom)] == [
        ast.Expr,
        ast.Assign,
    ]


def test_host_json_writes_the_service_bus_settings_out() -> None:
    host = json_file("host.json")
    extensions = host["extensions"]
    assert isinstance(extensions, dict)

    assert host["telemetryMode"] == "OpenTelemetry"
    assert host["extensionBundle"]
    assert set(extensions["serviceBus"]) >= {
        "prefetchCount",
        "autoCompleteMessages",
        "maxAutoLockRenewalDuration",
        "maxConcurrentCalls",
    }


def test_the_docs_name_every_problem_and_no_other() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    table = text[text.index("## Errors") : text.index("Send `X-Correlation-ID`")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row) if name != "type"]

    assert sorted(named) == sorted(PROBLEMS)


def test_the_docs_name_every_route() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    table = text[text.index("| route |") : text.index("`Files.ReadWrite` includes")]
    for route in ROUTES:
        if route.name != "override_upload":  # a way around proxies, explained where tus is
            path = re.sub(r"\{\w*_id\}", "{id}", route.path).replace(
                "share-links/{id}", "share-links/{link id}"
            )
            row = [line for line in table.splitlines() if f" {path}`" in line]
            assert any(route.method in line for line in row), route
