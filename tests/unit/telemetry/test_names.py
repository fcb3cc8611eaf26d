"""Names of events, fields and metrics: used as listed, documented, and nothing else."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from shared.telemetry.events import FIELDS, SAMPLED, Event
from shared.telemetry.measurements import SHAPES, Metric

ROOT = Path(__file__).parent.parent.parent.parent
NO_FIELDS = {"level"}


@cache
def all_calls() -> list[ast.Call]:
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "shared").rglob("*.py"))]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def calls(name: str) -> list[ast.Call]:
    return [node for node in all_calls() if isinstance(node.func, ast.Name) and node.func.id == name]


def test_every_field_that_is_recorded_is_listed_and_every_listed_one_is_recorded() -> None:
    told = {keyword.arg for call in calls("record") for keyword in call.keywords if keyword.arg}
    assert told - NO_FIELDS == set(FIELDS)


def test_every_event_is_recorded_somewhere() -> None:
    first = {ast.unparse(call.args[0]) for call in calls("record") if call.args}
    assert {f"Event.{event.name}" for event in Event} == first


def test_every_metric_has_a_shape_and_is_measured_somewhere() -> None:
    measured = {
        part for call in calls("measure") for part in re.findall(r"Metric\.\w+", ast.unparse(call.args[0]))
    }
    by_exporter = {"Metric.TELEMETRY_DROPPED"}
    assert set(SHAPES) == set(Metric)
    assert measured | by_exporter == {f"Metric.{metric.name}" for metric in Metric}


def test_the_docs_list_events_fields_and_metrics() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text, re.MULTILINE))
    assert {event.value for event in Event} <= rows.keys()
    assert {metric.value for metric in Metric} <= rows.keys()
    assert {name: rows.get(name) for name in FIELDS} == dict(FIELDS)
    always = {name for name, meaning in rows.items() if "always kept" in meaning}
    assert always == {event.value for event in Event} - SAMPLED
