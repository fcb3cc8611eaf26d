"""Run the inbox: ``python -m local.inbox --port N --smtp-port M``."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from local.inbox.archive import Archive
from local.inbox.behaviour import BehaviourBook
from local.inbox.smtp_sink import smtp_site
from local.inbox.store import MessageStore
from local.inbox.web_app import inbox_app
from local.part import LOOPBACK, http_site, log_to_stdout, stop_requested

log = logging.getLogger("local.inbox")


async def serve(port: int, smtp_port: int, data_dir: Path | None) -> None:
    """Serve both ports until the process is asked to stop; ``data_dir`` keeps messages over a restart."""
    store = MessageStore(None if data_dir is None else Archive(data_dir / "inbox.jsonl"))
    behaviours = BehaviourBook()
    async with (
        smtp_site(store, behaviours, smtp_port) as smtp_port,
        http_site(inbox_app(store, behaviours), port) as port,
    ):
        log.info("inbox ready: http://%s:%d/ smtp://%s:%d", LOOPBACK, port, LOOPBACK, smtp_port)
        await stop_requested()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.inbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of the page, the API and /hooks/")
    parser.add_argument("--smtp-port", type=int, required=True, help="port of the SMTP sink")
    parser.add_argument("--data-dir", type=Path, help="folder that keeps what arrived over a restart")
    options = parser.parse_args()
    log_to_stdout()
    asyncio.run(serve(options.port, options.smtp_port, options.data_dir))


if __name__ == "__main__":
    main()
