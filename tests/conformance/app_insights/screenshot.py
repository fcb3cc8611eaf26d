"""Take the picture of the trace page that the documentation shows.

``python -m tests.conformance.app_insights.screenshot docs/trace-page.png`` tells a made-up story to a
store of its own; ``--page URL`` takes a trace of a running stack instead.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.clients.node import run_node
from tests.conformance.app_insights.conftest import quiet_exporters, started
from tests.conformance.app_insights.sender import Sender
from tests.conformance.app_insights.traces import FileStory

FIRST_FAILURE = ".row.failed .text"


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--page", help="the address of a trace, as make demo prints it")
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--width", default="1360")
    parser.add_argument("--height", default="1000")
    parser.add_argument("--click", default=FIRST_FAILURE, help="what is looked at; nothing if empty")
    options = parser.parse_args()
    if options.page:
        take(options.page, options)
        return
    with quiet_exporters(), started() as insights:
        with closing(Sender(insights.address)) as sender:
            story = FileStory(sender, datetime.now(UTC) - timedelta(minutes=2)).tell()
        take(f"{insights.address}/traces/{story.trace_id}", options)


def take(page: str, options: argparse.Namespace) -> None:
    """Look at ``page``, wait until something is there, and keep what is seen."""
    orders = ["--do", f"click:{options.click}", "--do", "wait:.details table"] if options.click else []
    size = ["--width", options.width, "--height", options.height, "--scheme", options.scheme]
    picture = ["--screenshot", options.picture.resolve()]
    told = run_node("traces/look.mjs", "--page", page, "--ready", ".row", *orders, *size, *picture)
    for complaint in told["complaints"]:
        print("The page complains:", complaint)
    print(f"{options.picture}: {options.picture.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
