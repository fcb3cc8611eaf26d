"""``python -m local token``: one bearer token from the running stack's issuer."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import argparse

RUNNING_FILE = Path(__file__).parent.parent / ".local" / "running.json"


def print_token(parsed: argparse.Namespace) -> int:
    """Print the token and nothing else; returns the exit status."""
    try:
        running = json.loads((parsed.ready_file or RUNNING_FILE).read_text())
    except (OSError, ValueError):
        print("No stack is running; start one with: make up", file=sys.stderr)
        return 1
    options = {
        "user": parsed.user,
        "app": parsed.app,
        "scopes": _names(parsed.scope),
        "roles": _names(parsed.role),
        "flaw": parsed.flaw,
    }
    wish = {name: value for name, value in options.items() if value is not None}
    issuer = urlsplit(running["issuer"])
    request = urllib.request.Request(  # noqa: S310 - the running stack's own loopback address
        f"{issuer.scheme}://{issuer.netloc}/local/tokens",
        data=json.dumps(wish).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            print(json.load(answer)["access_token"])
    except urllib.error.HTTPError as error:
        print(f"The issuer refused: {error.read().decode(errors='replace')}", file=sys.stderr)
        return 1
    except urllib.error.URLError as error:
        print(f"The issuer does not answer ({error.reason}); start the stack with: make up", file=sys.stderr)
        return 1
    return 0


def _names(values: list[str] | None) -> list[str] | None:
    """Options can be repeated, or hold several names apart by spaces or commas."""
    if values is None:
        return None
    return [name for value in values for name in value.replace(",", " ").split()]
