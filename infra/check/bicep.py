"""Bicep files, parsed with tree-sitter's grammar.

https://learn.microsoft.com/azure/azure-resource-manager/bicep/file. The grammar lacks a few newer forms.
Those that the files need are put in a form that it knows, of the same length, before it reads them:
``extension x`` and ``using '…'`` become blanks, and in a ``.bicepparam`` file ``param x = …`` becomes ``var
x = …``. Others (such as the spread operator) are not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LANGUAGE = Language(tree_sitter_bicep.language())
_UNKNOWN_STATEMENT = re.compile(rb"^(?:extension [A-Za-z]\w*|using '[^'\n]+')[ \t]*$", re.MULTILINE)
_PARAMETER_VALUE = re.compile(rb"^param(?= \w+ =)", re.MULTILINE)


class Kind(StrEnum):
    """What a declaration declares; the values are the grammar's."""

    PARAMETER = "parameter_declaration"
    VARIABLE = "variable_declaration"
    RESOURCE = "resource_declaration"
    MODULE = "module_declaration"
    OUTPUT = "output_declaration"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration at the top of a file."""

    kind: Kind
    name: str
    value: Node | None
    """The default of a parameter, the value of a variable or output, the body of a resource or module."""
    target: str
    """The type of a resource, without its version; the path of a module; otherwise empty."""
    existing: bool
    decorators: frozenset[str]

    @property
    def body(self) -> Mapping[str, Node]:
        """The members of a resource or module, also of a conditional or repeated one."""
        found = (
            next((node for node in walk(self.value) if node.type == "object"), None) if self.value else None
        )
        return members(found) if found else {}


@dataclass(frozen=True, slots=True)
class BicepFile:
    """A parsed file."""

    path: Path
    root: Node
    faults: Sequence[str]
    """Where it is not Bicep."""
    declarations: Sequence[Declaration]

    def of_kind(self, kind: Kind) -> Mapping[str, Declaration]:
        """Its declarations of one kind, by name."""
        return {each.name: each for each in self.declarations if each.kind is kind}

    @property
    def name(self) -> str:
        """Its name within the infra folder."""
        folder = self.path.parent.name
        return self.path.name if folder == "infra" else f"{folder}/{self.path.name}"


def infra_files(root: Path) -> Sequence[BicepFile]:
    """All Bicep files of the project, in order."""
    folder = root / "infra"
    return [parse(path) for path in sorted([*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")])]


def parse(path: Path) -> BicepFile:
    """Read one file; what is wrong in it is among the result's faults."""
    root, faults, declarations = _read(path.suffix, path.read_bytes())
    return BicepFile(path, root, faults, declarations)


@lru_cache(maxsize=256)
def _read(suffix: str, source: bytes) -> tuple[Node, Sequence[str], Sequence[Declaration]]:
    readable = _UNKNOWN_STATEMENT.sub(lambda found: b" " * len(found[0]), source)
    if suffix == ".bicepparam":
        readable = _PARAMETER_VALUE.sub(b"var  ", readable)
    root = Parser(_LANGUAGE).parse(readable).root_node
    return root, tuple(_faults(root)), tuple(_declarations(root))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    """The text of the node, white space made even."""
    return " ".join((node.text or b"").decode().split())


def literal(node: Node | None) -> str | None:
    """The value of a string without interpolation; None for anything else."""
    if (
        node is None
        or node.type != "string"
        or any(part.type == "interpolation" for part in node.named_children)
    ):
        return None
    return text(node)[1:-1].replace("\\'", "'")


def members(node: Node | None) -> Mapping[str, Node]:
    """The members of an object by name, quotes taken off; empty for anything else."""
    if node is None or node.type != "object":
        return {}
    pairs = [child.named_children for child in node.named_children if child.type == "object_property"]
    return {text(pair[0]).strip("'"): pair[-1] for pair in pairs}


def member(node: Node | None, *path: str) -> Node | None:
    """The node at a path of member names; None when it is not there."""
    for name in path:
        node = members(node).get(name)
    return node


def _faults(node: Node) -> Iterator[str]:
    line = node.start_point[0] + 1
    if node.is_missing:
        yield f"line {line}: {node.type} is missing"
    elif node.type == "ERROR":
        yield f"line {line}: not understood: {text(node)[:60]}"
    else:
        for child in node.children:
            yield from _faults(child)


def _declarations(root: Node) -> Iterator[Declaration]:
    decorators: frozenset[str] = frozenset()
    for node in root.named_children:
        if node.type == "decorators":
            calls = [each for each in walk(node) if each.type == "call_expression"]
            decorators = frozenset(text(call.named_children[0]) for call in calls)
        elif node.type in set(Kind):
            yield _declaration(node, decorators)
            decorators = frozenset()


def _declaration(node: Node, decorators: frozenset[str]) -> Declaration:
    kind = Kind(node.type)
    name, *rest = node.named_children
    target = ""
    if kind in {Kind.RESOURCE, Kind.MODULE}:
        target = (literal(rest.pop(0)) or "").split("@")[0]
    values = [child for child in rest if child.type not in {"type", "nullable_type", "comment"}]
    existing = any(child.type == "existing" for child in node.children)
    return Declaration(kind, text(name), values[-1] if values else None, target, existing, decorators)
