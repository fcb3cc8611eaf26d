from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.event_grid.access_log import Api, BlobCreation
from local.event_grid.events import BlobFacts, Event, Topic, blob_created, parse_subject, subject, with_facts

TOPIC = Topic("devstoreaccount1", "http://127.0.0.1:1/devstoreaccount1/")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def data(event: Event) -> dict[str, object]:
    found = event["data"]
    assert isinstance(found, dict)
    return found


def created(name: str = "a", sequence: int = 1) -> Event:
    return blob_created(TOPIC, BlobCreation("uploads", name, Api.PUT_BLOB), NOW, sequence)


def test_an_event_has_the_members_of_the_event_grid_schema() -> None:
    event = with_facts(created("a b/ü?"), BlobFacts("0x1", "text/plain", 3, "BlockBlob"))
    assert event.keys() == {
        "topic", "subject", "eventType", "id", "eventTime", "dataVersion", "metadataVersion", "data"
    }  # fmt: skip
    assert event["subject"] == "/blobServices/default/containers/uploads/blobs/a b/ü?"
    assert event["eventTime"] == "2026-01-31T12:00:00.000000Z"
    assert data(event)["url"] == "http://127.0.0.1:1/devstoreaccount1/uploads/a%20b/%C3%BC%3F"
    assert data(event)["api"] == "PutBlob"
    facts = [data(event)[name] for name in ("eTag", "contentType", "contentLength", "blobType")]
    assert facts == ["0x1", "text/plain", 3, "BlockBlob"]


def test_what_is_not_known_is_left_out() -> None:
    assert "eTag" not in data(with_facts(created(), BlobFacts()))


def test_sequencers_sort_as_strings() -> None:
    numbers = [1, 15, 16, 2**40, 2**80]
    sequencers = [str(data(created(sequence=number))["sequencer"]) for number in numbers]
    assert sequencers == sorted(sequencers)


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_name_survives_subject_and_address(name: str) -> None:
    event = created(name)
    assert parse_subject(str(event["subject"])) == ("uploads", name)
    assert unquote(str(data(event)["url"])).endswith(f"/uploads/{name}")


@pytest.mark.parametrize("name", ["x/blobs/y", "/blobs/", "/"])
def test_a_name_may_look_like_a_part_of_the_subject(name: str) -> None:
    assert parse_subject(subject("uploads", name)) == ("uploads", name)
