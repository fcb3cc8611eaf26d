"""What this version's rows and messages look like, kept as files: the next version has to read them.

``golden/rows`` has two rows of each kind: ``full`` has every property, ``least`` those that every writer
writes. ``docs/compatibility.md`` says how these files may change.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.ports import Entity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Value

FOLDER = Path(__file__).parent / "golden"
ETAG = 'W/"1"'


def document(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def row(name: str) -> Entity:
    """``golden/rows/<name>.json``; each value says its type."""
    told = document(f"rows/{name}.json")
    values = {each: _value(**typed) for each, typed in told["values"].items()}
    return Entity(told["partition_key"], told["row_key"], values, ETAG)


def _value(**typed: Any) -> Value:
    ((type_, value),) = typed.items()
    match type_:
        case "int64":
            return int(value)
        case "time":
            return datetime.fromisoformat(value)
        case _:
            found: Value = value
            return found


def row_names(which: str = "*") -> list[str]:
    return sorted(file.stem for file in (FOLDER / "rows").glob(f"*.{which}.json"))


KINDS = [name.removesuffix(".full") for name in row_names("full")]


def kind_of(entity: Entity) -> str:
    """What sort of row it is, by its key."""
    return "due" if entity.partition_key.startswith("due|") else entity.row_key.partition("|")[0]


def faults(written: Entity) -> list[str]:
    """What the readers of the golden version would not understand of a row.

    They need what every row had, and know every property by one type; what they do not know they leave.
    """
    kind = kind_of(written)
    if kind not in KINDS:
        return [f"rows of the kind {kind} are not known; keep two of them in golden/rows"]
    full, least = row(f"{kind}.full"), row(f"{kind}.least")
    missing = [f"{name} is missing" for name in least.values if name not in written.values]
    retyped = [
        f"{name} is a {type(value).__name__}"
        for name, value in written.values.items()
        if name in full.values and type(value) is not type(full.values[name])
    ]
    return missing + retyped


def holds(new: Any, old: Any, where: str = "") -> list[str]:
    """What of ``old`` is gone from ``new``, retyped or changed; members that came in are no fault."""
    if isinstance(old, str) and old[:1] in {"[", "{"} and isinstance(new, str):
        old, new = json.loads(old), json.loads(new)
    if type(old) is not type(new):
        return [f"{where}: {type(old).__name__} became {type(new).__name__}"]
    if isinstance(old, dict):
        gone = [f"{where}/{name} is gone" for name in old if name not in new]
        kept: Mapping[str, Any] = {name: value for name, value in old.items() if name in new}
        return gone + [
            fault for name, value in kept.items() for fault in holds(new[name], value, f"{where}/{name}")
        ]
    if isinstance(old, list) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return [
            fault
            for number, (one, other) in enumerate(pairs)
            for fault in holds(other, one, f"{where}/{number}")
        ]
    return [] if old == new else [f"{where}: {old!r} became {new!r}"]
