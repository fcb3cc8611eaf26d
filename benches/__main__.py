"""``python -m benches [NAME …]``: run some of the measurements, or all of them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from benches import deliveries, telemetry, token, uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def main(arguments: list[str] | None = None) -> int:
    """Run the named benches (default: all); 1 when a limit is not kept, 2 for what cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="deliveries, telemetry, token or uploads; default: all"
    )
    parser.add_argument("--mib", type=int, default=256, help="uploads: the file whose speed is measured")
    parser.add_argument(
        "--gib", type=float, default=1, help="uploads: the file during which memory is measured"
    )
    parsed = parser.parse_args(arguments)
    benches: dict[str, Callable[[], Coroutine[None, None, int]]] = {
        "deliveries": deliveries.run,
        "telemetry": telemetry.run,
        "token": token.run,
        "uploads": lambda: uploads.run(parsed.mib, parsed.gib),
    }
    unknown = [name for name in parsed.names if name not in benches]
    if unknown:
        parser.error(f"there is no bench called {unknown[0]}; there are: {', '.join(benches)}")
    return max(asyncio.run(benches[name]()) for name in parsed.names or benches)


if __name__ == "__main__":
    sys.exit(main())
