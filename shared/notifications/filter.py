"""Which files a subscription is told of: a small expression, read once and then asked of each file.

``docs/filters.md`` explains the language. Nothing of a filter is ever run as code.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.notifications.filter_glob import caseless, exact, matcher
from shared.notifications.filter_parser import owner_partition, parse
from shared.notifications.filter_tree import (
    CONTENT_TYPE,
    LABEL_PREFIX,
    NAME,
    OWNER,
    And,
    Comparison,
    Exists,
    Like,
    Not,
    OneOf,
    Or,
    SizeIs,
    fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.notifications.filter_tree import Node

COMPILED_FILTERS = 512
"""As many stay compiled: those of one owner with as many subscriptions as are allowed."""


@dataclass(frozen=True, slots=True)
class FilterSubject:
    """What a filter is asked about."""

    name: str
    content_type: str
    """With its parameters or without; they do not count."""
    size_bytes: int
    labels: Mapping[str, str]
    owner: str
    """The partition of the file's owner."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read; made by ``compile_filter``."""

    text: str
    tree: Node
    _holds: Callable[[FilterSubject], bool]

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it asks about: ``name``, ``owner``, ``label.project`` ..."""
        return fields(self.tree)

    def matches(self, file: FilterSubject) -> bool:
        """Whether the file passes."""
        media_type = file.content_type.partition(";")[0].strip().lower()
        return self._holds(
            FilterSubject(caseless(file.name), media_type, file.size_bytes, file.labels, file.owner)
        )


@lru_cache(maxsize=COMPILED_FILTERS)
def compile_filter(text: str) -> Filter:
    """Read a filter; raises InvalidRequestError (``invalid-filter``) that says where it is wrong and why."""
    tree = parse(text)
    return Filter(text, tree, _compiled(tree))


_COMPARISONS: Mapping[Comparison, Callable[[int, int], bool]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.MORE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


def _compiled(node: Node) -> Callable[[FilterSubject], bool]:
    """The test of a node; it gets the subject with name and content type folded already."""
    match node:
        case Not(inner):
            holds = _compiled(inner)
            return lambda file: not holds(file)
        case And(nodes):
            every = [_compiled(each) for each in nodes]
            return lambda file: all(holds(file) for holds in every)
        case Or(nodes):
            some = [_compiled(each) for each in nodes]
            return lambda file: any(holds(file) for holds in some)
        case SizeIs(comparison, size_bytes):
            compare = _COMPARISONS[comparison]
            return lambda file: compare(file.size_bytes, size_bytes)
        case Exists(field):
            key = field.removeprefix(LABEL_PREFIX)
            return lambda file: key in file.labels
        case Like(field, glob):
            return _on(field, matcher(glob, exact if field.startswith(LABEL_PREFIX) else caseless))
        case OneOf(field, texts):
            return _on(field, _one_of(field, texts))


def _on(field: str, fits: Callable[[str], bool]) -> Callable[[FilterSubject], bool]:
    match field:
        case "name":
            return lambda file: fits(file.name)
        case "content_type":
            return lambda file: fits(file.content_type)
        case "owner":
            return lambda file: fits(file.owner)
        case _:
            key = field.removeprefix(LABEL_PREFIX)
            return lambda file: key in file.labels and fits(exact(file.labels[key]))


def _one_of(field: str, texts: tuple[str, ...]) -> Callable[[str], bool]:
    if field == CONTENT_TYPE:
        if "*/*" in texts:
            return lambda _: True
        whole = frozenset(texts)
        # "image/" of "image/*"
        starts = tuple(text.removesuffix("*") for text in texts if text.endswith("/*"))
        return lambda media_type: media_type in whole or media_type.startswith(starts)
    fold = {NAME: caseless, OWNER: owner_partition}.get(field, exact)
    wanted = frozenset(fold(text) for text in texts)
    return lambda text: text in wanted
