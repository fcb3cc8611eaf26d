"""The commands people type: up, token, demo; they start, stop and fail as people expect."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import requests

from dropbell.command_line import main as dropbell
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, ROOT, RunningStack, running_stack, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PORTS = 11


def run(*command: str, timeout_seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def free_port_range() -> int:
    """A base from which as many ports in a row are free as the stack needs."""
    for base in range(21_000, 60_000, PORTS):
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("not enough ports in a row are free")


def test_data_and_ports_stay_where_they_are_asked_to(tmp_path: Path) -> None:
    base, data_dir = free_port_range(), tmp_path / "data"
    arguments = ("--port-base", str(base), "--data-dir", str(data_dir))
    with running_stack(tmp_path, *arguments) as first:
        assert first.addresses["api"] == f"http://127.0.0.1:{base}"
        hook = "kept"
        subscription = first.subscribe(hook)
        file_id = first.upload(b"kept over a restart").json()["id"]
        assert first.settled_delivery(file_id, subscription["id"])["status"] == "delivered"

    with running_stack(tmp_path, *arguments) as second:
        assert second.get(f"/files/{file_id}").json()["status"] == "settled"
        another = second.upload(b"after the restart").json()["id"]
        assert second.settled_delivery(another, subscription["id"])["status"] == "delivered"
        repeats = [m for m in second.messages(hook, count=2) if m["json"]["subject"] == file_id]
        assert len(repeats) == 1


def test_a_part_that_cannot_start_is_named_with_its_reason(tmp_path: Path) -> None:
    base = free_port_range()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 8))  # the Service Bus port
        taken.listen()
        ended = run("local", "up", "--port-base", str(base), "--data-dir", str(tmp_path))

    assert ended.returncode == 1
    assert "Service Bus" in ended.stderr
    assert str(base + 8) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_parts_end_with_a_launcher_that_was_killed(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    launcher = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "local", "up", "--ready-file", str(ready_file)], cwd=ROOT
    )
    try:
        wait_until(ready_file.exists, timeout_seconds=60)
        parts = psutil.Process(launcher.pid).children(recursive=True)
        assert len(parts) >= 9  # seven parts, Azurite itself, a worker
    finally:
        launcher.kill()
        launcher.wait()

    _, alive = psutil.wait_procs(parts, timeout=20)
    assert alive == []


def test_a_token_for_a_user_and_for_an_app(stack: RunningStack) -> None:
    ready_file = ("--ready-file", str(stack.ready_file))
    for who in (("--user", "alice"), ("--app", "ingest-app")):
        ended = run("local", "token", *who, *ready_file)
        assert ended.returncode == 0, ended.stderr
        (token,) = ended.stdout.split()
        answer = requests.get(
            stack.url("/files/01a20a8e-c528-7c28-9c9e-05cc7d9c46bc"),
            headers={"authorization": f"Bearer {token}"},
            timeout=HTTP_TIMEOUT_SECONDS,
        )
        assert answer.status_code == 404  # known and allowed, but there is no such file

    narrow = run("local", "token", "--user", "alice", "--scope", "Deliveries.Read", *ready_file)
    answer = requests.get(
        stack.url("/files/01a20a8e-c528-7c28-9c9e-05cc7d9c46bc"),
        headers={"authorization": f"Bearer {narrow.stdout.strip()}"},
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    assert answer.status_code == 403
    assert run("local", "token", "--user", "mallory", *ready_file).returncode == 1


def test_the_client_s_command_line_works_against_the_stack(
    stack: RunningStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Grüße.txt"
    path.write_text("ring")
    access = ["--api", stack.addresses["api"], "--token", stack.token(user="alice"), "--json"]

    assert dropbell([*access, "put", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Grüße.txt"
    assert dropbell([*access, "show", "01a20a8e-c528-7c28-9c9e-05cc7d9c46bc"]) == 1


def test_the_demo_shows_the_main_job() -> None:
    command = [sys.executable, "-m", "local", "demo", "--stay"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    assert demo.stdout is not None
    told = ""
    for line in demo.stdout:
        told += line
        if "Ctrl-C" in line:
            break
    try:
        steps = ["accepted", "stored", "announced", "queued", "delivered", "trace"]
        positions = [told.index(f"\n  {step} ") for step in steps]
        assert positions == sorted(positions)
        link = re.search(r"http://127\.0\.0\.1:\d+/traces/[0-9a-f]{32}\n", told)
        assert link is not None
        assert "<title>Trace" in requests.get(link[0].strip(), timeout=HTTP_TIMEOUT_SECONDS).text
    finally:
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)
    assert (demo.returncode, rest) == (0, "Done; everything is stopped.\n")
