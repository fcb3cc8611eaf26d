"""Every way of a large file, beside the SDK straight to Azurite and beside @tus/server on the same Azurite.

The claim: whichever way 1 GiB goes, the worker's memory stays within 48 MiB of what it has when idle.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from azure.storage.blob.aio import ContainerClient

from benches.ways import MEBIBYTE, PATCH_BYTES, Dropbell, Storage, Tus
from benches.worker_memory import peak_bytes_during, resident_bytes
from local.up import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

FOLDER = Path(__file__).parent
WARM_UP_BYTES = 32 * MEBIBYTE
"""Loads what the first upload loads; the measurement starts after it."""
LIMIT_BYTES = 48 * MEBIBYTE
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=120)
LARGE_PATCH_BYTES = 96 * MEBIBYTE
"""For @tus/server in place of one PATCH: its store sends each as one block to append, of which Azure takes
100 MiB; with more, its process ends."""
CONTAINER = "bench"
USER = "alice"


@dataclass(frozen=True)
class Measurement:
    """How long one way took, and what it left."""

    way: str
    seconds: float
    result: object


@dataclass(frozen=True)
class Sides:
    """Everything that is compared, up and running."""

    dropbell: Dropbell
    tus: Tus
    tus_server: Tus
    storage: Storage
    worker_pid: int


async def run(speed_mib: int, memory_gib: float) -> int:
    """Measure and print; 1 when the memory's limit is not kept, 2 when something is not installed."""
    if not (FOLDER / "node_modules" / "ready").exists():
        print("@tus/server is not installed; `make bench` does that.", file=sys.stderr)
        return 2
    # Beyond what the bench itself stores.
    os.environ.setdefault("DROPBELL_OWNER_QUOTA_BYTES", str(1024**4))
    async with _sides() as sides:
        await _warm_up(sides)
        kept = await _memory(sides, int(memory_gib * 1024) * MEBIBYTE)
        await _speed(sides, speed_mib * MEBIBYTE)
    return 0 if kept else 1


@asynccontextmanager
async def _sides() -> AsyncIterator[Sides]:
    async with Stack() as stack, aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as anonymous:
        addresses = stack.addresses
        issuer = urlsplit(addresses.issuer)
        url = f"{issuer.scheme}://{issuer.netloc}/local/tokens"
        async with anonymous.post(url, json={"user": USER}) as answer:
            signed_in = {"authorization": f"Bearer {(await answer.json())['access_token']}"}
        base_url = f"{addresses.api}/api/v1"
        connection_string = addresses.storage_connection_string
        async with ContainerClient.from_connection_string(connection_string, CONTAINER) as container:
            await container.create_container()
        async with (
            aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, headers=signed_in) as session,
            _tus_server(connection_string) as tus_server,
        ):
            (worker_pid,) = stack.worker_pids
            yield Sides(
                Dropbell(session, base_url),
                Tus(session, f"{base_url}/uploads"),
                Tus(anonymous, tus_server),
                Storage(connection_string, CONTAINER),
                worker_pid,
            )


@asynccontextmanager
async def _tus_server(connection_string: str) -> AsyncIterator[str]:
    """Its endpoint."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(FOLDER / "tus_server.mjs")),
        *("--container", CONTAINER, "--connection-string", connection_string),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None  # it was asked for
        endpoint = (await process.stdout.readline()).decode().strip()
        if not endpoint:
            raise RuntimeError(f"@tus/server ended with exit code {await process.wait()}")
        yield endpoint
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _warm_up(sides: Sides) -> None:
    file_id = await sides.dropbell.one_request(WARM_UP_BYTES)
    await sides.dropbell.download(file_id)
    made = [file_id, await sides.dropbell.direct(WARM_UP_BYTES), await sides.tus.upload(WARM_UP_BYTES)]
    for each in made:
        await sides.dropbell.delete(str(each))
    await sides.tus_server.upload(WARM_UP_BYTES)
    await sides.storage.upload(WARM_UP_BYTES)


async def _memory(sides: Sides, size_bytes: int) -> bool:
    """Whether every peak is within the limit."""
    dropbell, tus, pid = sides.dropbell, sides.tus, sides.worker_pid
    idle_bytes = resident_bytes(pid)
    peaks = {}
    peaks["one request"], file_id = await peak_bytes_during(dropbell.one_request(size_bytes), pid)
    peaks["download"], _ = await peak_bytes_during(dropbell.download(file_id), pid)
    await dropbell.delete(file_id)
    peaks["tus"], by_tus = await peak_bytes_during(tus.upload(size_bytes), pid)
    await dropbell.delete(str(by_tus))
    print(f"the worker's memory beyond the {idle_bytes / MEBIBYTE:.1f} MiB that it has when idle,")
    print(f"at its peak while {size_bytes / 1024 / MEBIBYTE:g} GiB passes")
    for way, peak_bytes in peaks.items():
        print(f"  {way:<25}{(peak_bytes - idle_bytes) / MEBIBYTE:+7.1f} MiB")
    kept = max(peaks.values()) - idle_bytes <= LIMIT_BYTES
    print(f"  limit of {LIMIT_BYTES // MEBIBYTE} MiB {'kept' if kept else 'NOT KEPT'}")
    return kept


async def _speed(sides: Sides, size_bytes: int) -> None:
    dropbell, storage = sides.dropbell, sides.storage
    patch, large = (f"{size // MEBIBYTE} MiB a PATCH" for size in (PATCH_BYTES, LARGE_PATCH_BYTES))
    uploads = [
        await _measured("SDK straight to Azurite", storage.upload(size_bytes)),
        await _measured(f"@tus/server, {patch}", sides.tus_server.upload(size_bytes)),
        await _measured(f"@tus/server, {large}", sides.tus_server.upload(size_bytes, LARGE_PATCH_BYTES)),
        await _measured("one request", dropbell.one_request(size_bytes)),
        await _measured(f"tus, {patch}", sides.tus.upload(size_bytes)),
        await _measured("tus, one PATCH", sides.tus.upload(size_bytes, size_bytes)),
        await _measured("direct to the blob", dropbell.direct(size_bytes)),
    ]
    _print_speeds("uploads", size_bytes, uploads, {"SDK": uploads[0], "@tus/server": uploads[1]})
    downloads = [
        await _measured("SDK straight from Azurite", storage.download()),
        await _measured("GET …/content", dropbell.download(str(uploads[-1].result))),
    ]
    _print_speeds("downloads", size_bytes, downloads, {"SDK": downloads[0]})
    for each in uploads[3:]:
        await dropbell.delete(str(each.result))


async def _measured(way: str, work: Awaitable[object]) -> Measurement:
    started = time.perf_counter()
    result = await work
    return Measurement(way, time.perf_counter() - started, result)


def _print_speeds(
    what: str, size_bytes: int, measured: Sequence[Measurement], beside: Mapping[str, Measurement]
) -> None:
    heading = "".join(f"  / {name:<12}" for name in beside)
    print(f"{f'{what} of {size_bytes // MEBIBYTE} MiB':<31} MiB/s{heading}")
    for each in measured:
        ratios = "".join(f"{other.seconds / each.seconds:10.2f}      " for other in beside.values())
        print(f"  {each.way:<28}{size_bytes / MEBIBYTE / each.seconds:7.1f} {ratios}".rstrip())
