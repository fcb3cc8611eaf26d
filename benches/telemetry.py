"""What telemetry costs, beside the same without it, in one run.

Processor time of an upload (accepted and announced), alone and with a delivery, exporting included; bytes
exported for an upload with one delivery at the default sampling, over the whole stack; and what a new process
works more until its first request is answered.

The claims: at most 2 KB an upload, at most 150 ms of cold start.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from local.up import INSTRUMENTATION_KEY, ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE_RATIO = 0.1
"""The service's default."""
EXPORT_SECONDS = 0.5
UPLOADS = 100
TURNS = 5
HOOK = "/hooks/bench-telemetry"
MAX_BYTES = 2048
MAX_COLD_START_MS = 150
COST = "tests.unit.telemetry.telemetry_cost"
FIRST_REQUEST = "tests.unit.telemetry.first_request"
"""They run in processes of their own: the benches do not import the application."""
TIMEOUT = aiohttp.ClientTimeout(total=90)


async def run() -> int:
    """Measure and print; 1 when a limit is not kept."""
    settings = {
        "DROPBELL_TRACE_SAMPLE_RATIO": str(SAMPLE_RATIO),
        "OTEL_BSP_SCHEDULE_DELAY": str(int(EXPORT_SECONDS * 1000)),
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }
    async with Stack(settings=settings) as stack:
        bytes_each = await _bytes_each(stack)
        endpoint = stack.addresses.app_insights
        connection_string = f"InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={endpoint}"
        cost = await _turns(COST, connection_string)
        start = await _turns(FIRST_REQUEST, connection_string)
    return _print(cost, start, bytes_each)


async def _bytes_each(stack: Stack) -> float:
    """Of an upload with one delivery. Metrics are left out: they come by the minute, not by the upload."""
    addresses = stack.addresses
    issuer = urlsplit(addresses.issuer)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:

        async def call(method: str, url: str, **options: Any) -> Any:
            async with session.request(method, url, **options) as answer:
                answer.raise_for_status()
                return json.loads(await answer.read() or b"null")

        url = f"{issuer.scheme}://{issuer.netloc}/local/tokens"
        token = (await call("POST", url, json={"user": "alice"}))["access_token"]
        session.headers["authorization"] = f"Bearer {token}"
        wish = {"channel": "webhook", "target": addresses.inbox + HOOK, "events": ["file.stored"]}
        await call("POST", f"{addresses.api}/api/v1/subscriptions", json=wish)
        await asyncio.sleep(EXPORT_SECONDS * 2)
        before = len((await call("GET", f"{addresses.app_insights}/api/items"))["items"])
        for number in range(UPLOADS):
            # Trace ids evenly spread: as many are sampled as the ratio says, and not by chance.
            traceparent = f"00-{1:016x}{number * 2**64 // UPLOADS:016x}-00f067aa0ba902b7-01"
            headers = {"traceparent": traceparent}
            await call("POST", f"{addresses.api}/api/v1/files", data=b"ring", headers=headers)
        query = f"path={HOOK}&count={UPLOADS}&timeout_seconds=60"
        await call("GET", f"{addresses.inbox}/messages/wait?{query}")
        await asyncio.sleep(EXPORT_SECONDS * 4)
        exported = (await call("GET", f"{addresses.app_insights}/api/items"))["items"][before:]
    return sum(len(json.dumps(each, separators=(",", ":"))) for each in exported) / UPLOADS


async def _turns(module: str, connection_string: str) -> dict[str, dict[str, float]]:
    """What the measurement says with telemetry and without, in turns; the least of each counts."""
    found: dict[str, dict[str, float]] = {"on": {}, "off": {}}
    for _ in range(TURNS):
        for side, value in (("on", connection_string), ("off", "")):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                cwd=ROOT,
                env={**os.environ, "APPLICATIONINSIGHTS_CONNECTION_STRING": value},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"the measurement ended with exit code {process.returncode}")
            for name, measured in json.loads(output).items():
                found[side][name] = min(measured, found[side].get(name, measured))
    return found


def _print(
    cost: Mapping[str, Mapping[str, float]], start: Mapping[str, Mapping[str, float]], bytes_each: float
) -> int:
    print(f"telemetry at its default sampling ({SAMPLE_RATIO:g}), beside telemetry off; processor time")
    print("                                             on       off  on - off")
    for title, measured, name in (
        ("an upload, in memory (µs)", cost, "upload_us"),
        ("an upload with a delivery (µs)", cost, "with_delivery_us"),
        ("a process until its first answer (ms)", start, "ready_ms"),
        ("that process later, in the background (ms)", start, "background_ms"),
    ):
        on, off = measured["on"][name], measured["off"][name]
        print(f"  {title:<42}{on:8.0f}{off:10.0f}{on - off:10.0f}")
    added_ms = start["on"]["ready_ms"] - start["off"]["ready_ms"]
    kept = {
        f"{bytes_each:.0f} bytes an upload with one delivery; limit of {MAX_BYTES}": bytes_each <= MAX_BYTES,
        f"{added_ms:.0f} ms of cold start; limit of {MAX_COLD_START_MS}": added_ms <= MAX_COLD_START_MS,
    }
    for claim, is_kept in kept.items():
        print(f"  {claim}: {'kept' if is_kept else 'NOT KEPT'}")
    return 0 if all(kept.values()) else 1
