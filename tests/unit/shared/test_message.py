from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DeadLetterError, InvalidRequestError
from shared.files.content_type import checked_content_type
from shared.files.labels import MAX_LABELS, merged
from shared.files.name import checked_name
from shared.notifications.message import DeliveryMessage, file_event
from shared.notifications.subscription import EventType
from tests.unit.shared import sample
from tests.unit.shared.sample import FILE_ID, NOW, PUBLIC_URL


def test_the_event_is_a_cloud_event_with_the_facts_of_the_file() -> None:
    event = json.loads(
        file_event(sample.file(), EventType.FILE_STORED, source=PUBLIC_URL + "/").model_dump_json()
    )
    assert event == {
        "specversion": "1.0",
        "id": f"{FILE_ID}.file.stored",
        "source": PUBLIC_URL + "/",
        "type": "dropbell.file.stored.v1",
        "subject": FILE_ID,
        "time": "2026-03-01T11:59:59Z",
        "datacontenttype": "application/json",
        "traceparent": sample.TRACEPARENT,
        "data": {
            "file": {
                "id": FILE_ID,
                "name": "résumé.pdf",
                "content_type": "application/pdf",
                "size_bytes": 5,
                "sha256": "5" * 64,
                "labels": {},
                "created_at": "2026-03-01T11:59:58Z",
                "trace_id": "a" * 32,
                "correlation_id": "correlation-1",
                "url": f"{PUBLIC_URL}/api/v1/files/{FILE_ID}",
            }
        },
    }


def test_a_message_is_well_under_20_kb_whatever_its_file_is_called() -> None:
    """Quotation marks take twice their room in JSON; nothing else that is taken takes more."""
    keys = [f"{number:02}" for number in range(MAX_LABELS)]
    labels = merged({}, dict.fromkeys(keys, '"' * 254))
    with pytest.raises(InvalidRequestError):  # there is no room for more
        merged(labels, {"00": '"' * 255})
    file = sample.file(
        name=checked_name('"' * 255),
        content_type=checked_content_type('a/b; c="' + r"\"" * 123 + '"'),
        labels=labels,
        correlation_id="c" * 128,
    )
    source = f"https://{'x' * 60}.azurewebsites.net"
    message = sample.message(event=file_event(file, EventType.FILE_UPDATED, source=source))
    assert len(message.to_queue().body) < 19_000


def test_a_message_comes_back_from_the_queue_as_it_was() -> None:
    message = sample.message(attempt=3, looks=2)
    assert DeliveryMessage.from_queue(message.to_queue().body) == message


def test_the_queue_message_carries_what_an_operator_looks_for() -> None:
    queued = sample.message().to_queue(not_before=NOW)
    assert queued.properties == {
        "file_id": FILE_ID,
        "delivery_id": sample.delivery().id,
        "correlation_id": "correlation-1",
        "traceparent": sample.TRACEPARENT,
        "schema_version": "1",
    }
    assert queued.not_before == NOW


def test_ids_differ_by_attempt_and_by_look_and_by_nothing_else() -> None:
    first = sample.message()
    ids = [
        first.to_queue().message_id,
        first.for_look().to_queue().message_id,
        first.for_look().for_look().to_queue().message_id,
        first.for_attempt(2).to_queue().message_id,
        first.for_attempt(2).for_look().to_queue().message_id,
    ]
    assert ids[0] == f"{first.delivery_id}:1"
    assert len(set(ids)) == len(ids)
    assert first.for_look().for_attempt(2).to_queue() == first.for_attempt(2).to_queue()
    assert (
        first.to_queue(not_before=NOW).message_id == first.to_queue(not_before=NOW + timedelta(1)).message_id
    )


def test_fields_of_a_later_version_travel_on() -> None:
    body = json.loads(sample.message().to_queue().body)
    body["priority"] = "high"
    body["event"]["partitionkey"] = "later"
    read = DeliveryMessage.from_queue(json.dumps(body).encode())
    assert (read.delivery_id, read.attempt) == (sample.message().delivery_id, 1)
    assert json.loads(read.event.model_dump_json())["partitionkey"] == "later"
    for following in (read, read.for_attempt(2), read.for_look(), read.for_another_time()):
        assert json.loads(following.to_queue().body)["priority"] == "high"


def body_with(**changes: object) -> bytes:
    body = json.loads(sample.message().to_queue().body) | changes
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("body", "at_fault"),
    [
        (b"", "body"),
        (b"planted", "body"),
        (b"\xff\xfe", "body"),
        (b"[]", "body"),
        (b"[" * 5000, "body"),
        (body_with(owner=None), "owner"),
        (body_with(delivery_id=None), "delivery_id"),
        (body_with(event=None), "event"),
        (body_with(attempt="planted"), "attempt"),
        (body_with(schema_version=2), "schema_version"),
    ],
)
def test_a_message_that_cannot_be_read_says_where_and_repeats_nothing(body: bytes, at_fault: str) -> None:
    with pytest.raises(DeadLetterError, match=at_fault) as caught:
        DeliveryMessage.from_queue(body)
    assert "planted" not in str(caught.value)


@given(st.binary())
def test_no_bytes_at_all_crash_the_reader(body: bytes) -> None:
    with pytest.raises(DeadLetterError):
        DeliveryMessage.from_queue(body)


def test_times_travel_in_utc() -> None:
    event = file_event(sample.file(), EventType.FILE_STORED, source=PUBLIC_URL)
    assert event.time == datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC)
