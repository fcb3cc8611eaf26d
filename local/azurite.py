"""The storage emulator as a part of the stack: ``python -m local.azurite``.

Runs Azurite, unchanged, from ``node_modules``; its access log goes to a file that ``local.event_grid`` reads.
This process adds what Azurite lacks: it stops with the process that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from local.part import LOOPBACK, stop_requested

ACCOUNT_NAME = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The one account and key that Azurite always has; published by Microsoft, no secret."""
STOP_TIMEOUT_SECONDS = 5
_PROGRAM = Path(__file__).parent.parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"


class StoragePorts(NamedTuple):
    """Where the three services listen."""

    blob: int
    queue: int
    table: int

    @property
    def blob_endpoint(self) -> str:
        """Base URL of the account's blobs."""
        return f"http://{LOOPBACK}:{self.blob}/{ACCOUNT_NAME}"

    @property
    def table_endpoint(self) -> str:
        """Base URL of the account's tables."""
        return f"http://{LOOPBACK}:{self.table}/{ACCOUNT_NAME}"

    @property
    def connection_string(self) -> str:
        """As every Azure storage SDK takes it."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_endpoint};"
            f"QueueEndpoint=http://{LOOPBACK}:{self.queue}/{ACCOUNT_NAME};"
            f"TableEndpoint={self.table_endpoint};"
        )


def main() -> int:
    """Run until asked to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.azurite", description="Run the storage emulator.")
    for service in StoragePorts._fields:
        parser.add_argument(f"--{service}-port", type=int, required=True)
    parser.add_argument("--access-log", type=Path, required=True, help="where Azurite's standard output goes")
    parser.add_argument("--data-dir", type=Path, help="where it keeps the data; without it: in memory")
    options = parser.parse_args()
    node = shutil.which("node")
    if node is None or not _PROGRAM.exists():
        print("Azurite is not installed; run: make setup", file=sys.stderr)
        return 1
    ports = StoragePorts(options.blob_port, options.queue_port, options.table_port)
    return asyncio.run(_run(node, ports, options.access_log, options.data_dir))


async def _run(node: str, ports: StoragePorts, access_log: Path, data_dir: Path | None) -> int:
    arguments = ["--disableTelemetry", "--skipApiVersionCheck"]
    for service, port in ports._asdict().items():
        arguments += [f"--{service}Host", LOOPBACK, f"--{service}Port", str(port)]
    arguments += ["--inMemoryPersistence"] if data_dir is None else ["--location", str(data_dir)]
    with access_log.open("ab") as log:
        azurite = await asyncio.create_subprocess_exec(
            node, str(_PROGRAM), *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log
        )
    ended = asyncio.create_task(azurite.wait())
    stop = asyncio.create_task(stop_requested())
    await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        print(f"Azurite ended by itself with exit code {ended.result()}.", file=sys.stderr)
        return 1
    azurite.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(ended), STOP_TIMEOUT_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            azurite.kill()
        await ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
