"""The page of costs says what was counted and what is multiplied from it."""

from __future__ import annotations

import math
import re

import pytest

from benches import costs
from local.up import ROOT

OPERATIONS = costs.read("operations.json")
FACTS = costs.read("costs.json")


def test_the_page_is_what_the_calculator_makes() -> None:
    """Where it is not: ``python -m benches.costs --write``. The counts are checked where they are made."""
    text = costs.PAGE.read_text()
    assert costs.page_with(text, costs.render()) == text


@pytest.mark.parametrize("scenario", list(OPERATIONS))
def test_another_count_is_another_page(scenario: str) -> None:
    changed = OPERATIONS | {scenario: OPERATIONS[scenario] | {"table_requests": 99}}
    assert costs.operations_table(changed) not in costs.PAGE.read_text()


def test_every_count_has_a_title_and_a_price_and_none_is_left_over() -> None:
    assert set(costs.COUNTED) == set(OPERATIONS)
    assert {meter for counts in OPERATIONS.values() for meter in counts} <= set(costs.COLUMNS)
    priced = {price["meter"] for price in FACTS["prices"]}
    for way in costs.WAYS.values():
        assert costs.for_one_file(way, OPERATIONS, FACTS).keys() <= priced


@pytest.mark.parametrize("price", FACTS["prices"], ids=lambda price: price["meter"])
def test_a_price_says_how_sure_it_is_and_of_when(price: dict[str, str]) -> None:
    assert price["mark"] in FACTS["marks"]
    assert price["source"]
    assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", price["as_of"])


def test_the_sum_is_that_of_its_parts() -> None:
    """By hand, for one request."""
    count = costs.for_one_file(costs.WAYS["one request"], OPERATIONS, FACTS)
    assert count["table_requests"] == 2 + 6 + 8 + 3 + 4
    assert (count["executions"], count["blob_writes"], count["service_bus"], count["event_grid"]) == (
        3,
        1,
        3,
        2,
    )
    by_hand = 23 * 0.036 + 3 * 0.4 + 5.0 + 1 * 0.4 + 3 * 0.8 + 2 * 0.6 + 3 * 0.4 + 2 * 2.3
    busy = (1.0 + 2 * 0.3) * 0.5 / 8 * 26
    worked_out = sum(costs.usd_per_million(meter, number, FACTS) for meter, number in count.items())
    assert worked_out == pytest.approx(by_hand)
    assert f"| {by_hand + busy:.2f} |" in costs.price_table(OPERATIONS, FACTS)


def test_what_the_text_says_of_the_limits_follows_from_the_table() -> None:
    text = costs.PAGE.read_text()
    files_a_second = 20_000 / costs.demand(OPERATIONS, FACTS)["table_requests"]
    peak = FACTS["assumed"]["files_per_day"] / costs.DAY_SECONDS * FACTS["assumed"]["peak_factor"]

    assert round(files_a_second, -2) == 900
    assert "About 900 files a second: the tables of one storage account" in text
    assert math.ceil(peak / files_a_second) <= 40
    assert "forty cells" in text


def test_an_instance_is_reckoned_as_it_is_deployed() -> None:
    template = (ROOT / "infra" / "main.bicep").read_text()
    (at_a_time,) = re.findall(r"^param httpConcurrency int = (\d+)$", template, re.MULTILINE)
    (memory_mb,) = re.findall(r"^param instanceMemoryMB int = (\d+)$", template, re.MULTILINE)
    assert FACTS["assumed"]["at_a_time"] == int(at_a_time)
    assert FACTS["assumed"]["instance_gb"] == int(memory_mb) / 1024
    assert f"shares an instance of {memory_mb} MB with {int(at_a_time) - 1} others" in costs.PAGE.read_text()
