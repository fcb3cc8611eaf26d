"""``python -m local.functions_host APP_DIR --port N``: run a function app on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from local.functions_host.console import Console, log_to
from local.functions_host.cors import CorsPolicy
from local.functions_host.host import DEFAULT_MAX_BODY_BYTES, Host, HostOptions, HostStartError
from local.functions_host.host_json import read_host_config
from local.functions_host.keys import HostKeys, generate_keys, keys_from_file, parse_keys
from local.functions_host.settings import SettingsError, read_local_settings, worker_environment
from local.part import stop_requested

KEYS_VARIABLE = "LOCAL_FUNCTIONS_HOST_KEYS"
DEFAULT_PORT = 7071


def main(arguments: list[str] | None = None) -> int:
    """Run the host; returns the exit status (2 when the options or the app's files cannot be used)."""
    parsed = argument_parser().parse_args(arguments)
    try:
        options = host_options(parsed)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(options.config.log_levels)
    log_to(console)
    if options.keys is not None and parsed.keys_file is None and KEYS_VARIABLE not in os.environ:
        print("Keys of this run (choose your own with --keys-file, or --no-auth for none):")
        print(f"  master={options.keys.master} default={options.keys.function_keys['default']}", flush=True)
    try:
        return asyncio.run(_run(options, console))
    except HostStartError as error:
        print(error, file=sys.stderr)
        return 1


async def _run(options: HostOptions, console: Console) -> int:
    async def asked_to_stop() -> None:
        await stop_requested()
        # From now on a second signal ends the process at once; the workers end with their channels.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, os._exit, 1)

    return await Host(options, console).run(asked_to_stop())


def host_options(parsed: argparse.Namespace) -> HostOptions:
    """What the host is started with, from the command line, the app's files and the environment.

    Raises SettingsError when they cannot be used.
    """
    app_dir: Path = parsed.app_dir.resolve()
    if not app_dir.is_dir():
        raise SettingsError(f"There is no folder {app_dir}.")
    settings = read_local_settings(app_dir / "local.settings.json")
    environment = worker_environment(settings)
    port = parsed.port if parsed.port is not None else settings.port
    return HostOptions(
        app_dir=app_dir,
        port=DEFAULT_PORT if port is None else port,
        config=read_host_config(app_dir / "host.json"),
        environment=environment,
        keys=_keys(parsed),
        cors=CorsPolicy(settings.cors_origins, settings.cors_credentials),
        worker_processes=parsed.worker_processes
        or _whole_number(environment, "FUNCTIONS_WORKER_PROCESS_COUNT", 1),
        max_body_bytes=_whole_number(
            environment, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", DEFAULT_MAX_BODY_BYTES
        ),
        status_file=parsed.status_file,
        data_dir=parsed.data_dir,
        drain_seconds=parsed.drain_seconds,
    )


def _keys(parsed: argparse.Namespace) -> HostKeys | None:
    """The keys that callers must show. Where none are given, none are asked for, as with Core Tools."""
    if parsed.auth is False:
        return None
    if parsed.keys_file is not None:
        return keys_from_file(parsed.keys_file)
    if text := os.environ.get(KEYS_VARIABLE):
        try:
            return parse_keys(json.loads(text), KEYS_VARIABLE)
        except ValueError as error:
            raise SettingsError(f"{KEYS_VARIABLE} is not JSON of the right shape: {error}") from error
    return generate_keys() if parsed.auth else None


def _whole_number(environment: dict[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"The setting {name} must be a whole number above zero, not '{text}'.")
    return int(text)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.functions_host",
        description="Run a function app (Python, v2 programming model) on this machine.",
    )
    parser.add_argument("app_dir", type=Path, metavar="APP_DIR", help="the folder with function_app.py")
    parser.add_argument(
        "--port", type=int, help=f"where to listen (default: local.settings.json, else {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--enable-auth",
        dest="auth",
        action="store_true",
        default=None,
        help="callers must show keys (default where keys are given)",
    )
    parser.add_argument("--no-auth", dest="auth", action="store_false", help="nobody has to show a key")
    parser.add_argument(
        "--keys-file", type=Path, help="JSON with the keys; written with fresh keys if it is missing"
    )
    parser.add_argument(
        "--worker-processes", type=int, help="how many workers (default: FUNCTIONS_WORKER_PROCESS_COUNT)"
    )
    parser.add_argument(
        "--status-file", type=Path, help="JSON that always says host_pid, worker_pids and port"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="where queued blob events and timer states outlive a restart"
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=10.0,
        help="how long running functions may go on after a stop (10)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
