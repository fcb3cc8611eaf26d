"""The roles that the Bicep files give are exactly those of the list, and README.md shows that list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from infra.check.bicep import Kind, infra_files, literal, member, members, parse, text, walk
from infra.check.role_list import CUSTOM_ROLES, EXPECTED, PRINCIPALS, ROLE_IDS, SCOPES, Grant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.check.bicep import BicepFile, Declaration

ASSIGNMENT: Final = "Microsoft.Authorization/roleAssignments"
DEFINITION: Final = "Microsoft.Authorization/roleDefinitions"
ROLES_FILE: Final = "modules/roles.bicep"
_ROW = re.compile(r"^\| (app|event topic) \| (.+?) \| (.+?) \|", re.MULTILINE)


class _UnknownGrantError(ValueError):
    """A role assignment that the list has no words for."""


def check_roles(root: Path) -> Sequence[str]:
    """Findings about who may do what."""
    findings = []
    for file in infra_files(root):
        others = [
            each.name
            for each in file.declarations
            if each.target in {ASSIGNMENT, DEFINITION} and file.name != ROLES_FILE
        ]
        findings += [f"{file.name}: {name} gives or makes a role outside of {ROLES_FILE}" for name in others]
        if any("roleAssignments" in members(node) for node in walk(file.root)):
            findings.append(f"{file.name}: a module is told to give roles: do it in {ROLES_FILE}")
    roles, main = parse(root / "infra" / ROLES_FILE), parse(root / "infra" / "main.bicep")
    for parameter, source in PRINCIPALS.values():
        handed = member(main.of_kind(Kind.MODULE)["roles"].body.get("params"), parameter)
        if handed is None or text(handed) != source:
            findings.append(f"main.bicep: roles.{parameter} is not {source}")
    grants = []
    for each in roles.declarations:
        if each.target in {ASSIGNMENT, DEFINITION}:
            try:
                if each.target == DEFINITION:
                    _custom_role(roles, each)
                    continue
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
    identity, role = _role(file, text(properties["roleDefinitionId"]))
    scoped = file.of_kind(Kind.RESOURCE).get(text(body["scope"])) if "scope" in body else None
    place = (scoped.target, text(scoped.body["name"])) if scoped else None
    scope = [name for name, known in SCOPES.items() if known == place]
    if not (who and role and scope):
        raise _UnknownGrantError(f"principal {principal}, role {role}, scope {place}")
    if text(body["name"]) != f"guid({text(body['scope'])}.id, {principal}, {identity})":
        raise _UnknownGrantError("its name does not follow from scope, principal and role")
    return Grant(who[0], scope[0], role)


def _role(file: BicepFile, definition: str) -> tuple[str, str | None]:
    """What stands for the role in the file, and its name; None for one that nobody knows."""
    built_in = re.search(r"roleIds\.(\w+)\)$", definition)
    if built_in is not None:
        ids = members(file.of_kind(Kind.VARIABLE)["roleIds"].value)
        guid = literal(ids.get(built_in[1]))
        known = [name for name, known_guid in ROLE_IDS.items() if known_guid == guid]
        return f"roleIds.{built_in[1]}", known[0] if known else None
    made = file.of_kind(Kind.RESOURCE).get(definition.removesuffix(".id"))
    if made is None or made.target != DEFINITION:
        return definition, None
    return text(made.body["name"]), _custom_role(file, made)


def _custom_role(file: BicepFile, definition: Declaration) -> str:
    """The name of a role of our own, which allows what the list says, in this resource group."""
    properties = members(definition.body.get("properties"))
    shown = re.fullmatch(r"'(.+) \(\$\{resourceGroup\(\)\.name\}\)'", text(properties["roleName"]))
    name = shown[1] if shown else text(properties["roleName"])
    permissions = [members(each) for each in properties["permissions"].named_children]
    allowed = [
        (kind, literal(node)) for each in permissions for kind in each for node in each[kind].named_children
    ]
    expected = {("dataActions", action) for action in CUSTOM_ROLES.get(name, ())}
    if set(allowed) != expected or not expected:
        raise _UnknownGrantError(f"the role {name} allows {sorted(map(str, allowed))}")
    if text(properties["assignableScopes"]) != "[resourceGroup().id]":
        raise _UnknownGrantError(f"the role {name} can be given outside of the resource group")
    variable = file.of_kind(Kind.VARIABLE).get(text(definition.body["name"]))
    if (
        variable is None
        or variable.value is None
        or text(variable.value) != f"guid(resourceGroup().id, '{name}')"
    ):
        raise _UnknownGrantError(f"the id of the role {name} does not follow from resource group and name")
    return name
