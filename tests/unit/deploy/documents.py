"""The files about deployment as the tests read them: YAML, and the shell commands of a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
WORKFLOW = ".github/workflows/deploy.yml"
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy").iterdir() if path.is_file())
_FENCE = re.compile(r"^ *```(?:sh)?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CLIENT = re.compile(r"(?:^|[|;(]) *(?:\.venv/bin/)?dropbell ([^|;)\n]+)", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text()


def document(name: str) -> Any:
    return yaml.safe_load(text(name))


def triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    """YAML 1.1 reads the key ``on`` as a truth."""
    found: dict[str, Any] = workflow[True]
    return found


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def shell_blocks(page: str) -> list[str]:
    """What stands between fences, with continued lines joined."""
    return [block.replace("\\\n", " ") for block in _FENCE.findall(text(page))]


def client_commands(page: str) -> list[list[str]]:
    """Every call of the client in a page's blocks and in its code spans, as its arguments.

    ``<file id>`` and ``$(date)`` stand for one argument each.
    """
    spans = re.findall(r"`([^`\n]+)`", re.sub(_FENCE, "", text(page)))
    found = []
    for source in [*shell_blocks(page), *spans]:
        plain = re.sub(r"(?<= )#.*$", "", source, flags=re.MULTILINE)
        plain = re.sub(r"\$\((?!dropbell)[^()]*\)|<[^<>\n]+>", "VALUE", plain)
        found += [shlex.split(call) for call in _CLIENT.findall(plain)]
    return found
