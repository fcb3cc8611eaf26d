"""No secret is in a file, a parameter that is shown or an output; keys are asked for only where used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from infra.check.bicep import Kind, infra_files, literal, text, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tree_sitter import Node

    from infra.check.bicep import BicepFile, Declaration

NOT_SECRET: Final[Mapping[str, str]] = {
    "insightsConnectionString": "takes nothing without a role: local authentication is off",
    "secretsKeyUri": "says where the key is",
    "secretUri": "says where the key is",
    "secretName": "a name",
}
"""Names that look like a secret's, and why the value is none."""
KEYS_READ: Final = {"events.bicep": 1}
"""Where keys of a resource are asked for, and how often: that of the blob trigger's webhook."""
_SECRET_NAME = re.compile(
    r"secret|password|pwd|credential|connectionString|accessKey|accountKey|apiKey|sasToken|Seed$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"AccountKey=|SharedAccessKey=|[?&]sig=|Bearer |-----BEGIN|[A-Za-z0-9+/]{42,}={1,2}(?![\w=])"
)
_ASKS_FOR_KEYS = re.compile(r"\blist[A-Z]\w*$")


def check_secrets(root: Path) -> Sequence[str]:
    """Findings about secrets in any file."""
    return [f"{file.name}: {finding}" for file in infra_files(root) for finding in _findings(file)]


def _findings(file: BicepFile) -> Iterator[str]:
    secure = {name for name, each in file.of_kind(Kind.PARAMETER).items() if "secure" in each.decorators}
    for name, parameter in file.of_kind(Kind.PARAMETER).items():
        default = text(parameter.value) if parameter.value else None
        if name in secure and default not in {None, "''", "newGuid()"}:
            yield f"parameter {name} is secure and has a default that everybody can read"
        if name not in secure and _SECRET_NAME.search(name) and name not in NOT_SECRET:
            yield f"parameter {name} is a secret by its name and not marked @secure()"
    for name, output in file.of_kind(Kind.OUTPUT).items():
        if _SECRET_NAME.search(name) and name not in NOT_SECRET:
            yield f"output {name} is a secret by its name"
        names = {text(node) for node in _walk(output) if node.type.endswith("identifier")}
        leaked = sorted(names & secure | {each for each in names if _ASKS_FOR_KEYS.search(each)})
        if leaked:
            yield f"output {name} gives away {', '.join(leaked)}"
    identifiers = [text(node) for node in walk(file.root) if node.type.endswith("identifier")]
    asked = sum(1 for name in identifiers if _ASKS_FOR_KEYS.search(name))
    if asked > KEYS_READ.get(file.name, 0):
        yield "keys of a resource are asked for"
    for node in walk(file.root):
        if node.type == "string" and _SECRET_TEXT.search(literal(node) or text(node)):
            yield f"line {node.start_point[0] + 1}: a string that looks like a secret"


def _walk(declaration: Declaration) -> Iterator[Node]:
    return walk(declaration.value) if declaration.value else iter(())
