from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local.app_insights.story import Story, categorise, tell
from local.app_insights.summary import summarise
from tests.unit.app_insights.samples import TRACE, call, envelope, event, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.app_insights.envelopes import Envelope


def links(*span_ids: str) -> dict[str, str]:
    return {"_MS.links": json.dumps([{"operation_Id": TRACE, "id": each} for each in span_ids])}


def attempt(at_ms: float, span: str, number: int, outcome: str, **properties: str) -> Envelope:
    known = {"delivery_id": "d-1", "attempt": str(number), "outcome": outcome, "channel": "webhook"}
    return event("dropbell.delivery.attempt", at_ms, parent=span, properties=known | properties)


FILE = [
    # As they come: children before their parents.
    call("Blob create", "blob", 10, 30, parent="post"),
    request(
        "POST /api/v1/files",
        "post",
        0,
        50,
        url="http://x",
        properties={"file_id": "f", "correlation_id": "c"},
    ),
    call("Queue send", "send", 70, 5, parent="announce"),
    request("announce", "announce", 60, 20, parent="post", instance="worker-2"),
    attempt(130, "first", 1, "failed", status_code="503"),
    request("deliver", "first", 100, 30, parent="send", success=False),
    request("deliver", "second", 5130, 20, parent="send", properties=links("first")),
    attempt(5150, "second", 2, "delivered", status_code="200"),
]


def rows(story: Story) -> list[tuple[int, str]]:
    return [(row.depth, row.id) for row in story.rows]


def test_spans_are_nested_by_their_parents_and_ordered_by_time() -> None:
    story = tell(TRACE, FILE)
    assert rows(story) == [
        (0, "post"),
        (1, "blob"),
        (1, "announce"),
        (2, "send"),
        (3, "first"),
        (3, "second"),
    ]
    assert (story.duration_ms, story.busy_ms) == (5150, 50 + 20 + 30 + 20)


def test_waits_for_a_queue_and_for_the_retry_schedule_are_told() -> None:
    waits = {row.id: row.wait for row in tell(TRACE, FILE).rows}
    assert waits == {
        "post": None,
        "blob": None,
        "announce": ("queue", 50),
        "send": None,
        "first": ("queue", 75),
        "second": ("retry", 130),
    }


def test_only_the_idle_times_that_would_squash_the_rest_are_folded() -> None:
    assert tell(TRACE, FILE).folds == [(130, 5130)]
    assert tell(TRACE, FILE[:6]).folds == []


def test_what_was_noted_is_told_at_its_span() -> None:
    notes = {row.id: [note.name for note in row.notes] for row in tell(TRACE, FILE).rows}
    assert notes["first"] == notes["second"] == ["dropbell.delivery.attempt"]
    lost = event("dropbell.audit", 3, parent="elsewhere")
    story = tell(TRACE, [*FILE, lost])
    assert (0, "note") in rows(story)


def test_an_error_in_a_span_makes_it_a_failure() -> None:
    error = envelope(
        "ExceptionData", 20, parent="blob", exceptions=[{"typeName": "OSError", "stack": "Traceback"}]
    )
    failed = {row.id for row in tell(TRACE, [*FILE, error]).rows if row.is_failure}
    assert failed == {"blob", "first"}


def test_deliveries_are_told_attempt_by_attempt() -> None:
    told = tell(TRACE, FILE).to_json()
    assert isinstance(told["deliveries"], list)
    (delivery,) = told["deliveries"]
    assert (delivery["id"], delivery["outcome"]) == ("d-1", "delivered")
    assert [(each["row"], each["status_code"]) for each in delivery["attempts"]] == [
        ("first", "503"),
        ("second", "200"),
    ]
    json.dumps(told)


def test_parents_in_a_ring_lose_nothing() -> None:
    ring = [call("a", "a", 0, parent="b"), call("b", "b", 1, parent="c"), call("c", "c", 2, parent="a")]
    story = tell(TRACE, [*ring, call("self", "self", 3, parent="self")])
    assert sorted(row.id for row in story.rows) == ["a", "b", "c", "self"]


def test_a_span_that_was_sent_twice_is_shown_twice() -> None:
    assert [row.id for row in tell(TRACE, [FILE[1], FILE[1]]).rows] == ["post", "post+"]


def test_a_chain_of_a_thousand_is_no_problem() -> None:
    chain = [call("c", str(number), number, parent=str(number - 1)) for number in range(1000)]
    assert tell(TRACE, chain).rows[-1].depth == 999


@pytest.mark.parametrize(
    ("span", "category"),
    [
        (request("POST /api/v1/files", "a"), "request"),
        (request("anything", "a", url="http://x/y"), "request"),
        (request("deliver", "a"), "function"),
        (call("Blob stage", "a"), "blob"),
        (call("Table get", "a"), "table"),
        (call("put", "a", type="azure blob"), "blob"),
        (call("publish", "a", type="Queue Message | servicebus"), "queue"),
        (call("Mail send", "a"), "mail"),
        (call("Webhook", "a", type="webhook"), "webhook"),
        (call("Chat message", "a", type="chat"), "webhook"),
        (call("E-mail", "a", type="email"), "mail"),
        (call("POST hooks.example.org", "a"), "webhook"),
        (call("GET signing keys", "a"), "http"),
        (call("think", "a", type="InProc"), "inner"),
        (call("unknown", "a"), "http"),
        (event("dropbell.audit"), "event"),
    ],
)
def test_categories(span: Envelope, category: str) -> None:
    assert categorise(span) == category


def told(records: list[Envelope]) -> Mapping[str, object]:
    return summarise(TRACE, records).to_json()


def test_the_summary_names_the_request_that_all_began_with() -> None:
    summary = told(FILE)
    assert (summary["name"], summary["result"], summary["file_id"]) == ("POST /api/v1/files", "200", "f")
    assert (summary["requests"], summary["dependencies"], summary["events"]) == (4, 2, 2)
    assert (summary["errors"], summary["failed"], summary["deliveries"]) == (1, True, {"delivered": 1})
    assert (summary["instances"], summary["duration_ms"]) == (2, 5150)


def test_a_failed_call_in_a_failed_request_is_one_failure() -> None:
    inner = call("POST hooks", "hook", 110, parent="first", success=False)
    noted = envelope("ExceptionData", 111, parent="hook", exceptions=[])
    assert told([*FILE, inner, noted])["errors"] == 1
    assert (
        told([call("Table get", "t", success=False), event("e", properties={"level": "error"})])["errors"]
        == 2
    )


def test_a_look_at_a_file_is_no_story_of_the_file() -> None:
    assert summarise(TRACE, FILE).is_of_a_file
    look = request("GET /api/v1/files/{id}", "a", properties={"file_id": "f"})
    assert not summarise(TRACE, [look]).is_of_a_file
    assert not summarise(TRACE, [call("Blob delete", "a", properties={"file_id": "f"})]).is_of_a_file
