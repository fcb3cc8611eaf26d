"""``python -m local.service_bus --config FILE [--port N] [--data-dir DIR]``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.part import log_to_stdout, stop_requested
from local.service_bus.cbs import SharedAccessKey
from local.service_bus.config import ConfigError, load_namespace
from local.service_bus.server import (
    DEFAULT_PORT,
    LOOPBACK,
    PREMIUM_MESSAGE_BYTES,
    STANDARD_MESSAGE_BYTES,
    serve,
)
from local.service_bus.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.service_bus.config import Namespace

KEY_NAME_VARIABLE = "DROPBELL_LOCAL_SERVICE_BUS_KEY_NAME"
KEY_VARIABLE = "DROPBELL_LOCAL_SERVICE_BUS_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker until it is asked to stop; returns the exit code."""
    options = _parse(arguments)
    log_to_stdout()
    try:
        namespace = load_namespace(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        asyncio.run(_run(namespace, options))
    except StorageError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        reason = error.strerror or error
        print(f"The broker cannot listen on {LOOPBACK}:{options.port}: {reason}.", file=sys.stderr)
        return 1
    return 0


async def _run(namespace: Namespace, options: argparse.Namespace) -> None:
    key = SharedAccessKey(options.key_name, options.key)
    limit = PREMIUM_MESSAGE_BYTES if options.premium else STANDARD_MESSAGE_BYTES
    stopping = asyncio.create_task(stop_requested())
    await asyncio.sleep(0)  # signals are watched before anybody is told that we are here
    async with serve(
        namespace, port=options.port, key=key, max_message_bytes=limit, data_dir=options.data_dir
    ) as broker:
        print(
            f"Service Bus broker listening on {LOOPBACK}:{broker.port} - {broker.connection_string}",
            flush=True,
        )
        ends: list[asyncio.Future[Any]] = [stopping, broker.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if broker.failed.done():
        raise broker.failed.result()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = SharedAccessKey()
    parser = argparse.ArgumentParser(
        prog="python -m local.service_bus", description="Azure Service Bus, for development and tests."
    )
    parser.add_argument("--config", type=Path, required=True, help="file as Microsoft's emulator takes it")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument(
        "--data-dir", type=Path, help="keep the queues in this folder, over the end of the broker"
    )
    parser.add_argument(
        "--key-name",
        default=os.environ.get(KEY_NAME_VARIABLE) or default.name,
        help=f"or ${KEY_NAME_VARIABLE}",
    )
    parser.add_argument(
        "--key", default=os.environ.get(KEY_VARIABLE) or default.value, help=f"or ${KEY_VARIABLE}"
    )
    parser.add_argument("--premium", action="store_true", help="take messages up to 1 MB instead of 256 KB")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{port} is not a port")
    return port


if __name__ == "__main__":
    sys.exit(main())
