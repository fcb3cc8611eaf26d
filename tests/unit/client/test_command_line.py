"""The command line, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell.command_line import ExitCode, main
from tests.unit.client.certificates import certificate_for, certificate_pem, key_pem, new_rsa_key
from tests.unit.client.fake_api import CORRELATION_ID, FILE_ID, TOKEN, FakeApi, file_json, problem
from tests.unit.client.fake_issuer import TENANT_ID, fake_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SERVICE = {
    "DROPBELL_AUTHORITY": "https://issuer.example/tenant",
    "DROPBELL_CLIENT_ID": "55f622b2-0ab4-48dc-86ac-29f7a125db22",
}
OWNER = "92539e34-19f7-4e73-8c9e-fe70a0cb5533/16ebe823-4c7e-43bd-bed2-d9b86e8d3442"


@pytest.fixture
def environment(api: FakeApi, tmp_path: Path) -> dict[str, str]:
    return {
        "DROPBELL_API": api.url,
        "DROPBELL_TOKEN": TOKEN,
        "DROPBELL_CONFIG_DIR": str(tmp_path / "config"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "client"),
    }


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7")
    return str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["put"],
        ["show"],
        ["show", "a", "b"],
        ["subscription"],
        ["whoami", "--browser"],
        ["whoami", "--client-secret", "shown to everybody"],
        ["subscribe", "--channel", "pigeon", "--target", "x"],
        ["subscribe", "--channel", "webhook"],
        ["--jso", "whoami"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {})
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "sentence"),
    [
        ({"DROPBELL_API": ""}, ["show", "f1"], ExitCode.USAGE, "--api URL or DROPBELL_API"),
        ({"DROPBELL_API": "http://example.com"}, ["show", "f1"], ExitCode.USAGE, "use https"),
        ({"DROPBELL_CA_FILE": "/no/ca.pem"}, ["show", "f1"], ExitCode.USAGE, "/no/ca.pem cannot be read"),
        ({"DROPBELL_TOKEN": "two words"}, ["show", "f1"], ExitCode.USAGE, "no access token has"),
        ({"DROPBELL_TOKEN": ""}, ["show", "f1"], ExitCode.NOT_SIGNED_IN, "dropbell login"),
        ({"DROPBELL_TOKEN": ""}, ["whoami"], ExitCode.NOT_SIGNED_IN, "dropbell login"),
        ({}, ["login"], ExitCode.USAGE, "--authority and --client-id"),
        ({"DROPBELL_TOKEN": "stale"}, ["show", "f1"], ExitCode.NOT_SIGNED_IN, "token is not valid"),
        ({}, ["show", "../f1"], ExitCode.USAGE, "is not a file id"),
        (
            {},
            ["show", "f1"],
            ExitCode.REFUSED,
            f"no such file. (status 404, correlation id {CORRELATION_ID})",
        ),
        ({}, ["show", "f1", "--owner", "alice"], ExitCode.USAGE, "'alice' is not an owner"),
        ({"DROPBELL_OWNER": "alice"}, ["show", "f1"], ExitCode.USAGE, "'alice' is not an owner"),
        ({}, ["subscription", "a/b"], ExitCode.USAGE, "is not a subscription id"),
        ({}, ["put", "/no/file"], ExitCode.USAGE, "/no/file cannot be read"),
        ({}, ["put", "-"], ExitCode.USAGE, "needs a --name"),
        ({}, ["put", "a", "b", "--name", "c"], ExitCode.USAGE, "one file only"),
    ],
)
def test_a_failure_is_one_sentence_and_a_code(
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    arguments: list[str],
    code: ExitCode,
    sentence: str,
) -> None:
    assert main(arguments, environment | changes) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"DROPBELL_CLIENT_SECRET": "s"}, "DROPBELL_CLIENT_SECRET needs --authority and --client-id"),
        (
            {"DROPBELL_CLIENT_SECRET": "s", "DROPBELL_CLIENT_CERTIFICATE": "c"},
            "DROPBELL_CLIENT_SECRET and DROPBELL_CLIENT_CERTIFICATE are set; a service signs in one way",
        ),
        ({**SERVICE, "DROPBELL_CLIENT_CERTIFICATE": "/no/file.pem"}, "/no/file.pem cannot be read"),
        ({**SERVICE, "DROPBELL_CLIENT_CERTIFICATE": os.devnull}, "holds no private key"),
        ({**SERVICE, "DROPBELL_CLIENT_SECRET": "s", "DROPBELL_SCOPES": "Files.Read"}, "scopes of one API"),
        (
            {**SERVICE, "DROPBELL_CLIENT_SECRET": "s", "DROPBELL_AUTHORITY": "http://issuer/tenant"},
            "is not an authority",
        ),
    ],
)
def test_a_service_that_cannot_sign_in_is_a_usage_error(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], changes: dict[str, str], sentence: str
) -> None:
    environment = environment | {"DROPBELL_TOKEN": ""} | changes
    for command in (["whoami"], ["show", "f1"]):
        assert main(command, environment) == ExitCode.USAGE
        assert sentence in capsys.readouterr().err


def test_a_service_signs_in_by_what_its_environment_holds(
    environment: dict[str, str], api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_rsa_key()
    certificate, assertion = tmp_path / "service.pem", tmp_path / "identity-token"
    certificate.write_bytes(key_pem(key, "pass") + certificate_pem(certificate_for(key)))
    assertion.write_text("a.signed.statement")
    api.accepts = lambda token: token.startswith("token-")
    ways: list[dict[str, str]] = [
        {"DROPBELL_CLIENT_SECRET": "the secret"},
        {
            "DROPBELL_CLIENT_CERTIFICATE": str(certificate),
            "DROPBELL_CLIENT_CERTIFICATE_PASSWORD": "pass",
        },
        {"DROPBELL_CLIENT_ASSERTION_FILE": str(assertion)},
    ]
    with fake_issuer(tmp_path) as issuer:
        service = environment | SERVICE | {"DROPBELL_TOKEN": ""}
        options = ["--authority", issuer.authority, "--ca-file", issuer.ca_file, "--json"]
        for way in ways:
            assert main(["show", FILE_ID, *options], service | way) == ExitCode.OK
            assert main(["whoami", *options], service | way) == ExitCode.OK
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1]) == {
        "client_id": SERVICE["DROPBELL_CLIENT_ID"],
        "tenant_id": TENANT_ID,
    }
    assert {request["scope"] for request in issuer.requests} == {"api://dropbell/.default"}
    assert [
        sorted(request.keys() & {"client_secret", "client_assertion"}) for request in issuer.requests
    ] == ([["client_secret"]] * 2 + [["client_assertion"]] * 4)


def test_a_service_that_the_issuer_refuses_is_nobody(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_issuer(tmp_path) as issuer:
        issuer.refusal = {"error": "invalid_client", "error_description": "AADSTS7000215: Wrong.\r\nTrace: 1"}
        service = environment | SERVICE | {"DROPBELL_TOKEN": "", "DROPBELL_CLIENT_SECRET": "wrong"}
        options = ["--authority", issuer.authority, "--ca-file", issuer.ca_file]
        assert main(["whoami", *options], service) == ExitCode.NOT_SIGNED_IN
    assert capsys.readouterr().err == "dropbell: The issuer gave no token: AADSTS7000215: Wrong.\n"


def test_an_app_names_whom_it_acts_for(environment: dict[str, str], api: FakeApi) -> None:
    assert main(["show", FILE_ID, "--owner", OWNER], environment) == ExitCode.OK
    assert main(["show", FILE_ID], environment | {"DROPBELL_OWNER": OWNER}) == ExitCode.OK
    assert [request.headers["Dropbell-Owner"] for request in api.received] == [OWNER, OWNER]


def test_a_service_that_is_not_there_has_a_code_of_its_own(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], closed_port: int
) -> None:
    code = main(["show", "f1", "--api", f"http://127.0.0.1:{closed_port}"], environment)
    assert code == ExitCode.NOT_REACHABLE
    assert "Could not connect" in capsys.readouterr().err


def test_nothing_is_sent_when_one_of_several_files_is_missing(
    environment: dict[str, str], api: FakeApi, report: str
) -> None:
    assert main(["put", report, report + ".missing"], environment) == ExitCode.USAGE
    assert api.received == []


def test_put_uploads_in_order_and_prints_a_line_each(
    environment: dict[str, str], api: FakeApi, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["put", report, report], environment) == ExitCode.OK
    output = capsys.readouterr()
    assert output.out == f"{FILE_ID}  stored  8 bytes  report.pdf\n" * 2
    assert "report.pdf: 100 %" in output.err
    assert len(api.received) == 2


def test_with_json_there_is_json_only(
    environment: dict[str, str], report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", "put", report, report], environment) == ExitCode.OK
    output = capsys.readouterr()
    assert [json.loads(line)["name"] for line in output.out.splitlines()] == ["report.pdf", "report.pdf"]
    assert output.err == ""


def test_with_json_an_error_is_json_too(
    environment: dict[str, str], api: FakeApi, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def too_large(request: web.Request) -> web.StreamResponse:
        return problem(413, "Too large", "The file is too large.")

    api.next_answers.append(too_large)
    assert main(["put", report, "--json"], environment) == ExitCode.REFUSED
    output = capsys.readouterr()
    assert output.out == ""
    assert json.loads(output.err) == {
        "error": {
            "exit_code": 1,
            "detail": "The file is too large.",
            "status": 413,
            "type": "https://dropbell.example/problems/413",
            "title": "Too large",
            "correlation_id": CORRELATION_ID,
        }
    }


def test_show_can_add_the_deliveries(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", FILE_ID, "--deliveries", "--json"], environment) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert found["id"] == FILE_ID
    assert [delivery["id"] for delivery in found["deliveries"]] == ["d1", "d2"]


def test_a_name_cannot_steer_the_terminal(
    environment: dict[str, str], api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    async def hostile(request: web.Request) -> web.StreamResponse:
        return web.json_response(file_json(name="\x1b[2Jgone\x07"))

    api.next_answers.append(hostile)
    assert main(["show", FILE_ID], environment) == ExitCode.OK
    assert "name: \ufffd[2Jgone\ufffd" in capsys.readouterr().out


def test_subscribe_shows_the_secret_once_and_asks_for_stored_files(
    environment: dict[str, str], api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["subscribe", "--channel", "webhook", "--target", "https://example.com/hook"]
    assert main(arguments, environment) == ExitCode.OK
    assert "secret: whsec_c2VjcmV0\n" in capsys.readouterr().out
    assert json.loads(api.received[0].body) == {
        "channel": "webhook",
        "target": "https://example.com/hook",
        "events": ["file.stored"],
    }


def test_a_subscription_is_shown(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["subscription", "sub-1"], environment) == ExitCode.OK
    assert capsys.readouterr().out == "sub-1  active  webhook  https://example.com/hook\n"


def test_logout_works_whether_or_not_somebody_was_signed_in(environment: dict[str, str]) -> None:
    assert main(["logout"], environment) == ExitCode.OK
    assert main(["logout"], environment) == ExitCode.OK


def test_as_a_process_it_uploads_standard_input(environment: dict[str, str], api: FakeApi) -> None:
    arguments = [sys.executable, "-m", "dropbell", "put", "-", "--name", "notes.txt", "--json"]
    done = subprocess.run(  # noqa: S603 - our own program
        arguments, env=environment, input=b"abc", capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"")
    assert json.loads(done.stdout)["content_type"] == "text/plain"
    assert api.received[0].body == b"abc"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs us in the background has SIGINT ignored, and a child would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_process_says_so_without_a_traceback(
    environment: dict[str, str], api: FakeApi
) -> None:
    uploading = threading.Event()

    async def wait_for_body(request: web.Request) -> web.StreamResponse:
        uploading.set()
        await request.content.read()
        return web.Response()

    api.next_answers.append(wait_for_body)
    arguments = [sys.executable, "-m", "dropbell", "put", "-", "--name", "notes.txt"]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - our own program
        arguments, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert uploading.wait(20)
        process.send_signal(signal.SIGINT)  # while it waits for standard input, which never comes
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (ExitCode.INTERRUPTED, b"", b"dropbell: interrupted\n")


def test_output_that_nobody_reads_any_more_is_no_traceback(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dropbell", "whoami"],
            env=environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (ExitCode.OUTPUT_CLOSED, b"")


def test_a_command_imports_only_what_it_needs(environment: dict[str, str]) -> None:
    program = (
        "import sys; from dropbell.command_line import main; code = main(['whoami']);"
        "print(code, *{'msal', 'rich', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0"


def test_a_token_is_printed_for_other_programs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    environment = {"DROPBELL_CONFIG_DIR": str(tmp_path)}

    assert main(["token"], environment | {"DROPBELL_TOKEN": "a.b.c"}) == ExitCode.OK
    assert capsys.readouterr().out == "a.b.c\n"
    assert main(["token"], environment) == ExitCode.NOT_SIGNED_IN
    assert capsys.readouterr().out == ""
