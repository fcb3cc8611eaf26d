"""Run it: ``python -m local.app_insights --port N``."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from local.app_insights.archive import Archive
from local.app_insights.behaviour import BehaviourBook
from local.app_insights.telemetry import TelemetryStore
from local.app_insights.web_app import app_insights_app
from local.part import LOOPBACK, http_site, log_to_stdout, stop_requested

log = logging.getLogger("local.app_insights")


async def serve(port: int, data_dir: Path | None) -> None:
    """Serve until the process is asked to stop; ``data_dir`` keeps the telemetry over a restart."""
    store = TelemetryStore(None if data_dir is None else Archive(data_dir / "telemetry.jsonl"))
    async with http_site(app_insights_app(store, BehaviourBook()), port) as port:
        log.info("Application Insights ready: http://%s:%d/", LOOPBACK, port)
        await stop_requested()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.app_insights", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of ingestion, the page and the API")
    parser.add_argument("--data-dir", type=Path, help="folder that keeps the telemetry over a restart")
    options = parser.parse_args()
    log_to_stdout()
    asyncio.run(serve(options.port, options.data_dir))


if __name__ == "__main__":
    main()
