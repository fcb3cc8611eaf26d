"""Validation of a bearer token whose key is cached, beside a bare PyJWT verification of the same token.

The claim: all the checks together cost at most half of a bare verification more.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEASUREMENT = "tests.unit.identity.token_cost"
"""Runs in a process of its own: the benches do not import the application."""
LIMIT = 1.5


async def run() -> int:
    """Measure and print; 1 when the limit is not kept."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MEASUREMENT), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the measurement ended with exit code {process.returncode}")
    median_us = json.loads(output)
    ratio = median_us["validated"] / median_us["bare"]
    print("validation of a token whose key is cached (median)")
    print(f"  bare PyJWT          {median_us['bare']:7.1f} µs")
    print(f"  Dropbell            {median_us['validated']:7.1f} µs")
    print(f"  Dropbell / PyJWT    {ratio:7.2f}")
    print(f"  limit of {LIMIT}        {'kept' if ratio <= LIMIT else 'NOT KEPT'}")
    return 0 if ratio <= LIMIT else 1
