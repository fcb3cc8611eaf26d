"""One large file through the whole stack: the worker's memory, and the speed beside the SDK on its own.

The claim: a 1 GiB upload leaves the worker's memory within 48 MiB of where it was, at its peak too.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import psutil
from azure.storage.blob.aio import BlobServiceClient

from local.up import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEBIBYTE = 1024 * 1024
FILE_BYTES = 1024 * MEBIBYTE
WARM_UP_BYTES = 32 * MEBIBYTE
"""Loads what the first upload loads; the measurement starts after it."""
CHUNK = bytes(MEBIBYTE)
BLOCK_BYTES = 4 * MEBIBYTE
LIMIT_BYTES = 48 * MEBIBYTE
SAMPLE_SECONDS = 0.02
USER = "alice"


async def run() -> int:
    """Measure and print; 1 when the limit is not kept."""
    async with Stack() as stack:
        addresses = stack.addresses
        (worker_pid,) = stack.worker_pids
        timeout = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            issuer = addresses.issuer.split("/", 3)
            async with session.post(f"{issuer[0]}//{issuer[2]}/local/tokens", json={"user": USER}) as answer:
                token = (await answer.json())["access_token"]
            url = f"{addresses.api}/api/v1/files"
            headers = {"authorization": f"Bearer {token}"}
            await _upload(session, url, headers, WARM_UP_BYTES)
            before_bytes = psutil.Process(worker_pid).memory_info().rss
            sampling = asyncio.create_task(_peak(worker_pid))
            stack_seconds = await _upload(session, url, headers, FILE_BYTES)
            sampling.cancel()
            peak_bytes = await sampling
            after_bytes = psutil.Process(worker_pid).memory_info().rss
        sdk_seconds = await _straight(addresses.storage_connection_string)
    print(f"upload of {FILE_BYTES // MEBIBYTE} MiB")
    print(f"  worker before       {before_bytes / MEBIBYTE:7.1f} MiB")
    print(f"  worker at its peak  {peak_bytes / MEBIBYTE:7.1f} MiB ({_signed(peak_bytes - before_bytes)})")
    print(f"  worker after        {after_bytes / MEBIBYTE:7.1f} MiB ({_signed(after_bytes - before_bytes)})")
    print(f"  through the stack   {FILE_BYTES / MEBIBYTE / stack_seconds:7.1f} MiB/s")
    print(f"  SDK to Azurite      {FILE_BYTES / MEBIBYTE / sdk_seconds:7.1f} MiB/s")
    print(f"  stack / SDK         {sdk_seconds / stack_seconds:7.2f} of the speed")
    kept = max(peak_bytes, after_bytes) - before_bytes <= LIMIT_BYTES
    print(f"  limit of {LIMIT_BYTES // MEBIBYTE} MiB      {'kept' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


async def _upload(session: aiohttp.ClientSession, url: str, headers: dict[str, str], size: int) -> float:
    started = time.perf_counter()
    length = {"content-length": str(size), "content-type": "application/octet-stream"}
    async with session.post(url, data=_content(size), headers=headers | length) as answer:
        if answer.status != 201:
            raise RuntimeError(f"the upload was answered {answer.status}: {await answer.text()}")
    return time.perf_counter() - started


async def _content(size_bytes: int) -> AsyncIterator[bytes]:
    for _ in range(size_bytes // len(CHUNK)):
        yield CHUNK


async def _peak(pid: int) -> int:
    process, peak_bytes = psutil.Process(pid), 0
    try:
        while True:
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            await asyncio.sleep(SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return peak_bytes


async def _straight(connection_string: str) -> float:
    """The same bytes by the storage SDK alone, with its own parallel blocks of the same size."""
    async with BlobServiceClient.from_connection_string(
        connection_string, max_block_size=4 * MEBIBYTE
    ) as blobs:
        started = time.perf_counter()
        await blobs.get_blob_client("uploads", "bench/straight").upload_blob(
            _content(FILE_BYTES), length=FILE_BYTES, max_concurrency=3, overwrite=True
        )
        return time.perf_counter() - started


def _signed(difference_bytes: int) -> str:
    return f"{difference_bytes / MEBIBYTE:+.1f}"
