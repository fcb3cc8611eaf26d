"""What a new process works until its first upload is answered, over memory adapters; and later.

Prints JSON, in milliseconds of processor time: ``ready_ms`` until the answer, ``background_ms`` that the
exporting thread takes for its start, later. Telemetry is on where the environment has a connection string.
Run by ``benches/telemetry.py`` in processes of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import time


async def answer_first() -> float:
    from tests.unit.shared.portal import SETTINGS, Portal

    settings = SETTINGS.model_copy(
        update={
            "application_insights": _secret(os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING")),
            "telemetry_interval_milliseconds": 300,
        }
    )
    portal = Portal(settings=settings)
    response = await portal.upload(b"ring")
    ready_ms = time.process_time() * 1000
    assert response.status_code == 201
    return ready_ms


def _secret(value: str | None) -> object:
    from pydantic import SecretStr

    return SecretStr(value) if value else None


def main() -> None:
    ready_ms = asyncio.run(answer_first())
    before = time.process_time()
    time.sleep(3)
    print(json.dumps({"ready_ms": ready_ms, "background_ms": (time.process_time() - before) * 1000}))
    os._exit(0)  # nothing is listening to what the thread still holds


if __name__ == "__main__":
    main()
