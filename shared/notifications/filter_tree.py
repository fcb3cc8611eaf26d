"""A filter as a tree, and the tree as text again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.notifications.filter_glob import Wildcard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.notifications.filter_glob import Glob

NAME = "name"
CONTENT_TYPE = "content_type"
SIZE = "size"
OWNER = "owner"
LABEL_PREFIX = "label."

UNIT_BYTES: Mapping[str, int] = {
    "B": 1,
    "KB": 1000,
    "KiB": 1024,
    "MB": 1000**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "GiB": 1024**3,
}
"""The smallest first."""


class Comparison(StrEnum):
    """How sizes are compared; ``!=`` is the negation of EQUAL."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field equals one of the texts: ``=`` with one, ``in`` with several."""

    field: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """A field fits a pattern."""

    field: str
    glob: Glob


@dataclass(frozen=True, slots=True)
class SizeIs:
    """The size compared with a number of bytes."""

    comparison: Comparison
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Exists:
    """The file has such a label."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    node: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more conditions."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more conditions."""

    nodes: tuple[Node, ...]


type Node = OneOf | Like | SizeIs | Exists | Not | And | Or


def fields(node: Node) -> frozenset[str]:
    """The fields that a tree asks about."""
    match node:
        case OneOf(field) | Like(field) | Exists(field):
            return frozenset({field})
        case SizeIs():
            return frozenset({SIZE})
        case Not(inner):
            return fields(inner)
        case And(nodes) | Or(nodes):
            return frozenset().union(*(fields(each) for each in nodes))


def to_text(node: Node) -> str:
    """The tree as somebody would have written it; reading that gives the same tree."""
    match node:
        case Not(inner):
            return _negated(inner)
        case And(nodes):
            return " and ".join(_grouped(each) for each in nodes)
        case Or(nodes):
            # "and" binds tighter, so it needs no parentheses here
            return " or ".join(
                to_text(each) if not isinstance(each, Or) else f"({to_text(each)})" for each in nodes
            )
        case _:
            return _condition(node, negation="")


def _grouped(node: Node) -> str:
    return f"({to_text(node)})" if isinstance(node, And | Or) else to_text(node)


def _negated(node: Node) -> str:
    match node:
        case OneOf(field, (text,)):
            return f"{field} != {_quoted_text(field, text)}"
        case SizeIs(Comparison.EQUAL, size_bytes):
            return f"{SIZE} != {_size(size_bytes)}"
        case OneOf() | Like() | Exists():
            return _condition(node, negation="not ")
        case _:
            return f"not {_grouped(node)}"


def _condition(node: OneOf | Like | SizeIs | Exists, *, negation: str) -> str:
    match node:
        case OneOf(field, (text,)):
            return f"{field} = {_quoted_text(field, text)}"
        case OneOf(field, texts):
            return f"{field} {negation}in ({', '.join(_quoted_text(field, text) for text in texts)})"
        case Like(field, glob):
            return f"{field} {negation}like {_quoted_glob(glob)}"
        case SizeIs(comparison, size_bytes):
            return f"{SIZE} {comparison} {_size(size_bytes)}"
        case Exists(field):
            return f"{field} {negation}exists"


def _size(size_bytes: int) -> str:
    unit_bytes, unit = max(
        (unit_bytes, unit) for unit, unit_bytes in UNIT_BYTES.items() if size_bytes % unit_bytes == 0
    )
    return f"{size_bytes // unit_bytes} {unit}"


def _quoted_text(field: str, text: str) -> str:
    return f'"{_escaped(text, '"\\' if field == CONTENT_TYPE else '"\\*')}"'


def _quoted_glob(glob: Glob) -> str:
    pieces = (piece.value if isinstance(piece, Wildcard) else _escaped(piece, '"\\*?') for piece in glob)
    return f'"{"".join(pieces)}"'


def _escaped(text: str, special: str) -> str:
    return "".join(f"\\{character}" if character in special else character for character in text)
