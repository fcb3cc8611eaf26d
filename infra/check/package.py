"""What is deployed: the files that ``.funcignore`` leaves, the application and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

AT_THE_TOP: Final = {"function_app.py", "host.json", "requirements.txt", "shared"}
ENDINGS: Final = {".py", ".json", ".txt", ".css", ".js", ".html", ".svg", ".typed"}
LIMIT_BYTES: Final = 2 * 1024**2
"""The project's own files. The packages of requirements.txt are added when Azure builds."""


def check_package(root: Path) -> Sequence[str]:
    """Findings about what would be deployed."""
    files = package_files(root)
    top = {file.relative_to(root).parts[0] for file in files}
    findings = [f".funcignore lets {name} into the package" for name in sorted(top - AT_THE_TOP)]
    findings += [f".funcignore keeps {name} out of the package" for name in sorted(AT_THE_TOP - top)]
    strange = [file.relative_to(root) for file in files if file.suffix not in ENDINGS]
    findings += [f"the package has a file of a strange kind: {file}" for file in strange]
    size = package_bytes(root)
    if size > LIMIT_BYTES:
        findings.append(f"the package has {size:,} bytes, more than {LIMIT_BYTES:,}")
    return findings


def package_bytes(root: Path) -> int:
    """The size of the package before it is compressed."""
    return sum(file.stat().st_size for file in package_files(root))


def package_files(root: Path) -> Sequence[Path]:
    """The files of the project that ``.funcignore`` does not name."""
    spec = GitIgnoreSpec.from_lines((root / ".funcignore").read_text().splitlines())
    return sorted(_left(root, root, spec))


def _left(root: Path, folder: Path, spec: GitIgnoreSpec) -> Iterator[Path]:
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if spec.match_file(f"{name}/" if path.is_dir() else name):
            continue
        if path.is_dir():
            yield from _left(root, path, spec)
        else:
            yield path
