from __future__ import annotations

import json

import pytest

from local.app_insights.ingestion import UnreadableBody, read_batch
from tests.unit.app_insights.samples import item

ITEMS = [item("EventData", name=name) for name in ("a", "b")]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ITEMS),
        json.dumps(ITEMS, indent=2),
        "\n".join(map(json.dumps, ITEMS)),
        "\r\n".join(map(json.dumps, ITEMS)) + "\r\n",
        "\ufeff" + json.dumps(ITEMS),
    ],
)
def test_an_array_or_an_object_a_line(body: str) -> None:
    batch = read_batch(body.encode())
    assert [envelope.raw for envelope in batch.envelopes] == ITEMS
    assert (batch.status, batch.to_json()) == (200, {"itemsReceived": 2, "itemsAccepted": 2, "errors": []})


def test_what_is_no_envelope_is_named_and_the_rest_is_taken() -> None:
    batch = read_batch(json.dumps([ITEMS[0], {"name": "x"}, ITEMS[1], 7]).encode())
    assert (batch.status, batch.received, len(batch.envelopes)) == (206, 4, 2)
    assert [(error["index"], error["statusCode"]) for error in batch.errors] == [(1, 400), (3, 400)]


def test_nothing_taken_is_a_bad_request() -> None:
    assert read_batch(b"[{}]").status == 400
    assert read_batch(b"[]").status == 200


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[NaN]", b"[" * 100_000, b'{"a": 1}\nnonsense'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_batch(body)
