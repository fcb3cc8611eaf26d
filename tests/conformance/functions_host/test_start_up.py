"""How a host starts, with good and bad apps, files and options."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import APPS, MASTER_KEY, REPOSITORY, RunningHost

if TYPE_CHECKING:
    from tests.conformance.functions_host.conftest import StartHost


def test_broken_app_is_no_crash_and_the_reason_is_told(start_host: StartHost) -> None:
    started = time.monotonic()
    host = start_host("broken")
    assert host.request("GET", "/").status == 200
    assert time.monotonic() - started < 10
    assert host.request("POST", "/admin/host/ping").status == 200
    assert "Exception: RuntimeError: there is a bug at the top" in host.output
    status = host.request("GET", f"/admin/host/status?code={MASTER_KEY}").json()
    assert status["state"] == "Error"
    assert "there is a bug at the top" in status["errors"][0]
    assert host.request("GET", "/api/anything").status == 404
    assert host.stop() == 0


def test_app_that_exits_on_import_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import sys\nsys.exit(5)\n")
    with RunningHost(tmp_path, tmp_path / "host") as host:
        assert host.request("GET", "/").status == 200
        assert "Exception: SystemExit: 5" in host.output


def test_worker_that_cannot_be_kept_running_stops_the_host(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import os\nos._exit(5)\n")
    result = run(str(tmp_path), "--port", "0")
    assert result.returncode == 1
    assert "ended by itself (status 5)" in result.stdout
    assert "The host stops." in result.stdout


def test_workers_end_with_a_killed_host(start_host: StartHost) -> None:
    host = start_host("classic")
    (pid,) = host.status["worker_pids"]
    host.process.kill()
    host.process.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.02)


def test_host_ends_with_its_parent() -> None:
    environment = {**os.environ, "DROPBELL_LOCAL_STOP_WITH_PARENT": "1"}
    command = [sys.executable, "-m", "local.functions_host", str(APPS / "broken"), "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - a command of our own
        command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while b"it has no functions" not in process.stdout.readline():
            pass
        process.communicate(timeout=10)  # closes standard input
        assert process.returncode == 0


def test_folder_without_an_app_has_no_functions(tmp_path: Path) -> None:
    app_dir = tmp_path / "empty"
    app_dir.mkdir()
    with RunningHost(app_dir, tmp_path / "host") as host:
        assert host.request("GET", "/").status == 200
        assert "0 functions found" in host.output


def test_function_that_cannot_run_leaves_the_others_alone(start_host: StartHost) -> None:
    host = start_host("mixed", **{"AzureWebJobs.switched_off.Disabled": "true"})
    assert host.request("GET", "/api/works").body == b"it does"
    assert host.request("GET", "/api/switched-off").status == 404
    errors = host.request("GET", f"/admin/host/status?code={MASTER_KEY}").json()["functionErrors"]
    assert set(errors) == {"storage_queue", "writes", "bad_route", "bad_schedule", "no_connection"}
    assert "'queueTrigger'" in errors["storage_queue"]
    assert "output binding 'out' of type 'queue'" in errors["writes"]
    assert "'nonsense'" in errors["bad_route"]
    assert "MISSING_SETTING" in errors["no_connection"]
    for sentence in errors.values():
        assert sentence in host.lines


def test_local_settings_reach_the_app_and_the_environment_wins(tmp_path: Path) -> None:
    app_dir = tmp_path / "app"
    app_dir.mkdir()
    (app_dir / "function_app.py").write_text(
        "import os, azure.functions as func\n"
        "app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
        "@app.route(route='{name}')\n"
        "def show(req: func.HttpRequest) -> str:\n"
        "    return os.environ.get(req.route_params['name'], 'none')\n"
        "@app.route(route='admin/mine')\n"
        "def reserved(req: func.HttpRequest) -> str:\n"
        "    return 'never'\n"
    )
    (app_dir / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}')
    values = {"FROM_FILE": "file", "FROM_BOTH": "file"}
    (app_dir / "local.settings.json").write_text(
        json.dumps({"Values": values, "Host": {"CORS": "https://a.example", "CORSCredentials": True}})
    )
    with RunningHost(app_dir, tmp_path / "host", {"FROM_BOTH": "environment"}) as host:
        assert host.request("GET", "/FROM_FILE").body == b"file"
        assert host.request("GET", "/FROM_BOTH").body == b"environment"
        assert "the route 'admin/mine' conflicts with a built-in route" in host.output
        allowed = host.request("GET", "/FROM_FILE", headers={"Origin": "https://a.example"})
        assert allowed.header("Access-Control-Allow-Origin") == "https://a.example"
        assert allowed.header("Access-Control-Allow-Credentials") == "true"
        other = host.request("GET", "/FROM_FILE", headers={"Origin": "https://b.example"})
        assert other.header("Access-Control-Allow-Origin") is None
        preflight = host.request(
            "OPTIONS",
            "/FROM_FILE",
            headers={"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"},
        )
        assert (preflight.status, preflight.header("Access-Control-Allow-Methods")) == (204, "PUT")


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("host.json", "{", "is not JSON"),
        ("host.json", '{"functionTimeout": "soon"}', "functionTimeout"),
        ("host.json", '{"extensions": {"serviceBus": {"maxConcurrentCalls": 0}}}', "maxConcurrentCalls"),
        ("local.settings.json", "[]", "must be a JSON object"),
        ("local.settings.json", '{"IsEncrypted": true}', "encrypted"),
        ("local.settings.json", '{"Host": {"LocalHttpPort": "x"}}', "LocalHttpPort"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, file: str, content: str, part: str) -> None:
    (tmp_path / file).write_text(content)
    result = run(str(tmp_path), "--port", "0")
    assert result.returncode == 2
    assert file in result.stderr
    assert part in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_folder_is_told() -> None:
    result = run("/does/not/exist")
    assert (result.returncode, result.stderr) == (2, "There is no folder /does/not/exist.\n")


def test_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(str(APPS / "broken"), "--port", str(port))
    assert result.returncode == 1
    assert f"Port {port} cannot be used" in result.stderr


def test_keys_file_is_made_when_it_is_missing(tmp_path: Path, start_host: StartHost) -> None:
    host = start_host("broken", "--keys-file", str(tmp_path / "made.json"))
    keys = json.loads((tmp_path / "made.json").read_text())
    assert set(keys) == {"master", "functionKeys", "systemKeys"}
    assert (tmp_path / "made.json").stat().st_mode & 0o077 == 0
    assert host.request("GET", f"/admin/functions?code={keys['master']}").status == 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - a command of our own
        [sys.executable, "-m", "local.functions_host", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
