"""``python -m benches.costs``: prices and limits from what was counted; ``--write`` puts them into the page.

``operations.json`` is counted by a test (tests/conformance/adapters/test_operations.py). ``costs.json`` holds
prices, limits and assumptions, each with its source and how sure it is. Here they are multiplied.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "costs.md"
BEGIN, END = "<!-- made by python -m benches.costs --write -->", "<!-- made until here -->"
MILLION = 1_000_000
DAY_SECONDS = 86_400

WAYS = {
    "one request": ("one_request",),
    "one request with `Idempotency-Key`": ("one_request_with_a_key",),
    "resumable, in one piece": ("resumable",),
    "direct": ("direct", "event_of_a_clients_own_blob"),
}
"""What makes the file; and for each further blob that was made on the way, what its event sets going."""
TOLD_ONCE = ("announced_to_one", "delivery", "look_after_ten_minutes", "forgetting_after_ninety_days")
"""All that one file with one notification brings with it, whichever way it came."""
COUNTED = {
    "one_request": "upload of 1 MB in one request",
    "one_request_with_a_key": "the same with `Idempotency-Key`",
    "one_large_request": "upload of 16 MiB in one request (a block each 4 MiB)",
    "resumable": "resumable upload of 1 MB, in one piece",
    "direct": "direct upload of 1 MB, the client's own write included",
    "event_of_a_clients_own_blob": "the event of the blob that the client wrote",
    "announced_to_nobody": "announcement, no subscription",
    "announced_to_one": "announcement, one subscription",
    "delivery": "delivery",
    "failed_attempt": "attempt that failed",
    "delivery_after_a_failure": "delivery after a failed attempt",
    "look_after_ten_minutes": "the sweep's look at a file after ten minutes",
    "forgetting_after_ninety_days": "forgetting its deliveries after 90 days",
    "sweep_with_nothing_due": "a sweep with nothing due (every minute)",
}
COLUMNS = {
    "executions": "executions",
    "table_requests": "table requests",
    "blob_writes": "blob writes",
    "blob_reads": "blob reads",
    "blob_deletes": "blob deletes",
    "queue_sends": "messages sent",
    "posts": "posts",
}


def read(name: str) -> Any:
    """One of the two data files."""
    return json.loads((HERE / name).read_text())


def for_one_file(way: Sequence[str], operations: Mapping[str, Mapping[str, int]], facts: Any) -> Counter[str]:
    """Every billed operation of one file that comes by ``way`` and is told to one subscriber."""
    total: Counter[str] = Counter()
    for scenario in (*way, *TOLD_ONCE):
        total.update(operations[scenario])
    platform = facts["done_by_the_platform"]
    for does in (*[platform["event"]] * len(way), platform["delivery"]):
        total.update({each["meter"]: each["count"] for each in does})
    total["service_bus"] += total.pop("queue_sends")
    del total["posts"]
    assumed = facts["assumed"]
    total["telemetry_gb"] = assumed["telemetry_kb"] / MILLION
    return total


def gb_seconds(executions: int, assumed: Mapping[str, float]) -> tuple[float, float]:
    """Of one file: where others share the instances, and where it is alone on each of them."""
    busy_seconds = assumed["upload_seconds"] + (executions - 1) * assumed["other_seconds"]
    alone_seconds = executions * assumed["least_billed_seconds"]
    return busy_seconds * assumed["instance_gb"] / assumed["at_a_time"], alone_seconds * assumed[
        "instance_gb"
    ]


def usd_per_million(meter: str, count: float, facts: Any) -> float:
    """What ``count`` of a meter for each file come to for a million files."""
    (price,) = [each for each in facts["prices"] if each["meter"] == meter]
    return float(count * MILLION * price["usd"] / price["per"])


def operations_table(operations: Mapping[str, Mapping[str, int]]) -> str:
    """What was counted."""
    rows = [
        [COUNTED[name], *(str(counts.get(column, "")) for column in COLUMNS)]
        for name, counts in operations.items()
    ]
    return _table(["", *COLUMNS.values()], rows)


def price_table(operations: Mapping[str, Mapping[str, int]], facts: Any) -> str:
    """US dollars for a million files of 1 MB, each told to one subscriber."""
    rows = []
    for title, way in WAYS.items():
        count = for_one_file(way, operations, facts)
        usd = {meter: usd_per_million(meter, number, facts) for meter, number in count.items()}
        busy, alone = (
            usd_per_million("gb_seconds", each, facts)
            for each in gb_seconds(count["executions"], facts["assumed"])
        )
        blobs = usd["blob_writes"] + usd["blob_reads"]
        events = usd["event_grid"] + usd["storage_queue"]
        rest = sum(usd.values())
        cells = (blobs, usd["table_requests"], events, usd["service_bus"], usd["executions"])
        told = [*cells, busy, usd["telemetry_gb"], rest + busy, rest + alone]
        rows.append([title, *(f"{each:.2f}" for each in told)])
    titles = "blobs|tables|events|Service Bus|executions|GB·s, busy|telemetry|**sum, busy**|sum, alone"
    return _table(["way in", *titles.split("|")], rows)


def demand(operations: Mapping[str, Mapping[str, int]], facts: Any) -> dict[str, float]:
    """What one file a second takes of each limited thing."""
    count = for_one_file(WAYS["one request"], operations, facts)
    return {
        "service_bus_credits": 2,  # a send and a receive; what a settlement takes is not stated
        "service_bus_messages": 1,
        "table_requests": count["table_requests"],
        "blob_requests": count["blob_writes"] + count["blob_reads"],
        "blob_trigger_messages": 1,
        "upload_seconds": facts["assumed"]["upload_seconds"],
    }


def capacity_table(operations: Mapping[str, Mapping[str, int]], facts: Any) -> str:
    """How far one of each goes, and how many the great number needs."""
    assumed, takes = facts["assumed"], demand(operations, facts)
    peak = assumed["files_per_day"] / DAY_SECONDS * assumed["peak_factor"]
    rows = []
    for limit in facts["limits"]:
        per_second = limit["limit"] / takes[limit["takes"]]
        needed = math.ceil(peak / per_second)
        rows.append(
            [
                f"{limit['what']}: {limit['limit']:,} [{limit['mark']}]",
                f"{per_second:,.0f}",
                f"{per_second * DAY_SECONDS / MILLION:,.0f} million",
                f"{needed:,}",
                limit["then"],
            ]
        )
    wanted = f"needed for 10⁹ a day ({peak:,.0f} a second at the peak)"
    return _table(["limit", "files a second", "files a day", wanted, "then"], rows)


def price_list(facts: Any) -> str:
    """The prices themselves."""
    rows = [
        [
            each["what"],
            f"{each['usd']:g}",
            f"{each['per']:,}",
            f"[{each['mark']}]",
            each["source"],
            each["as_of"],
        ]
        for each in facts["prices"]
    ]
    return _table(["meter", "USD", "for", "mark", "source", "as of"], rows)


def beside_table(facts: Any) -> str:
    """What is paid by the month, or for what not everybody uses."""
    rows = [[each["what"], f"{each['usd']:g} a month", f"[{each['mark']}]"] for each in facts["monthly"]]
    rows += [[each["what"], f"{each['usd']:g}", f"[{each['mark']}]"] for each in facts["by_use"]]
    return _table(["beside that", "USD", "mark"], rows)


def great_number(operations: Mapping[str, Mapping[str, int]], facts: Any) -> str:
    """The sum for the greatest day on paper."""
    count = for_one_file(WAYS["one request"], operations, facts)
    busy, _ = gb_seconds(count["executions"], facts["assumed"])
    each_million = sum(usd_per_million(meter, number, facts) for meter, number in count.items())
    each_million += usd_per_million("gb_seconds", busy, facts)
    usd = each_million * facts["assumed"]["files_per_day"] / MILLION
    return f"10⁹ files a day, at these list prices: about {usd:,.0f} USD a day, before capacity and egress."


def render() -> str:
    """All that is worked out, as Markdown."""
    operations, facts = read("operations.json"), read("costs.json")
    marks = "; ".join(f"[{mark}] {meaning}" for mark, meaning in facts["marks"].items())
    parts = [
        "### Counted",
        operations_table(operations),
        "### USD for a million files of 1 MB, each told to one subscriber",
        price_table(operations, facts),
        beside_table(facts),
        "### Where it stops",
        capacity_table(operations, facts),
        great_number(operations, facts),
        "### Prices",
        price_list(facts),
        f"Marks: {marks}.",
    ]
    return "\n\n".join(parts)


def page_with(text: str, made: str) -> str:
    """The page with what is made put between its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _decimal(usd: float) -> str:
    return f"{usd:.6f}".rstrip("0").rstrip(".")


def main(arguments: list[str] | None = None) -> int:
    """Print, or write the page; always 0."""
    parser = argparse.ArgumentParser(prog="python -m benches.costs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/costs.md")
    if parser.parse_args(arguments).write:
        PAGE.write_text(page_with(PAGE.read_text(), render()))
    else:
        print(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
