from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.app_insights.sender import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class AppInsights:
    """The process as the local stack runs it."""

    process: subprocess.Popen[str]
    address: str

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def post(self, path: str, body: object) -> Any:
        data = json.dumps(body).encode()
        with urllib.request.urlopen(self.address + path, data, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)


@contextmanager
def started(data_dir: Path | None = None) -> Iterator[AppInsights]:
    command = [sys.executable, "-m", "local.app_insights", "--port", "0"]
    command += [] if data_dir is None else ["--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip("/")
        try:
            yield AppInsights(process, address)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def insights() -> Iterator[AppInsights]:
    with quiet_exporters(), started() as running:
        yield running


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """The exporters of this process call nobody but us; their settings are environment variables only."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
