from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local.service_bus.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [{"Name": "q"}]}]}}))
    return path


def test_it_says_where_it_listens_and_stops_when_asked(config: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "local.service_bus",
        "--port",
        "0",
        "--config",
        str(config),
        "--key",
        "k",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        assert process.stdout is not None
        line = process.stdout.readline()
        port = line.split("127.0.0.1:")[1].split(" ")[0]
        assert line.rstrip().endswith(
            f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=k;UseDevelopmentEmulator=true;"
        )
        socket.create_connection(("127.0.0.1", int(port)), timeout=3).close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(3) == 0


def test_a_bad_configuration_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "missing.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_busy_port_is_one_sentence_and_exit_code_1(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert main(["--config", str(config), "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_damaged_data_file_is_one_sentence_and_exit_code_1(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "service_bus.sqlite3"
    damaged.write_bytes(b"no database" * 500)
    assert main(["--config", str(config), "--port", "0", "--data-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{damaged} is damaged" in error
    assert error.count("\n") == 1
    assert damaged.read_bytes() == b"no database" * 500
