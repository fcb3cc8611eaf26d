"""``python -m local up | demo | demo-dead-letters | token``: the platform on one machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.up import Stack


SHOWN_ADDRESSES = (
    *("api", "issuer", "inbox", "inbox_smtp", "app_insights"),
    *("blob_endpoint", "table_endpoint", "logs"),
)


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    if parsed.command == "token":
        from local.token_command import print_token

        return print_token(parsed)
    if parsed.command == "demo":
        from local.demo import run_demo

        return asyncio.run(run_demo(stay=parsed.stay))
    if parsed.command == "demo-dead-letters":
        from local.demo_dead_letters import run_demo_dead_letters

        return asyncio.run(run_demo_dead_letters())
    return asyncio.run(_up(parsed))


async def _up(parsed: argparse.Namespace) -> int:
    from local.part import stop_requested
    from local.up import Stack, StackError

    print("Starting the stack …", flush=True)
    stack = Stack(port_base=parsed.port_base, data_dir=parsed.data_dir, ready_file=parsed.ready_file)
    running = asyncio.create_task(_run(stack))
    stopping = asyncio.create_task(stop_requested())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        print("Stopping …", flush=True)
        running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return 0
    except StackError as error:
        print(f"The stack does not run: {error}", file=sys.stderr)
    return 1


async def _run(stack: Stack) -> None:
    async with stack:
        for name in SHOWN_ADDRESSES:
            print(f"  {name.replace('_', ' '):<15} {getattr(stack.addresses, name)}")
        print("All parts are healthy. Ctrl-C stops them.", flush=True)
        await stack.watch()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Dropbell's platform on one machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and stay")
    up.add_argument("--port-base", type=int, help="number the ports from here (default: free ports)")
    up.add_argument("--data-dir", type=Path, help="keep the data in this folder (default: forget it)")
    up.add_argument("--ready-file", type=Path, help="write the addresses here once all is healthy (JSON)")
    demo = commands.add_parser("demo", help="the main job, end to end")
    demo.add_argument("--stay", action="store_true", help="keep the stack running, to look at the trace")
    commands.add_parser("demo-dead-letters", help="a receiver that fails, its dead letters, their redrive")
    token = commands.add_parser("token", help="print a bearer token for the running stack")
    who = token.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="alice, bob or olga")
    who.add_argument("--app", help="ingest-app")
    token.add_argument("--scope", action="append", help="instead of all scopes; can be repeated")
    token.add_argument("--role", action="append", help="instead of the caller's roles; can be repeated")
    token.add_argument("--flaw", help="a way in which the token is no good, such as expired")
    token.add_argument("--ready-file", type=Path, help="of the stack to ask (default: the one started last)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
