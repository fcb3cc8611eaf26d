"""Each check passes on the project, and fails on a copy of it with one flaw."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from infra.check.__main__ import CHECKS, ROOT, main
from tests.unit.infra.flaws import FLAWS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.infra.flaws import Check

NEEDED = (
    *(
        "function_app.py",
        "host.json",
        ".python-version",
        "local.settings.json.example",
        ".funcignore",
        "requirements.txt",
    ),
    *("local/up.py", "local/service_bus.config.json", "shared/files/file.py", "docs/operations.md", "infra"),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the checks read."""
    for name in NEEDED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def test_every_check_passes_on_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert [finding for check in CHECKS.values() for finding in check(ROOT)] == []

    assert "the package has " in _printed(capsys)


def _printed(capsys: pytest.CaptureFixture[str]) -> str:
    main()
    return capsys.readouterr().out


def test_every_check_passes_on_an_untouched_copy(copy: Path) -> None:
    checks = {check for check, *_ in FLAWS}

    assert {check.__name__: list(check(copy)) for check in checks} == {check.__name__: [] for check in checks}


def test_every_check_is_shown_to_fail() -> None:
    in_a_file_of_their_own = {"check_package"}

    assert {check.__name__ for check, *_ in FLAWS} | in_a_file_of_their_own == {
        check.__name__ for check in CHECKS.values()
    }


def _name(each: object) -> str:
    """The same in every process: a function's own text has its address."""
    return str(getattr(each, "__name__", each))[:40]


@pytest.mark.parametrize(("check", "file", "old", "new", "finding"), FLAWS, ids=_name)
def test_a_flaw_is_found(copy: Path, check: Check, file: str, old: str, new: str, finding: str) -> None:
    path = copy / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    found = check(copy)

    assert any(finding in each for each in found), found


def test_the_command_fails_where_a_check_does(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "infra" / "events.bicep").write_text("resource {")

    assert main(copy) == 1
    assert "FAILED  every file is Bicep" in capsys.readouterr().out
