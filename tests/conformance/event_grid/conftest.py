"""A real Azurite with its access log in a file, as the local stack runs it."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

AZURITE = Path(__file__).parents[3] / "node_modules" / ".bin" / "azurite"
# The account and key that every Azurite has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Azurite:
    connection_string: str
    access_log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    access_log = tmp_path_factory.mktemp("azurite") / "access.log"
    blob, queue, table = free_port(), free_port(), free_port()
    command = [
        str(AZURITE), "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck",
        "--blobPort", str(blob), "--queuePort", str(queue), "--tablePort", str(table),
    ]  # fmt: skip
    with access_log.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:  # noqa: S603 - our own emulator
        try:
            deadline = time.monotonic() + 30
            while b"Table service is successfully listening" not in access_log.read_bytes():
                assert process.poll() is None, access_log.read_text()
                assert time.monotonic() < deadline, access_log.read_text()
                time.sleep(0.05)
            yield Azurite(
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint=http://127.0.0.1:{blob}/{ACCOUNT};",
                access_log,
            )
        finally:
            process.terminate()
