from __future__ import annotations

import json
from typing import Any

import pytest

from local.functions_host.event_grid import BlobEvent, EventError, blob_events, validation_code

SUBJECT = "/blobServices/default/containers/c/blobs/a/b c.txt"


def body(event: dict[str, Any]) -> bytes:
    return json.dumps([event]).encode()


@pytest.mark.parametrize(
    ("event", "container", "name"),
    [
        ({"subject": SUBJECT, "data": {}}, "c", "a/b c.txt"),
        ({"data": {"url": "https://acc.blob.core.windows.net/c/a/b%20c.txt"}}, "c", "a/b c.txt"),
        ({"data": {"url": "http://127.0.0.1:10000/devstoreaccount1/c/a%2Bb"}}, "c", "a+b"),
        (
            {"subject": SUBJECT, "data": {"url": "https://acc.blob.core.windows.net/other/x"}},
            "c",
            "a/b c.txt",
        ),
    ],
)
def test_blob_of_an_event(event: dict[str, Any], container: str, name: str) -> None:
    (found,) = blob_events(body(event))
    assert (found.container, found.name) == (container, name)


def test_cloud_event_with_data_encoded_twice() -> None:
    event = {
        "specversion": "1.0",
        "subject": SUBJECT,
        "data": json.dumps({"eTag": "0x1", "blobType": "AppendBlob"}),
    }
    assert blob_events(json.dumps(event).encode()) == [BlobEvent("c", "a/b c.txt", '"0x1"', "AppendBlob")]


def test_validation_code_is_found() -> None:
    assert validation_code(body({"data": {"validationCode": "abc"}})) == "abc"


@pytest.mark.parametrize(
    "content",
    [b"", b"1", b"[1]", b"[{}]", b'[{"data": "x"}]', b'[{"data": {"url": "http://host/"}}]', b"\xff"],
)
def test_unreadable_event_is_refused(content: bytes) -> None:
    with pytest.raises(EventError):
        blob_events(content)


def test_missing_validation_code_is_refused() -> None:
    with pytest.raises(EventError, match="validationCode"):
        validation_code(body({"data": {}}))
