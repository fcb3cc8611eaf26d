"""The app registration exposes the scopes and app roles that the application knows, in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.check.bicep import Kind, literal, member, members, parse, text
from shared.identity.permissions import APP_ROLES, OPERATOR_ROLES, SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tree_sitter import Node

    from infra.check.bicep import Declaration


def check_permissions(root: Path) -> Sequence[str]:
    """Findings about entra.bicep."""
    file = parse(root / "infra" / "entra.bicep")
    variables = file.of_kind(Kind.VARIABLE)
    scopes, roles = (_listed(variables[name]) for name in ("scopes", "roles"))
    findings = []
    for kind, listed, known in (("scope", scopes, SCOPES), ("app role", roles, APP_ROLES)):
        names = [literal(each.get("value")) or "" for each in listed]
        findings += [f"the application knows no {kind} {name}" for name in sorted(set(names) - known.keys())]
        findings += [f"{kind} {name} is missing" for name in sorted(known.keys() - set(names))]
        findings += [
            f"{kind} {name} is there twice"
            for name in sorted({each for each in names if names.count(each) > 1})
        ]
    for role in roles:
        name = literal(role.get("value")) or ""
        wanted = "['User', 'Application']" if name in OPERATOR_ROLES else "['Application']"
        if "members" not in role or text(role["members"]) != wanted:
            findings.append(f"app role {name} is not for {wanted}")
    version = member(file.of_kind(Kind.RESOURCE)["api"].body.get("api"), "requestedAccessTokenVersion")
    if version is None or text(version) != "2":
        findings.append("requestedAccessTokenVersion is not 2: tokens would have another issuer and audience")
    return [f"entra.bicep: {finding}" for finding in findings]


def _listed(variable: Declaration) -> Sequence[Mapping[str, Node]]:
    """The objects of an array, each as its members."""
    return [members(each) for each in variable.value.named_children] if variable.value else []
