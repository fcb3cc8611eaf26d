"""A start that cannot succeed says why and ends with an error code."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conformance.entra.issuer_process import free_port

if TYPE_CHECKING:
    from pathlib import Path


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.entra", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - our own module


def test_a_bad_configuration(tmp_path: Path) -> None:
    config = tmp_path / "directory.json"
    config.write_text('{"tenant_id": "common"}')
    result = start("--port", str(free_port()), "--config", str(config))
    assert result.returncode == 1
    assert "tenant_id" in result.stdout


def test_a_missing_configuration(tmp_path: Path) -> None:
    result = start("--port", str(free_port()), "--config", str(tmp_path / "nowhere.json"))
    assert result.returncode == 1
    assert "nowhere.json" in result.stdout


def test_a_damaged_key_file(tmp_path: Path) -> None:
    (tmp_path / "signing_keys.json").write_text("{")
    result = start("--port", str(free_port()), "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "delete it" in result.stdout


def test_a_port_in_use() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        result = start("--port", str(holder.getsockname()[1]))
    assert result.returncode == 1
    assert "cannot start" in result.stdout


@pytest.mark.parametrize(
    "arguments", [(), ("--port", "0"), ("--port", "x"), ("--port", "1", "--tls-port", "2")]
)
def test_arguments_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    assert start(*arguments).returncode == 2
