"""``python -m benches [NAME]``: run one measurement, or all of them."""

from __future__ import annotations

import asyncio
import sys

from benches import token, upload

BENCHES = {"token": token.run, "upload": upload.run}


def main(names: list[str]) -> int:
    """Run the named benches (default: all); 1 when a limit is not kept, 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no bench called {unknown[0]}; there are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    return max(asyncio.run(BENCHES[name]()) for name in names or BENCHES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
