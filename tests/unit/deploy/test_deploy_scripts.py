"""The scripts, run with a stand-in of the Azure CLI that keeps what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from infra.check.package import package_files
from tests.unit.deploy.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

AZ = """#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path({folder!r})
calls = folder / "calls"
number = len(calls.read_text().splitlines()) if calls.exists() else 0
with calls.open("a") as kept:
    kept.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads((folder / "answers").read_text())
code, text = answers[min(number, len(answers) - 1)]
print(text)
sys.exit(code)
"""
OUTPUTS = {
    "dropbelL_API_URL": {"type": "String", "value": "https://files.example"},
    "dropbelL_FRONT_DOOR_HOST": {"type": "String", "value": ""},
    "dropbelL_QUEUE": {"type": "String", "value": "it's $(quoted)"},
}
NAMES = {
    "AZURE_RESOURCE_GROUP": "group",
    "DROPBELL_FUNCTION_APP": "app",
    "DROPBELL_EVENT_TOPIC": "topic",
    "DROPBELL_DATA_STORAGE": "storage",
    "DROPBELL_API_CLIENT_ID": "api-id",
    "DROPBELL_CONNECT_PAUSE_SECONDS": "0",
}


@dataclass
class Azure:
    """``az`` in a folder of its own; the last answer stands for all that follow."""

    folder: Path

    def answers(self, *answers: tuple[int, str]) -> None:
        (self.folder / "answers").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "DROPBELL_"))
        }
        path = f"{self.folder}:{os.environ['PATH']}"
        return subprocess.run(  # noqa: S603 - our own scripts
            command,
            cwd=ROOT,
            env=plain | NAMES | {"PATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    az = tmp_path / "az"
    az.write_text(AZ.format(python=sys.executable, folder=str(tmp_path)))
    az.chmod(0o755)
    made = Azure(tmp_path)
    made.answers((0, ""))
    return made


def test_events_are_connected_once_the_host_is_there(azure: Azure) -> None:
    azure.answers((1, ""), (1, ""), (0, ""))

    ran = azure.run("deploy/connect_events.sh")

    assert ran.returncode == 0, ran.stderr
    assert len(azure.calls) == 3
    assert azure.calls[0][-3:] == ["functionAppName=app", "eventTopicName=topic", "dataStorageName=storage"]
    assert "try 2 of 10" in ran.stderr


def test_events_that_cannot_be_connected_are_told(azure: Azure) -> None:
    azure.answers((1, ""))

    ran = azure.run("deploy/connect_events.sh", DROPBELL_CONNECT_TRIES="2")

    assert ran.returncode == 1
    assert len(azure.calls) == 2
    assert "could not be made in 2 tries" in ran.stderr


def test_front_door_premium_is_approved_with_the_events(azure: Azure) -> None:
    assert azure.run("deploy/connect_events.sh", DROPBELL_FRONT_DOOR="Premium").returncode == 0
    assert ["functionapp", "show"] in [call[:2] for call in azure.calls]
    assert ["network", "private-endpoint-connection"] in [call[:2] for call in azure.calls]


def test_outputs_become_variables_of_the_shell(azure: Azure) -> None:
    azure.answers((0, json.dumps(OUTPUTS)))

    ran = azure.run(
        "bash", "-c", 'eval "$(deploy/take_outputs.py)" && echo "$DROPBELL_API_URL|$DROPBELL_QUEUE"'
    )

    assert ran.stdout == "https://files.example|it's $(quoted)\n"
    assert azure.calls[0][azure.calls[0].index("--name") + 1] == "dropbell"


def test_outputs_become_variables_of_the_workflow(azure: Azure, tmp_path: Path) -> None:
    azure.answers((0, json.dumps(OUTPUTS)))

    assert (
        azure.run("deploy/take_outputs.py", "dropbell-entra", GITHUB_ENV=str(tmp_path / "env")).returncode
        == 0
    )

    assert "DROPBELL_API_URL=https://files.example\n" in (tmp_path / "env").read_text()
    assert "dropbell-entra" in azure.calls[0]


def test_no_outputs_is_a_failure(azure: Azure) -> None:
    azure.answers((3, ""))
    ran = azure.run("deploy/take_outputs.py")
    assert (ran.returncode, ran.stdout) == (3, "")


def test_variables_of_github_are_taken_when_they_are_set_and_ours(azure: Azure, tmp_path: Path) -> None:
    variables = {
        "DROPBELL_APP_SETTINGS": '{"A":\n"b"}',
        "AZURE_ENV_NAME": "dev",
        "DROPBELL_PUBLIC_URL": "",
        "PATH": "/elsewhere",
        "AZURE_X\nPATH": "/elsewhere",
    }
    ran = azure.run(
        "deploy/take_variables.py", VARIABLES=json.dumps(variables), GITHUB_ENV=str(tmp_path / "env")
    )

    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "env").read_text() == 'DROPBELL_APP_SETTINGS={"A": "b"}\nAZURE_ENV_NAME=dev\n'


def test_a_package_is_put_to_work(azure: Azure) -> None:
    assert azure.run("deploy/deploy_package.sh", "p.zip").returncode == 0
    (call,) = azure.calls
    assert call[:4] == ["functionapp", "deployment", "source", "config-zip"]
    assert call[call.index("--src") + 1] == "p.zip"
    assert call[call.index("--build-remote") + 1] == "true"


def test_roles_are_given_once(azure: Azure) -> None:
    azure.answers((0, "api-object"), (0, "role-1"), (0, "1"), (0, "role-2"), (0, "0"), (0, ""))

    ran = azure.run("deploy/grant_roles.sh", "me", "Operations.Read", "Operations.Redrive")

    assert ran.returncode == 0, ran.stderr
    (posted,) = [call for call in azure.calls if "POST" in call]
    body = json.loads(posted[posted.index("--body") + 1])
    assert body == {"principalId": "me", "resourceId": "api-object", "appRoleId": "role-2"}


def test_a_role_that_there_is_not_is_told(azure: Azure) -> None:
    azure.answers((0, "api-object"), (0, ""))
    ran = azure.run("deploy/grant_roles.sh", "me", "Operations.Raed")
    assert (ran.returncode, ran.stderr) == (1, "The API has no app role Operations.Raed.\n")


def test_the_package_is_that_of_a_commit_and_of_nothing_else(azure: Azure, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("shared", "deploy"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("function_app.py", "host.json", "requirements.txt", ".gitattributes", "README.md"):
        shutil.copy(ROOT / name, project / name)
    git = ("git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@t.example")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "t"]):
        assert azure.run(*git, *command).returncode == 0
    packages = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for each in packages:
        ran = azure.run(str(project / "deploy" / "make_package.sh"), str(each), "HEAD")
        assert ran.returncode == 0, ran.stderr

    assert packages[0].read_bytes() == packages[1].read_bytes()
    with zipfile.ZipFile(packages[0]) as package:
        names = {name for name in package.namelist() if not name.endswith("/")}
        release = package.read("shared/release.txt").decode().strip()
    assert release == azure.run(*git, "rev-parse", "HEAD").stdout.strip()
    deployed_by_azd = {path.relative_to(ROOT).as_posix() for path in package_files(ROOT)}
    assert {name for name in names if "__pycache__" not in name} == deployed_by_azd


def test_the_smoke_test_asks_for_the_release_of_the_package(azure: Azure, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as package:
        package.writestr("shared/release.txt", "c0ffee\n")
    client = tmp_path / "dropbell"
    client.write_text('#!/bin/sh\necho "$DROPBELL_API $DROPBELL_TOKEN $@"\n')
    client.chmod(0o755)
    azure.answers((0, "token"))
    known = {"DROPBELL_API_URL": "https://files.example", "DROPBELL_API_SCOPE_PREFIX": "api://t/dropbell"}
    package_file = str(tmp_path / "p.zip")

    alone = azure.run("deploy/smoke_test.sh", package_file, **known)
    told = azure.run(
        "deploy/smoke_test.sh", package_file, **known, DROPBELL_SMOKE_TARGET="https://x.example/h"
    )

    assert alone.stdout == "https://files.example token smoke --release c0ffee --timeout 900\n", alone.stderr
    assert told.stdout.endswith("--timeout 900 --target https://x.example/h --channel webhook\n")
    assert "api://t/dropbell/.default" in azure.calls[0]
