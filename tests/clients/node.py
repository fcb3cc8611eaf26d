"""Runs the clients of this folder, which others wrote and which need Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TIMEOUT_SECONDS = 60


def run_node(script: str, *arguments: object) -> dict[str, Any]:
    """What the script printed: one line of JSON, or nothing."""
    assert (FOLDER / "node_modules" / "ready").exists(), (
        f"The clients in {FOLDER} are not installed. `make test` does it; by hand: "
        "npm ci --ignore-scripts && touch node_modules/ready"
    )
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed, or not in PATH."
    ended = subprocess.run(  # noqa: S603 - our own scripts
        [node, str(FOLDER / script), *(str(each) for each in arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout or "{}")
    return told
