"""Runs every check and says what is wrong: ``python -m infra.check``; exit code 1 when something is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.check.agreement import check_agreement
from infra.check.app_settings import check_app_settings
from infra.check.compiler import check_compiled, compiler
from infra.check.operations import check_operations
from infra.check.package import LIMIT_BYTES, check_package, package_bytes
from infra.check.permissions import check_permissions
from infra.check.roles import check_roles
from infra.check.secret_values import check_secrets
from infra.check.syntax import check_modules, check_names, check_parameter_file, check_pinned, check_syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent
CHECKS: Mapping[str, Callable[[Path], Sequence[str]]] = {
    "every file is Bicep": check_syntax,
    "every name is declared": check_names,
    "modules get what they need": check_modules,
    "modules are verified and pinned": check_pinned,
    "the parameter file fits": check_parameter_file,
    "no secret is shown": check_secrets,
    "app settings are the application's": check_app_settings,
    "names and queue settings agree": check_agreement,
    "roles are those of the list": check_roles,
    "scopes and app roles are the application's": check_permissions,
    "queries and alerts are explained": check_operations,
    "the package is the application": check_package,
}


def main(root: Path = ROOT) -> int:
    """Run the checks on the project; returns the exit code."""
    findings: list[str] = []
    for title, check in CHECKS.items():
        found = check(root)
        _say(f"{'FAILED' if found else 'ok':8}{title}")
        findings += found
    if command := compiler():
        found = check_compiled(root, command)
        _say(f"{'FAILED' if found else 'ok':8}the compiler agrees ({' '.join(command)})")
        findings += found
    else:
        _say("-       the compiler was not asked: neither bicep nor az with Bicep is installed")
    _say(f"        the package has {package_bytes(root):,} bytes of at most {LIMIT_BYTES:,}")
    for finding in findings:
        _say(f"  {finding}")
    return 1 if findings else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
