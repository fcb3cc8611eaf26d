"""Run the system topic: ``python -m local.event_grid --port N --access-log FILE …``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from azure.storage.blob.aio import BlobServiceClient

from local.event_grid.access_log import account_path, parse_line
from local.event_grid.blob_lookup import blob_lookup
from local.event_grid.journal import Journal
from local.event_grid.log_tail import LogTail
from local.event_grid.subscriber import Subscriber, subscriber_session
from local.event_grid.subscriptions import Subscription, SubscriptionsError, read_subscriptions
from local.event_grid.topic import SystemTopic
from local.event_grid.web_app import topic_app
from local.part import LOOPBACK, http_site, log_to_stdout, stop_requested

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL_SECONDS = 0.01
MAX_STEP_SECONDS = 86400.0

log = logging.getLogger("local.event_grid")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, read."""

    port: int
    access_log: Path
    connection_string: str
    subscriptions: tuple[Subscription, ...]
    data_dir: Path | None = None
    retry_schedule_seconds: tuple[float, ...] | None = None


async def serve(options: Options) -> None:
    """Publish events until the process is asked to stop."""
    work = asyncio.create_task(publish(options))
    stop = asyncio.create_task(stop_requested())
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        # Cancelled, it ends quietly; failed, its error ends the process.
        await work


async def publish(options: Options) -> None:
    """Publish events for ever."""
    state = None if options.data_dir is None else options.data_dir / "event_grid.sqlite"
    with Journal(state) as journal, LogTail(options.access_log, journal.position()) as tail:
        async with (
            blob_lookup(options.connection_string) as lookup,
            subscriber_session() as session,
            asyncio.TaskGroup() as tasks,
        ):
            subscribers = [
                Subscriber(each, each.policy(options.retry_schedule_seconds), lookup.topic, session)
                for each in options.subscriptions
            ]
            topic = SystemTopic(tasks, lookup, journal, subscribers)
            async with http_site(topic_app(topic), options.port) as port:
                for subscriber in subscribers:
                    tasks.create_task(subscriber.validate())
                resumed = topic.resume()
                log.info("system topic listens: http://%s:%d/ resumed_events=%d", LOOPBACK, port, resumed)
                if not options.access_log.exists():
                    log.warning("access log does not exist yet: %s", options.access_log)
                await follow(tail, topic, account_path(lookup.topic.blob_endpoint))


async def follow(tail: LogTail, topic: SystemTopic, account: str) -> None:
    """Publish what the log tells of, for ever."""
    while True:
        lines = tail.read()
        creations = [creation for line in lines if (creation := parse_line(line, account))]
        if creations:
            topic.publish(creations, tail.position)
        # While there is more to read, only let the others have their turn.
        await asyncio.sleep(0 if lines else POLL_SECONDS)


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; a mistake in it ends the process with one sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m local.event_grid", description=__doc__)
    parser.add_argument(
        "--port", type=int, required=True, help="port of /health, /events, /replay, /behaviour"
    )
    parser.add_argument("--access-log", type=Path, required=True, help="file with Azurite's standard output")
    parser.add_argument("--connection-string", required=True, help="of the storage account")
    parser.add_argument("--subscriptions", type=Path, required=True, help="JSON list of event subscriptions")
    parser.add_argument("--data-dir", type=Path, help="folder that keeps pending events over a restart")
    parser.add_argument(
        "--retry-schedule-seconds",
        type=_schedule,
        help="waits between attempts, such as 0.2,0.5,1, in place of Event Grid's own",
    )
    options = parser.parse_args(arguments)
    try:
        subscriptions = read_subscriptions(options.subscriptions.read_bytes())
    except OSError as error:
        parser.error(f"Subscriptions: {error.strerror}: {options.subscriptions}")
    except SubscriptionsError as error:
        parser.error(str(error))
    try:
        BlobServiceClient.from_connection_string(options.connection_string)
    except ValueError as error:
        parser.error(f"Connection string: {error}")
    return Options(
        port=options.port,
        access_log=options.access_log,
        connection_string=options.connection_string,
        subscriptions=tuple(subscriptions),
        data_dir=options.data_dir,
        retry_schedule_seconds=options.retry_schedule_seconds,
    )


def _schedule(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError:
        steps = ()
    if not steps or not all(0 < step < MAX_STEP_SECONDS for step in steps):
        raise argparse.ArgumentTypeError("must be seconds greater than 0, separated by commas")
    return steps


def main() -> None:
    """Read the command line and publish."""
    options = read_options()
    log_to_stdout()
    # The SDK tells of every request at INFO level.
    logging.getLogger("azure").setLevel(logging.WARNING)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
