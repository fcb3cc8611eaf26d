"""What telemetry costs, beside the same stack without it, in one run.

Processor time of the Functions worker for an upload (accepted and announced) and for a delivery; bytes
exported for an upload with one delivery at the default sampling; and what a new process works more until its
first request is answered.

The claims: at most 2 KB an upload, at most 150 ms of cold start.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import psutil

from local.up import ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE_RATIO = 0.1
"""The service's default."""
EXPORT_SECONDS = 5.0
UPLOADS = 100
"""In each batch: enough for the resolution of processor times, 10 ms."""
ROUNDS = 5
"""The least of them counts: what else the machine does only ever adds."""
STARTS = 5
HOOK = "/hooks/bench-telemetry"
MAX_BYTES = 2048
MAX_COLD_START_MS = 150
MEASUREMENT = "tests.unit.telemetry.first_request"
NOWHERE = "InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=http://127.0.0.1:9/"
TIMEOUT = aiohttp.ClientTimeout(total=90)


@dataclass
class Side:
    """A running stack, with telemetry or without."""

    stack: Stack
    session: aiohttp.ClientSession
    """Signed in."""
    uploads_us: list[float] = field(default_factory=list)
    """Processor time of the worker for each upload, a value for each batch."""
    with_delivery_us: list[float] = field(default_factory=list)

    async def batch(self, number: int, *, told: bool) -> float:
        """Upload and wait until all is done; microseconds of the worker's processor time for each."""
        before = self._cpu_seconds()
        await self._call("DELETE", f"{self.stack.addresses.inbox}/messages")
        for each in range(UPLOADS):
            # Trace ids evenly spread: as many are sampled as the ratio says, and not by chance.
            low = (each * 2**64) // UPLOADS + number
            traceparent = f"00-{number + 1:016x}{low:016x}-00f067aa0ba902b7-01"
            url = f"{self.stack.addresses.api}/api/v1/files"
            async with self.session.post(url, data=b"ring", headers={"traceparent": traceparent}) as answer:
                answer.raise_for_status()
        if told:
            query = f"path={HOOK}&count={UPLOADS}&timeout_seconds=60"
            await self._call("GET", f"{self.stack.addresses.inbox}/messages/wait?{query}")
        await self._announced()
        await asyncio.sleep(EXPORT_SECONDS + 1)
        return (self._cpu_seconds() - before) / UPLOADS * 1e6

    async def _announced(self) -> None:
        url = f"{self.stack.addresses.api}/api/v1/files?status=stored&limit=1"
        while (await self._call("GET", url))["items"]:  # noqa: ASYNC110 - another process announces
            await asyncio.sleep(0.1)

    async def subscribe(self) -> None:
        """Have the inbox told of files."""
        addresses = self.stack.addresses
        wish = {"channel": "webhook", "target": addresses.inbox + HOOK, "events": ["file.stored"]}
        await self._call("POST", f"{addresses.api}/api/v1/subscriptions", json=wish)

    async def exported(self) -> list[Mapping[str, Any]]:
        """What has arrived so far, but for metrics: those come by the minute, not by the upload."""
        items = (await self._call("GET", f"{self.stack.addresses.app_insights}/api/items"))["items"]
        return [each for each in items if each["data"]["baseType"] != "MetricData"]

    async def _call(self, method: str, url: str, **options: Any) -> Any:
        async with self.session.request(method, url, **options) as answer:
            answer.raise_for_status()
            return json.loads(await answer.read() or b"null")

    def _cpu_seconds(self) -> float:
        times = [psutil.Process(pid).cpu_times() for pid in self.stack.worker_pids]
        return float(sum(each.user + each.system for each in times))


async def run() -> int:
    """Measure and print; 1 when a limit is not kept."""
    async with AsyncExitStack() as opened:
        settings = {
            "DROPBELL_TRACE_SAMPLE_RATIO": str(SAMPLE_RATIO),
            "OTEL_BSP_SCHEDULE_DELAY": str(int(EXPORT_SECONDS * 1000)),
            "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        }
        on = await _side(opened, settings)
        off = await _side(opened, settings | {"APPLICATIONINSIGHTS_CONNECTION_STRING": ""})
        await _batches(on, off, told=False)
        for side in (on, off):
            await side.subscribe()
        before = len(await on.exported())
        await _batches(on, off, told=True)
        exported = (await on.exported())[before:]
    bytes_each = sum(len(json.dumps(each, separators=(",", ":"))) for each in exported) / (
        UPLOADS * (ROUNDS + 1)
    )
    starts = await _starts()
    return _print(on, off, bytes_each, starts)


async def _side(opened: AsyncExitStack, settings: Mapping[str, str]) -> Side:
    stack = await opened.enter_async_context(Stack(settings=settings))
    issuer = urlsplit(stack.addresses.issuer)
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as anonymous,
        anonymous.post(f"{issuer.scheme}://{issuer.netloc}/local/tokens", json={"user": "alice"}) as answer,
    ):
        token = (await answer.json())["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    session = await opened.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT, headers=headers))
    return Side(stack, session)


async def _batches(on: Side, off: Side, *, told: bool) -> None:
    """Turn by turn, so that what the machine does besides falls on both; the first round warms up."""
    for number in range(ROUNDS + 1):
        for side in (on, off):
            microseconds = await side.batch(number + (100 if told else 0), told=told)
            if number:
                (side.with_delivery_us if told else side.uploads_us).append(microseconds)


async def _starts() -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {"on": [], "off": []}
    for _ in range(STARTS):
        for name, connection_string in (("on", NOWHERE), ("off", "")):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MEASUREMENT),
                cwd=ROOT,
                env={**os.environ, "APPLICATIONINSIGHTS_CONNECTION_STRING": connection_string},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"the measurement ended with exit code {process.returncode}")
            found[name].append(json.loads(output))
    return found


def _print(on: Side, off: Side, bytes_each: float, starts: Mapping[str, list[dict[str, float]]]) -> int:
    upload = {"on": min(on.uploads_us), "off": min(off.uploads_us)}
    both = {"on": min(on.with_delivery_us), "off": min(off.with_delivery_us)}
    delivery = {side: both[side] - upload[side] for side in both}
    ready = {side: statistics.median(each["ready_ms"] for each in starts[side]) for side in starts}
    background = {side: statistics.median(each["background_ms"] for each in starts[side]) for side in starts}
    print(f"telemetry at its default sampling ({SAMPLE_RATIO:g}), beside telemetry off")
    print("                                        on       off     on - off  on / off")
    rows = (
        ("an upload, processor time (µs)", upload),
        ("a delivery, processor time (µs)", delivery),
        ("both together (µs)", both),
        ("first request of a process (ms)", ready),
        ("in the background after it (ms)", background),
    )
    for name, values in rows:
        added, ratio = values["on"] - values["off"], values["on"] / max(values["off"], 1e-9)
        shown = f"{ratio:9.2f}" if ratio < 100 else "         -"
        print(f"  {name:<32} {values['on']:9.0f} {values['off']:9.0f} {added:11.0f} {shown}")
    added_ms = ready["on"] - ready["off"]
    kept = {
        f"{bytes_each:.0f} bytes an upload with one delivery; limit of {MAX_BYTES}": bytes_each <= MAX_BYTES,
        f"{added_ms:.0f} ms of cold start; limit of {MAX_COLD_START_MS}": added_ms <= MAX_COLD_START_MS,
    }
    for claim, is_kept in kept.items():
        print(f"  {claim}: {'kept' if is_kept else 'NOT KEPT'}")
    return 0 if all(kept.values()) else 1
