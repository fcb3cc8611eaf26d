"""What the Bicep compiler says of the files, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ENTRY_POINTS: Final = ("main.bicep", "entra.bicep", "events.bicep")
PARAMETERS: Final = "main.bicepparam"
SAMPLE_ENVIRONMENT: Final[Mapping[str, str]] = {
    "AZURE_ENV_NAME": "sample",
    "DROPBELL_API_CLIENT_ID": "00000000-0000-0000-0000-000000000000",
}
"""What the parameter file asks for."""
LIMIT_SECONDS: Final = 300.0


def compiler() -> Sequence[str] | None:
    """The command that runs the compiler; None where there is none. ``az`` is not let install one."""
    if found := shutil.which("bicep"):
        return [found]
    az = shutil.which("az")
    return [az, "bicep"] if az and _run([az, "bicep", "version"]).returncode == 0 else None


def check_compiled(root: Path, command: Sequence[str]) -> Sequence[str]:
    """Errors of ``bicep build``, ``build-params`` and ``lint``; bicepconfig.json says what is an error."""
    folder = root / "infra"
    files = [("build", folder / name) for name in ENTRY_POINTS] + [
        ("lint", folder / name) for name in ENTRY_POINTS
    ]
    findings: list[str] = []
    for verb, path in [*files, ("build-params", folder / PARAMETERS)]:
        through_az = len(command) > 1
        arguments = [*command, verb, *(["--file", str(path)] if through_az else [str(path)])]
        arguments += [] if verb == "lint" else ["--stdout"]
        done = _run(arguments)
        said = [line for line in done.stderr.splitlines() if " : Error " in line]
        findings += [f"{verb} {path.name}: {line}" for line in said]
        if done.returncode and not said:
            findings.append(f"{verb} {path.name}: exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return findings


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **SAMPLE_ENVIRONMENT, "AZURE_BICEP_CHECK_VERSION": "false"}
    return subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS, env=environment
    )
