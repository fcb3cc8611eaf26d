"""What ``.funcignore`` leaves for Azure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.check.__main__ import ROOT
from infra.check.package import LIMIT_BYTES, check_package, package_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with the real ``.funcignore``."""
    (tmp_path / ".funcignore").write_text((ROOT / ".funcignore").read_text())
    for name in (
        "function_app.py",
        "host.json",
        "requirements.txt",
        "shared/a.py",
        "shared/web/page.css",
        "tests/x.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


def test_the_application_and_nothing_else_is_deployed(project: Path) -> None:
    for name in (
        ".venv/lib/x.py",
        "shared/__pycache__/a.pyc",
        "local/up.py",
        "infra/main.bicep",
        "README.md",
        "infra/check/a.py",
    ):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    left = {path.relative_to(project).as_posix() for path in package_files(project)}

    assert left == {"function_app.py", "host.json", "requirements.txt", "shared/a.py", "shared/web/page.css"}
    assert check_package(project) == []


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("notes.yaml", "lets notes.yaml into the package"),
        ("secrets/key.pem", "lets secrets into the package"),
        ("shared/notes.docx", "a file of a strange kind: shared/notes.docx"),
    ],
)
def test_a_file_too_many_is_found(project: Path, name: str, finding: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("x")

    assert any(finding in each for each in check_package(project))


def test_a_package_without_a_needed_file_is_found(project: Path) -> None:
    (project / ".funcignore").write_text((project / ".funcignore").read_text() + "\nhost.json\n")

    assert check_package(project) == [".funcignore keeps host.json out of the package"]


def test_a_package_that_is_too_large_is_found(project: Path) -> None:
    (project / "shared" / "a.py").write_bytes(b"#" * LIMIT_BYTES)

    assert any("more than" in each for each in check_package(project))
