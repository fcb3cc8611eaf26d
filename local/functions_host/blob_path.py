"""Path patterns of blob triggers: ``container/{owner}/{name}.{extension}``.

A literal matches itself; an expression takes as little as it can, the last one all that is left, slashes
included.

Source: learn.microsoft.com, "Azure Blob storage trigger", blob name patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EXPRESSION = re.compile(r"\{([A-Za-z0-9_\-]+)\}")


class BlobPathError(ValueError):
    """A path pattern cannot be used; the sentence says why."""


@dataclass(frozen=True)
class BlobPath:
    """A parsed pattern, with settings already filled in."""

    text: str
    container: str
    pattern: re.Pattern[str]
    expressions: tuple[str, ...]

    def match(self, container: str, name: str) -> dict[str, str] | None:
        """The expressions' values for a blob, or none when it does not match."""
        match = self.pattern.fullmatch(name) if container == self.container else None
        return dict(zip(self.expressions, match.groups(), strict=True)) if match else None


def parse_blob_path(text: str) -> BlobPath:
    """Parse a pattern; a container alone means all of its blobs.

    Raises:
        BlobPathError: there is no container, it holds an expression, or a brace is left open.
    """
    container, _, name = text.strip("/").partition("/")
    if not container or "{" in container:
        raise BlobPathError(f"The blob path '{text}' must begin with the name of a container.")
    pieces = _EXPRESSION.split(name)
    literals, expressions = pieces[::2], pieces[1::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise BlobPathError(f"The blob path '{text}' has a brace that is no binding expression.")
    if len(set(expressions)) != len(expressions):
        raise BlobPathError(f"The blob path '{text}' uses an expression twice.")
    if not name:
        return BlobPath(text, container, re.compile(".*", re.DOTALL), ())
    pattern = re.escape(literals[0])
    for left, literal in zip(range(len(expressions), 0, -1), literals[1:], strict=True):
        pattern += f"({'.+' if left == 1 else '.+?'}){re.escape(literal)}"
    return BlobPath(text, container, re.compile(pattern, re.DOTALL), tuple(expressions))
