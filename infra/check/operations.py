"""``docs/operations.md`` shows each query as it is, and says of each alert what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.check.bicep import Kind, literal, members, parse, text, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SHOWN = re.compile(r"^### `([a-z-]+)\.kql`$.*?^```kusto\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXPLAINED = re.compile(r"^### ([a-z-]+)$", re.MULTILINE)
_ALONE = re.compile(r"^'\$\{prefix\}-([a-z-]+)'$")
_LOADED = re.compile(r"^\.\./queries/([a-z-]+)\.kql$")


def check_operations(root: Path) -> Sequence[str]:
    """Findings about queries and alerts."""
    page = (root / "docs" / "operations.md").read_text()
    shown = dict(_SHOWN.findall(page))
    kept = {path.stem: path.read_text() for path in (root / "infra" / "queries").glob("*.kql")}
    findings = [
        f"docs/operations.md does not show queries/{name}.kql as it is"
        for name in sorted(kept)
        if shown.get(name) != kept[name]
    ]
    findings += [
        f"docs/operations.md shows a query that is not there: {name}"
        for name in sorted(shown.keys() - kept.keys())
    ]
    files = [parse(root / "infra" / "modules" / name) for name in ("alerts.bicep", "workbook.bicep")]
    strings = [literal(node) or "" for file in files for node in walk(file.root) if node.type == "string"]
    loaded = {found[1] for each in strings if (found := _LOADED.match(each))}
    findings += [
        f"queries/{name}.kql is in no alert and not in the workbook" for name in sorted(kept.keys() - loaded)
    ]
    findings += [f"queries/{name}.kql is not there" for name in sorted(loaded - kept.keys())]
    alerts = set(alert_names(root))
    explained = set(_EXPLAINED.findall(page))
    findings += [
        f"docs/operations.md does not explain the alert {name}" for name in sorted(alerts - explained)
    ]
    findings += [
        f"docs/operations.md explains an alert that is not there: {name}"
        for name in sorted(explained - alerts)
    ]
    return findings


def alert_names(root: Path) -> Sequence[str]:
    """The names of the alerts, without the prefix that a deployment gives them."""
    file = parse(root / "infra" / "modules" / "alerts.bicep")
    listed = [file.of_kind(Kind.VARIABLE)[name].value for name in ("metricAlerts", "queryAlerts")]
    names = [
        literal(members(each)["name"])
        for node in listed
        if node
        for each in node.named_children
        if each.type == "object"
    ]
    params = [members(each.body.get("params")) for each in file.of_kind(Kind.MODULE).values()]
    alone = [_ALONE.match(text(each["name"])) for each in params if "alertDescription" in each]
    return [*filter(None, names), *(found[1] for found in alone if found)]
