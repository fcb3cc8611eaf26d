"""The queries of alerts and workbook are Kusto that names what is there: Microsoft's own parser says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.check.__main__ import ROOT
from tests.clients.node import run_node

if TYPE_CHECKING:
    from pathlib import Path

COMMON = (
    "timestamp:datetime,itemType:string,itemCount:int,customDimensions:dynamic,operation_Id:string,"
    "cloud_RoleName:string,cloud_RoleInstance:string"
)
CALL = f"{COMMON},id:string,name:string,success:string,resultCode:string,duration:real"
VALUES = "value:real,valueCount:int,valueSum:real,valueMin:real,valueMax:real"
TABLES = {
    "requests": f"{CALL},url:string",
    "dependencies": f"{CALL},target:string,type:string,data:string",
    "customEvents": f"{COMMON},name:string",
    "customMetrics": f"{COMMON},name:string,{VALUES}",
    "exceptions": f"{COMMON},type:string,outerMessage:string",
    "StorageMalwareScanningResults": "TimeGenerated:datetime,ScanResultType:string,BlobUri:string",
}
"""https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete, as far as the queries go."""
QUERIES = sorted((ROOT / "infra" / "queries").glob("*.kql"))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    path = tmp_path / "tables.json"
    path.write_text(json.dumps(TABLES))
    return path


def test_every_query_is_understood(tables: Path) -> None:
    assert len(QUERIES) > 10
    assert run_node("kusto.mjs", tables, *QUERIES) == {str(query): [] for query in QUERIES}


FLAWED = {
    "customEvents | where nmae == 'x'": "'nmae' does not refer to any known column",
    "customEvents | summarise count()": "Query operator expected",
    "traces | count": "'traces' does not refer to any known table",
    "customEvents | summarize sum(itemCount) by kind = name": "'kind' needs to be bracketed",
}
"""A query, and what is said of it."""


def test_a_query_with_a_flaw_is_not(tables: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.kql" for number, _ in enumerate(FLAWED)]
    for path, query in zip(paths, FLAWED, strict=True):
        path.write_text(query)

    said = run_node("kusto.mjs", tables, *paths)

    for path, message in zip(paths, FLAWED.values(), strict=True):
        assert any(message in each for each in said[str(path)]), said
