"""The files are Bicep, and what they name is there.

The compiler finds more, and is asked where it is installed (``infra.check.compiler``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from infra.check.bicep import Kind, infra_files, members, parse, text, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tree_sitter import Node

    from infra.check.bicep import BicepFile, Declaration

FUNCTIONS: Final = frozenset(
    {
        *("any", "bool", "cidrSubnet", "concat", "contains", "empty"),
        *("environment", "fail", "filter", "guid", "int", "join"),
        *("json", "listKeys", "loadJsonContent", "loadTextContent", "map", "newGuid"),
        *("readEnvironmentVariable", "replace", "resourceGroup", "resourceId", "split", "string"),
        *("subscription", "subscriptionResourceId", "substring", "take", "tenant", "union"),
        *("uniqueString",),
    }
)
"""The functions of Bicep that the files use. A new one is added here."""
_DECLARING = {"lambda_expression", "for_statement"}


def check_syntax(root: Path) -> Sequence[str]:
    """Every file is read without a fault."""
    return [f"{file.name}: {fault}" for file in infra_files(root) for fault in file.faults]


def check_names(root: Path) -> Sequence[str]:
    """Every name that an expression uses is declared, and every parameter and variable is used."""
    findings: list[str] = []
    for file in infra_files(root):
        declared = {each.name for each in file.declarations if each.kind is not Kind.OUTPUT}
        used = set(_used(file.root))
        known = declared | set(_local_names(file.root))
        findings += [f"{file.name}: {name} is not declared" for name in sorted(used - known - FUNCTIONS)]
        if file.path.suffix == ".bicep":
            inner = [each for each in file.declarations if each.kind in {Kind.PARAMETER, Kind.VARIABLE}]
            findings += [f"{file.name}: {each.name} is not used" for each in inner if each.name not in used]
    return findings


def check_modules(root: Path) -> Sequence[str]:
    """A module of ours gets parameters that it has and all that it needs; asked-for outputs are there."""
    findings: list[str] = []
    for file in infra_files(root):
        for module in file.of_kind(Kind.MODULE).values():
            if "name" in module.body:  # Bicep makes one that no other deployment of the resource group has
                findings.append(f"{file.name}: {module.name}: a name for its deployment")
            if not module.target.startswith("br/"):
                findings += [f"{file.name}: {module.name}: {fault}" for fault in _module_faults(file, module)]
    return findings


def check_pinned(root: Path) -> Sequence[str]:
    """A module of the registry is one of Microsoft's verified ones, at a version that does not move."""
    findings: list[str] = []
    for file in infra_files(root):
        for module in file.of_kind(Kind.MODULE).values():
            path, _, version = module.target.partition(":")[2].partition(":")
            if module.target.startswith("br") and not (
                module.target.startswith("br/public:")
                and path.startswith("avm/")
                and version.replace(".", "").isdigit()
                and version.count(".") == 2
            ):
                findings.append(
                    f"{file.name}: {module.name}: not a verified module at a full version: {module.target}"
                )
    return findings


def check_parameter_file(root: Path) -> Sequence[str]:
    """``main.bicepparam`` sets what ``main.bicep`` needs, and unless told leaves its defaults."""
    values = parse(root / "infra" / "main.bicepparam").of_kind(Kind.VARIABLE)
    declared = parse(root / "infra" / "main.bicep").of_kind(Kind.PARAMETER)
    findings = [
        f"main.bicepparam: {name} is no parameter of main.bicep" for name in values.keys() - declared.keys()
    ]
    for name, parameter in declared.items():
        if parameter.value is None and name not in values:
            findings.append(f"main.bicepparam: {name} has to be set")
        elif parameter.value is not None and name in values:
            default, given = text(parameter.value), _fallback(values[name])
            if default.strip("'") != given.strip("'"):
                findings.append(f"main.bicepparam: {name} is {given} unless told, in main.bicep {default}")
    return sorted(findings)


def _fallback(value: Declaration) -> str:
    """What the value is when its environment variable is not set."""
    if value.value is None:
        return ""
    calls = [each for each in walk(value.value) if each.type == "call_expression"]
    reads = [each for each in calls if text(each.named_children[0]) == "readEnvironmentVariable"]
    (first, *_) = [text(read.named_children[1].named_children[-1]) for read in reads]
    return "[]" if text(value.value).startswith("empty(") and first == "''" else first


def _module_faults(file: BicepFile, module: Declaration) -> Iterator[str]:
    path = file.path.parent / module.target
    if not path.is_file():
        yield f"there is no {module.target}"
        return
    target = parse(path)
    parameters, given = target.of_kind(Kind.PARAMETER), members(module.body.get("params")).keys()
    for name in sorted(given - parameters.keys()):
        yield f"{module.target} has no parameter {name}"
    for name, parameter in parameters.items():
        if parameter.value is None and name not in given:
            yield f"{module.target} needs {name}"
    for name in sorted(set(_outputs_asked(file.root, module.name)) - target.of_kind(Kind.OUTPUT).keys()):
        yield f"{module.target} has no output {name}"


def _outputs_asked(root: Node, module: str) -> Iterator[str]:
    for node in walk(root):
        if node.type == "member_expression":
            parts = text(node).replace("!", "").replace("?", "").split(".")
            if len(parts) == 3 and parts[:2] == [module, "outputs"]:
                yield parts[2]


def _used(root: Node) -> Iterator[str]:
    """The names in expressions; not those of members and declarations."""
    for node in walk(root):
        parent = node.parent
        if node.type != "identifier" or parent is None:
            continue
        first = parent.named_children[0] == node
        if (first and parent.type in {*Kind, "object_property"}) or parent.type == "for_loop_parameters":
            continue
        inside_decorator = any(each.type == "decorators" for each in _above(node))
        if not inside_decorator and node.parent is not None and node.parent.type != "type":
            yield text(node)


def _above(node: Node) -> Iterator[Node]:
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def _local_names(root: Node) -> Iterator[str]:
    """Names of loop variables and of the parameters of lambdas."""
    for node in walk(root):
        if node.type in _DECLARING and node.named_children[0].type == "identifier":
            yield text(node.named_children[0])
        elif node.type in {"loop_variable", "loop_enumerator"}:
            yield text(node)
