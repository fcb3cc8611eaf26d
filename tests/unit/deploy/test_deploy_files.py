"""What azure.yaml, the workflow and docs/deploy.md name is there, in infra/ and in the client."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from dropbell.command_options import option_parser
from infra.check.bicep import Kind, parse
from tests.unit.deploy.documents import (
    ROOT,
    SCRIPTS,
    WORKFLOW,
    client_commands,
    document,
    shell_blocks,
    steps,
    text,
    triggers,
)

PAGES = [
    "docs/deploy.md",
    "docs/local-development.md",
    "docs/client.md",
    "docs/costs.md",
    "docs/compatibility.md",
]
TEMPLATES = {name: parse(ROOT / "infra" / name) for name in ("main.bicep", "entra.bicep", "events.bicep")}
OUTPUTS = {output for each in TEMPLATES.values() for output in each.of_kind(Kind.OUTPUT)}
PARAMETER_VARIABLES = set(re.findall(r"readEnvironmentVariable\('(\w+)'", text("infra/main.bicepparam")))
OF_THE_CLIENT = {
    "DROPBELL_API",
    "DROPBELL_TOKEN",
    "DROPBELL_CLIENT_ID",
    "DROPBELL_AUTHORITY",
    "DROPBELL_SCOPES",
}
OF_THE_SCRIPTS = {
    *("AZURE_RESOURCE_GROUP", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"),
    *(
        "DROPBELL_SMOKE_TARGET",
        "DROPBELL_SMOKE_CHANNEL",
        "DROPBELL_CONNECT_TRIES",
        "DROPBELL_CONNECT_PAUSE_SECONDS",
    ),
}
KNOWN_VARIABLES = OUTPUTS | PARAMETER_VARIABLES | OF_THE_CLIENT | OF_THE_SCRIPTS
BASH = shutil.which("bash") or "bash is missing"
ABOUT_DEPLOYMENT = ["azure.yaml", WORKFLOW, "docs/deploy.md", *SCRIPTS]


@pytest.mark.parametrize("name", ABOUT_DEPLOYMENT)
def test_every_variable_is_an_output_or_a_parameter_or_read_by_a_script(name: str) -> None:
    named = set(re.findall(r"\b(?:AZURE|DROPBELL)_[A-Z_]*[A-Z]\b", text(name)))
    assert named - KNOWN_VARIABLES == set()


@pytest.mark.parametrize("name", ABOUT_DEPLOYMENT)
def test_every_file_is_there(name: str) -> None:
    named = re.findall(r"(?<![\w./-])(?:\.\./)?((?:infra|deploy|docs|local)/[\w./-]*\w\.\w+)", text(name))
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("name", ["docs/deploy.md", WORKFLOW, *SCRIPTS])
def test_every_parameter_of_a_template_is_one(name: str) -> None:
    """Also: what has no default is given."""
    source = text(name).replace("\\\n", " ").replace("`\n", " ")
    for template, given in re.findall(
        r"--template-file infra/(\S+)(.*?--parameters [^\n;]+)", source, re.DOTALL
    ):
        values = {
            pair.partition("=")[0] for pair in given.partition("--parameters ")[2].split() if "=" in pair
        }
        if "infra/main.bicepparam" in given:
            continue
        parameters = TEMPLATES[template].of_kind(Kind.PARAMETER)
        assert values <= parameters.keys(), name
        assert {each for each, declared in parameters.items() if declared.value is None} <= values, name


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_client_is_one(page: str) -> None:
    for arguments in client_commands(page):
        if arguments[-1] == "--help":
            continue  # it stands for any command
        option_parser().parse_args(arguments)  # ends the process when it is none


def test_there_are_commands_to_look_at() -> None:
    assert len(client_commands("docs/deploy.md")) >= 10
    assert len(client_commands("docs/client.md")) >= 15
    assert ["token"] in client_commands("docs/client.md")


def test_a_command_that_is_none_would_be_seen() -> None:
    with pytest.raises(SystemExit):
        option_parser().parse_args(["subscribe", "--chanel", "chat", "--target", "x"])


@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/local-development.md"])
def test_every_block_is_read_by_the_shell(page: str) -> None:
    for block in shell_blocks(page):
        plain = re.sub(r"<[^<>\n]+>", "VALUE", block)
        read = subprocess.run([BASH, "-n"], input=plain, capture_output=True, text=True, check=False)  # noqa: S603 - reads, runs nothing
        assert read.returncode == 0, read.stderr


def test_azd_finds_what_it_needs() -> None:
    project = document("azure.yaml")
    service = project["services"]["api"]

    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicepparam").is_file()
    assert (service["project"], service["language"], service["host"]) == (".", "python", "function")
    hook = project["hooks"]["postdeploy"]
    assert {hook["posix"]["run"], hook["windows"]["run"]} <= set(SCRIPTS)
    tag = "'azd-service-name': 'api'"
    assert tag in text("infra/modules/function-app.bicep"), "azd finds the app by its tag"


@pytest.mark.parametrize("script", [each for each in SCRIPTS if not each.endswith(".ps1")])
def test_a_script_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert text(script).startswith("#!/")


def test_the_two_scripts_that_connect_events_say_the_same_to_azure() -> None:
    def said(script: str) -> str:
        plain = text(script).replace("\\\n", " ").replace("`\n", " ").replace('"', "").replace("$env:", "$")
        (call,) = re.findall(r"az deployment group create ([^;\n]*)", plain)
        return " ".join(call.split())

    assert said("deploy/connect_events.sh") == said("deploy/connect_events.ps1")


WORKFLOW_DOCUMENT = document(WORKFLOW)
JOBS = WORKFLOW_DOCUMENT["jobs"]
MOST = {"contents": "read", "id-token": "write", "actions": "read"}


def test_a_job_has_the_least_rights() -> None:
    assert WORKFLOW_DOCUMENT["permissions"] == {"contents": "read"}
    for name, job in JOBS.items():
        rights = job.get("permissions", {})
        assert rights.items() <= MOST.items(), name
        signs_in = any("azure/login" in step.get("uses", "") for step in job["steps"])
        assert ("id-token" in rights) == signs_in, name
        assert ("actions" in rights) == any("gh run" in step.get("run", "") for step in job["steps"]), name
        assert ("environment" in job) == signs_in, name


def test_a_command_that_fails_in_a_pipe_fails_the_step() -> None:
    assert WORKFLOW_DOCUMENT["defaults"] == {"run": {"shell": "bash"}}  # -eo pipefail


def test_the_workflow_holds_no_secret() -> None:
    assert "secrets." not in text(WORKFLOW)
    assert all(
        "client-secret" not in str(step) and "creds" not in step.get("with", {})
        for step in steps(WORKFLOW_DOCUMENT)
    )


@pytest.mark.parametrize(
    "step", [each for each in steps(WORKFLOW_DOCUMENT) if "uses" in each], ids=lambda s: s["uses"][:30]
)
def test_an_action_is_pinned_by_commit(step: dict[str, str]) -> None:
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    assert re.search(re.escape(step["uses"]) + r" # v\d+\.\d+\.\d+", text(WORKFLOW))


def test_no_text_of_others_becomes_a_command() -> None:
    """Expressions are handed over as variables or inputs of actions (GitHub: script injections)."""
    assert [step for step in steps(WORKFLOW_DOCUMENT) if "${{" in step.get("run", "")] == []


def test_what_happens_when() -> None:
    assert triggers(WORKFLOW_DOCUMENT).keys() == {"pull_request", "push", "workflow_dispatch"}
    assert JOBS["deploy"]["needs"] == "check"
    assert JOBS["roll-back"]["needs"] == "deploy"
    assert "failure()" in JOBS["roll-back"]["if"]
    assert "head.repo.full_name == github.repository" in JOBS["what-if"]["if"], "forks get no identity"
    ran = [step.get("run", "") for step in JOBS["deploy"]["steps"]]
    order = [
        next(i for i, run in enumerate(ran) if part in run)
        for part in ("infra/main.bicep", "take_outputs", "deploy_package", "connect_events", "smoke_test")
    ]
    assert order == sorted(order)


def test_the_page_says_what_was_not_tried() -> None:
    for page in ("docs/deploy.md", "docs/local-development.md"):
        assert "**Not tried by us" in text(page)
