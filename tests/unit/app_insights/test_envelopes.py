from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from local.app_insights.envelopes import Envelope, InvalidEnvelope, parse_duration, read_envelope
from tests.unit.app_insights.samples import START, TRACE, call, envelope, event, item, request


def test_what_is_read_of_a_span() -> None:
    span = call("Blob create", "b7ad6b7169203331", 1.5, 42, parent="00f067aa0ba902b7")
    assert (span.trace_id, span.parent_id, span.span_id) == (TRACE, "00f067aa0ba902b7", "b7ad6b7169203331")
    assert (span.name, span.instance, span.is_failure) == ("Blob create", "worker-1", False)
    assert span.started_at == START + timedelta(milliseconds=1.5)
    assert span.ended_at - span.started_at == timedelta(milliseconds=42)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.00:00:00.035", timedelta(milliseconds=35)),
        ("1.02:03:04.500", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("00:00:01.2345678", timedelta(seconds=1.234568)),
        ("soon", timedelta()),
        ("9" * 400 + ".00:00:00", timedelta()),
        (None, timedelta()),
    ],
)
def test_durations(text: object, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("found", "fails"),
    [
        (request("deliver", "a", success=False), True),
        (call("Table get", "a"), False),
        (event("dropbell.request", properties={"level": "warning"}), False),
        (event("dropbell.check.failed", properties={"level": "error"}), True),
        (envelope("MessageData", message="so it goes", severityLevel=2), False),
        (envelope("MessageData", message="it went wrong", severityLevel=3), True),
        (envelope("ExceptionData", exceptions=[{"typeName": "ValueError", "message": "x"}]), True),
        (envelope("MetricData", metrics=[]), False),
    ],
)
def test_what_is_a_failure(found: Envelope, fails: bool) -> None:
    assert found.is_failure is fails


def test_the_names_of_what_is_no_span() -> None:
    assert (
        envelope("ExceptionData", exceptions=[{"typeName": "ValueError", "message": "x"}]).name
        == "ValueError: x"
    )
    assert envelope("ExceptionData", exceptions=[]).name == ""
    assert envelope("MessageData", message="hello").name == "hello"


@pytest.mark.parametrize("links", ["", "{", "[1]", '[{"id": 1}]', "null", "[" * 100_000])
def test_links_that_cannot_be_read_are_none(links: str) -> None:
    assert call("deliver", "a", properties={"_MS.links": links}).links == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"iKey": None},
        {"time": "yesterday"},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"time": "9999-12-31T23:59:59Z"},
        {"tags": []},
        {"data": {"baseType": "EventData"}},
        {"data": {"baseType": "Nonsense", "baseData": {}}},
        {"data": None},
    ],
)
def test_what_is_no_envelope_is_refused_in_one_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEnvelope) as refusal:
        read_envelope(item("EventData", name="x") | change)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("found", [None, 1, "text", []])
def test_what_is_no_object_is_no_envelope(found: object) -> None:
    with pytest.raises(InvalidEnvelope):
        read_envelope(found)
