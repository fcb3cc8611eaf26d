from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from local.functions_host import service_bus_data

TOKEN = "00000000-0000-0000-0000-000000000001"
TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Message:
    body: Any = field(default_factory=lambda: iter([b"con", b"tent"]))
    message_id: str | None = "m"
    subject: str | None = "s"
    lock_token: str | None = TOKEN
    sequence_number: int | None = 9
    delivery_count: int | None = 0
    enqueued_time_utc: datetime | None = datetime(2026, 1, 2, 3, 4, 5, 6000, UTC)
    expires_at_utc: datetime | None = None
    time_to_live: Any = 5
    application_properties: dict[Any, Any] | None = None


def test_metadata_has_the_names_and_kinds_of_the_extension() -> None:
    metadata = service_bus_data.metadata_of_one(Message(application_properties={b"k": b"v", "n": 1}))
    assert metadata == {
        "LockToken": {"string": TOKEN},
        "MessageId": {"string": "m"},
        "Subject": {"string": "s"},
        "Label": {"string": "s"},
        "DeliveryCount": {"json": "1"},
        "SequenceNumber": {"json": "9"},
        "ExpiresAtUtc": {"json": '"9999-12-31T23:59:59.9999999"'},
        "ExpiresAt": {"json": '"9999-12-31T23:59:59.9999999+00:00"'},
        "EnqueuedTimeUtc": {"json": '"2026-01-02T03:04:05.006000"'},
        "EnqueuedTime": {"json": '"2026-01-02T03:04:05.006000+00:00"'},
        "ApplicationProperties": {"json": '{"k": "v", "n": 1}'},
        "UserProperties": {"json": '{"k": "v", "n": 1}'},
    }


def test_batch_has_a_value_for_each_message() -> None:
    metadata = service_bus_data.metadata_of_many([Message(), Message(message_id="n", subject=None)])
    assert metadata["MessageIdArray"] == {"collection_string": ["m", "n"]}
    assert metadata["SequenceNumberArray"] == {"collection_sint64": [9, 9]}
    assert metadata["DeliveryCountArray"] == {"json": "[1, 1]"}
    assert metadata["SubjectArray"] == {"json": '["s", null]'}
    assert json.loads(metadata["UserPropertiesArray"]["json"]) == [{}, {}]
    assert "CorrelationIdArray" not in metadata


@pytest.mark.parametrize(
    ("body", "data_type", "data"),
    [
        ([b"con", b"tent"], "", {"string": "content"}),
        ([b"\xff"], "", {"bytes": b"\xff"}),
        ([b"text"], "BINARY", {"bytes": b"text"}),
        ("value", "", {"string": "value"}),
        ({"a": 1}, "", {"string": '{"a": 1}'}),
        (None, "", {"string": "null"}),
        ([[1, 2]], "", {"string": "[[1, 2]]"}),
    ],
)
def test_body(body: Any, data_type: str, data: dict[str, Any]) -> None:
    assert service_bus_data.body_data(Message(body=body), data_type) == data


def test_bodies_of_a_batch() -> None:
    assert service_bus_data.bodies([Message(), Message(body=[b"x"])]) == {
        "collection_string": ["content", "x"]
    }
    assert service_bus_data.bodies([Message(body=[b"\xff"])]) == {"collection_bytes": [b"\xff"]}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({b"traceparent": TRACE_PARENT.encode()}, TRACE_PARENT),
        ({"Diagnostic-Id": TRACE_PARENT}, TRACE_PARENT),
        ({"traceparent": "nonsense", "Diagnostic-Id": TRACE_PARENT}, TRACE_PARENT),
        ({"traceparent": 5}, ""),
        (None, ""),
    ],
)
def test_trace_parent_of_the_sender(properties: dict[Any, Any] | None, expected: str) -> None:
    assert service_bus_data.trace_parent(Message(application_properties=properties)) == expected
