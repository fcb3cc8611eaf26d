"""``compose.yaml`` was not run where it was written: what can be seen without Docker is held here."""

from __future__ import annotations

import json
import re

import pytest

from local.service_bus.config import load_namespace
from tests.unit.deploy.documents import ROOT, document, text

SERVICES = document("compose.yaml")["services"]
EXAMPLE = json.loads(text("local.settings.json.example"))
LONGEST_OF_THE_EMULATOR = {"DefaultMessageTimeToLive": "PT1H", "DuplicateDetectionHistoryTimeWindow": "PT5M"}
"""By its schema, ``Config-schema.json`` of https://github.com/Azure/azure-service-bus-emulator-installer."""


@pytest.mark.parametrize("name", list(SERVICES))
def test_an_image_is_pinned_by_version(name: str) -> None:
    _, _, version = SERVICES[name]["image"].partition(":")
    assert re.match(r"\d+\.\d+\.\d+$|\d{4}-CU\d+-", version), version


@pytest.mark.parametrize("name", list(SERVICES))
def test_ports_are_on_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", list(SERVICES))
def test_no_password_is_in_the_file_and_nobody_agrees_to_a_licence_for_somebody_else(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    for variable in {"MSSQL_SA_PASSWORD", "ACCEPT_EULA"} & environment.keys():
        assert re.fullmatch(r"\$\{" + variable + r":\?[^}]*\}", environment[variable])


def test_what_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert mounted == ["./local/service_bus.emulator.config.json"]
    assert all((ROOT / path).is_file() for path in mounted)


def test_a_service_waits_for_one_that_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", [])) <= SERVICES.keys()
    assert SERVICES["service-bus"]["environment"]["SQL_SERVER"] == "sql"


def test_the_storage_emulator_is_the_one_of_our_stack() -> None:
    npm = json.loads(text("package.json"))
    version = {**npm.get("dependencies", {}), **npm.get("devDependencies", {})}["azurite"]
    assert SERVICES["azurite"]["image"].endswith(f":{version}")


def test_ports_are_those_of_the_example_settings() -> None:
    published = {
        int(port.split(":")[1]) for service in SERVICES.values() for port in service.get("ports", [])
    }
    assert f"sb://127.0.0.1:{5672};" in EXAMPLE["Values"]["DropbellServiceBus"]
    assert EXAMPLE["Values"]["DropbellStorage"] == "UseDevelopmentStorage=true"  # 10000, 10001, 10002
    assert published == {5672, 5300, 10000, 10001, 10002}


def queue(name: str) -> dict[str, object]:
    (space,) = json.loads(text(name))["UserConfig"]["Namespaces"]
    (found,) = space["Queues"]
    return {"space": space["Name"], "name": found["Name"], **found["Properties"]}


def test_the_emulator_s_queue_is_ours_but_for_what_it_does_not_take_so_long() -> None:
    ours, the_emulator_s = (
        queue("local/service_bus.config.json"),
        queue("local/service_bus.emulator.config.json"),
    )

    assert the_emulator_s == ours | LONGEST_OF_THE_EMULATOR
    assert the_emulator_s["name"] == EXAMPLE["Values"]["DROPBELL_QUEUE"]


def test_our_broker_reads_the_emulator_s_file() -> None:
    namespace = load_namespace(ROOT / "local" / "service_bus.emulator.config.json")
    assert [each.name for each in namespace.queues] == [EXAMPLE["Values"]["DROPBELL_QUEUE"]]
