"""The compiler is asked about each template, and heard."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from infra.check.compiler import check_compiled

if TYPE_CHECKING:
    from pathlib import Path

COMPILER = """
import os, sys
verb, path = sys.argv[1], sys.argv[-1] if sys.argv[-1] != "--stdout" else sys.argv[-2]
with open(os.environ.get("CALLS", "calls"), "a") as calls:
    calls.write(f"{verb} {os.path.basename(path)} {os.environ['AZURE_ENV_NAME']}\\n")
print(open(path).read(), file=sys.stderr)
sys.exit("Error" in open(path).read())
"""


def a_project(folder: Path, **contents: str) -> Path:
    (folder / "infra").mkdir()
    for name in ("main.bicep", "entra.bicep", "events.bicep", "main.bicepparam"):
        (folder / "infra" / name).write_text(contents.get(name.partition(".")[0], ""))
    (folder / "compiler.py").write_text(
        COMPILER.replace('os.environ.get("CALLS", "calls")', repr(str(folder / "calls")))
    )
    return folder


def test_every_template_is_built_and_linted(tmp_path: Path) -> None:
    project = a_project(tmp_path)

    assert check_compiled(project, [sys.executable, str(project / "compiler.py")]) == []
    assert sorted((project / "calls").read_text().splitlines()) == [
        "build entra.bicep sample",
        "build events.bicep sample",
        "build main.bicep sample",
        "build-params main.bicepparam sample",
        "lint entra.bicep sample",
        "lint events.bicep sample",
        "lint main.bicep sample",
    ]


def test_an_error_is_a_finding_and_a_warning_is_none(tmp_path: Path) -> None:
    said = "events.bicep(3,7) : Error BCP057: no such name"
    warned = "main.bicep(3,7) : Warning BCP081: no types"
    project = a_project(tmp_path, events=said, entra="Error without a place", main=warned)

    findings = check_compiled(project, [sys.executable, str(project / "compiler.py")])

    assert f"build events.bicep: {said}" in findings
    assert any(finding.startswith("lint entra.bicep: exit code 1") for finding in findings)
    assert not any("main.bicep" in finding for finding in findings)
