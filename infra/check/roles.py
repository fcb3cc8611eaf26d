"""The roles that the Bicep files give are exactly those of the list, and README.md shows that list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from infra.check.bicep import Kind, infra_files, literal, member, members, parse, text, walk
from infra.check.role_list import EXPECTED, PRINCIPALS, ROLE_IDS, SCOPES, Grant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.check.bicep import BicepFile, Declaration

ASSIGNMENT: Final = "Microsoft.Authorization/roleAssignments"
ROLES_FILE: Final = "modules/roles.bicep"
_ROW = re.compile(r"^\| (app|event topic) \| (.+?) \| (.+?) \|", re.MULTILINE)


class _UnknownGrantError(ValueError):
    """A role assignment that the list has no words for."""


def check_roles(root: Path) -> Sequence[str]:
    """Findings about who may do what."""
    findings = []
    for file in infra_files(root):
        others = [
            each.name for each in file.declarations if each.target == ASSIGNMENT and file.name != ROLES_FILE
        ]
        findings += [f"{file.name}: {name} gives a role outside of {ROLES_FILE}" for name in others]
        if any("roleAssignments" in members(node) for node in walk(file.root)):
            findings.append(f"{file.name}: a module is told to give roles: do it in {ROLES_FILE}")
    roles, main = parse(root / "infra" / ROLES_FILE), parse(root / "infra" / "main.bicep")
    for parameter, source in PRINCIPALS.values():
        handed = member(main.of_kind(Kind.MODULE)["roles"].body.get("params"), parameter)
        if handed is None or text(handed) != source:
            findings.append(f"main.bicep: roles.{parameter} is not {source}")
    grants = []
    for each in roles.declarations:
        if each.target == ASSIGNMENT:
            try:
                grants.append(_grant(roles, each))
            except _UnknownGrantError as error:
                findings.append(f"{ROLES_FILE}: {each.name}: {error}")
    findings += [f"{ROLES_FILE}: not in the list: {grant}" for grant in sorted(set(grants) - set(EXPECTED))]
    findings += [
        f"{ROLES_FILE}: in the list and not given: {grant}" for grant in sorted(set(EXPECTED) - set(grants))
    ]
    shown = {
        Grant(who, scope, role)
        for who, role, scope in _ROW.findall((root / "infra" / "README.md").read_text())
    }
    findings += [f"README.md: the table of roles differs: {grant}" for grant in sorted(shown ^ set(EXPECTED))]
    return findings


def _grant(file: BicepFile, assignment: Declaration) -> Grant:
    body = assignment.body
    properties = members(body.get("properties"))
    principal = text(properties["principalId"])
    who = [name for name, (parameter, _) in PRINCIPALS.items() if parameter == principal]
    role_id = re.search(r"roleIds\.(\w+)\)$", text(properties["roleDefinitionId"]))
    ids = members(file.of_kind(Kind.VARIABLE)["roleIds"].value)
    guid = literal(ids.get(role_id[1])) if role_id else None
    role = [name for name, known in ROLE_IDS.items() if known == guid]
    scoped = file.of_kind(Kind.RESOURCE).get(text(body["scope"])) if "scope" in body else None
    place = (scoped.target, text(scoped.body["name"])) if scoped else None
    scope = [name for name, known in SCOPES.items() if known == place]
    if not (who and role and scope):
        raise _UnknownGrantError(f"principal {principal}, role {guid}, scope {place}")
    if (
        text(body["name"])
        != f"guid({text(body['scope'])}.id, {principal}, roleIds.{role_id[1] if role_id else ''})"
    ):
        raise _UnknownGrantError("its name does not follow from scope, principal and role")
    return Grant(who[0], scope[0], role[0])
