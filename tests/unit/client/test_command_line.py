"""The command line, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell.command_line import ExitCode, main
from tests.unit.client.fake_api import CORRELATION_ID, FILE_ID, TOKEN, FakeApi, file_json, problem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(api: FakeApi, tmp_path: Path) -> dict[str, str]:
    return {
        "DROPBELL_API": api.url,
        "DROPBELL_TOKEN": TOKEN,
        "DROPBELL_CONFIG_DIR": str(tmp_path / "config"),
        "PATH": os.environ["PATH"],
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
