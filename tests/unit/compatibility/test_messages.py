"""Queue messages, blobs, links and routes of the version before, and the other way round."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import DeadLetterError, GoneError
from shared.files import file as files
from shared.files import share_link
from shared.notifications.delivery_record import DeliveryStatus
from shared.notifications.message import DeliveryMessage
from shared.ports import BlobProperties, HttpAnswer, Insert
from shared.web.routes import ROUTES, WITH_HEAD
from tests.unit.compatibility.golden_files import document, holds, row
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import Portal


def message(**changes: Any) -> bytes:
    return json.dumps(document("message.json")["body"] | changes).encode()


def test_a_message_is_read_and_sent_again_without_loss() -> None:
    before = document("message.json")
    after = DeliveryMessage.from_queue(message()).to_queue()

    assert after.message_id == before["message_id"], "another id would get past duplicate detection"
    assert not holds(json.loads(after.body), before["body"])
    assert not holds(dict(after.properties), before["properties"])


def test_what_is_written_now_has_all_that_the_version_before_reads() -> None:
    assert not holds(json.loads(sample.message().to_queue().body), document("message.json")["body"])


async def test_a_message_of_the_version_before_is_delivered() -> None:
    world = sample.World(HttpAnswer(200))
    for name in ("file.least", "delivery.least", "subscription.least"):
        await world.memory.apply([Insert(replace(row(name), etag=""))])

    await world.deliverer().handle(message())

    assert (await world.delivery()).status is DeliveryStatus.DELIVERED


async def test_what_a_newer_version_adds_to_a_message_is_in_the_next_attempt_s_message() -> None:
    world = sample.World(HttpAnswer(503))
    await sample.insert(world.tables, sample.file(), sample.delivery(), sample.subscription())

    await world.deliverer().handle(message(of_tomorrow={"kept": True}))

    (following,) = world.sent.messages
    assert json.loads(following.body)["of_tomorrow"] == {"kept": True}


def test_a_message_of_another_schema_is_not_guessed_at() -> None:
    with pytest.raises(DeadLetterError, match="schema_version"):
        DeliveryMessage.from_queue(message(schema_version=2))


def blob(**metadata: str) -> BlobProperties:
    told = document("blob.json")
    return BlobProperties(
        told["name"], "etag", told["size_bytes"], told["content_type"], told["metadata"] | metadata
    )


def test_a_blob_of_the_version_before_is_a_file() -> None:
    told = document("blob.json")
    read = files.from_blob(blob(of_tomorrow="ignored"))

    assert files.blob_name(read.owner, read.id) == told["name"]
    assert files.incoming_blob_name(read.owner, read.id) == told["incoming_name"]
    assert (read.name, read.size_bytes, read.labels) == ("résumé.pdf", 5, {"stadt": "Köln"})
    written = files.to_blob_metadata(
        read.name,
        sha256=read.sha256,
        correlation_id=read.correlation_id,
        traceparent=read.traceparent,
        accepted_at=read.accepted_at,
        stored_at=read.stored_at,
        labels=read.labels,
        tenant=read.tenant,
    )
    assert not holds(written, told["metadata"])


async def test_links_that_people_hold_still_lead_somewhere() -> None:
    links, portal = document("links.json"), Portal(url_signer=None)
    subscription = row("subscription.least")
    await portal.tables.apply([Insert(replace(subscription, etag=""))])

    await portal.app.unsubscribing.unsubscribe(links["unsubscribe"])
    shared = await portal.app.answer_open("get_shared_content", request(token=links["share_link"]))

    after = portal.tables.rows[subscription.partition_key, subscription.row_key]
    assert after.values["status"] == "disabled"
    assert body_of(shared)["type"].endswith("/share-link-expired"), (
        "believed; there is just no row of it here"
    )
    assert share_link.row_key(sample.FILE_ID, "1" * 32) == row("share.least").row_key
    assert GoneError.status == shared.status_code


def test_no_route_of_the_version_before_is_gone() -> None:
    """Parameters can be called something else; places and verbs cannot."""
    now = {
        _placed(f"{method} /api/v1{route.path}")
        for route in ROUTES
        for method in (route.method, *(["HEAD"] if route.name in WITH_HEAD else []))
    }
    assert {_placed(each) for each in document("routes.json")} <= now


def _placed(route: str) -> str:
    return re.sub(r"\{\w+\}", "{}", route)
