from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shared.ledger.signed_token import Signer
from shared.notifications import audit
from shared.notifications.delivery_record import DeliveryStatus
from shared.web.dead_letters import DeadLetterRoutes, DeliveryActionRoutes
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of
from tests.unit.shared.dead_letter_office import Office
from tests.unit.shared.sample import NOW
from tests.unit.web.shelf import KEY, answer

if TYPE_CHECKING:
    from starlette.responses import Response

JSON = {"content-type": "application/json"}
ID = sample.delivery(1).id


def routes(office: Office) -> DeadLetterRoutes:
    return DeadLetterRoutes(office.dead_letters(), Signer(KEY, "dead-letters"))


async def listed(office: Office, query: str = "") -> Response:
    return await answer(routes(office).list_dead_letters, query=query)


async def bulk(office: Office, body: Any, *, action: str = "redrive") -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler = getattr(routes(office), f"{action}_dead_letters")
    return await answer(handler, "POST", raw, headers=JSON)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=%C2%B2", "limit"),
        ("limit=1&limit=2", "limit"),
        ("file_id=nonsense", "file_id"),
        ("subscription_id=", "subscription_id"),
        ("enqueued_before=yesterday", "enqueued_before"),
        (f"reason={'x' * 201}", "reason"),
        ("reasons=x", "reasons"),
    ],
)
async def test_a_query_that_cannot_be_taken_is_refused_by_name(query: str, named: str) -> None:
    response = await listed(Office(), query)
    assert response.status_code == 400
    problem = body_of(response)
    assert problem["type"].endswith("/invalid-query")
    assert named in problem["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"[]", "body"),
        ({}, "either ids or filter"),
        ({"ids": [ID], "filter": {}}, "either ids or filter"),
        ({"ids": []}, "ids"),
        ({"ids": ["a/b"]}, "ids"),
        ({"ids": ["x"] * 501}, "ids"),
        ({"ids": ID}, "ids"),
        ({"filter": {"owner": "me"}}, "filter.owner"),
        ({"filter": {"file_id": "nonsense"}}, "file_id"),
        ({"filter": {"subscription_id": "nonsense"}}, "subscription_id"),
        ({"filter": {"enqueued_before": "yesterday"}}, "enqueued_before"),
        ({"filter": {"reason": ""}}, "filter.reason"),
        ({"filter": {}, "limit": 0}, "limit"),
        ({"filter": {}, "limit": 1001}, "limit"),
        ({"filter": {}, "limit": "5"}, "limit"),
        ({"filter": {}, "dry_run": "yes"}, "dry_run"),
    ],
)
@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_a_body_that_cannot_be_taken_is_refused_by_name(body: Any, named: str, action: str) -> None:
    office = Office()
    await office.bury(1)
    response = await bulk(office, body, action=action)
    assert response.status_code == 400
    problem = body_of(response)
    assert problem["type"].endswith("/invalid-body")
    assert named in problem["detail"]
    assert len(office.letters.letters) == 1


async def test_letters_are_listed_with_their_rows_and_those_that_cannot_be_read_too() -> None:
    office = Office()
    await office.bury(1)
    office.letters.add("broken", b"{}", enqueued_at=NOW)
    first, second = body_of(await listed(office))["items"]
    assert first == {
        "id": ID,
        "sequence_number": 1,
        "delivery_id": ID,
        "file_id": sample.FILE_ID,
        "subscription_id": sample.subscription(1).id,
        "status": "dead",
        "reason": "the target answered 500",
        "queue_reason": "MaxDeliveryCountExceeded",
        "attempts": 3,
        "enqueued_at": "2026-03-01T12:00:00.000Z",
    }
    assert (second["id"], second["delivery_id"], second["attempts"]) == ("seq-2", None, 0)
    assert "cannot be read" in second["reason"]


async def test_the_cursor_leads_through_all_pages_and_belongs_to_its_filters() -> None:
    office = Office()
    await office.bury(*range(1, 6))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = body_of(await listed(office, f"limit=2&reason=500{cursor and f'&cursor={cursor}'}"))
        seen += [item["id"] for item in page["items"]]
        last, cursor = cursor, page["next_cursor"]
    assert seen == [sample.delivery(number).id for number in range(1, 6)]
    for query in (f"cursor={last}", "cursor=forged", "cursor="):
        response = await listed(office, query)
        assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-cursor")


async def test_a_dry_run_then_a_redrive_of_all() -> None:
    office = Office()
    await office.bury(1, 2)
    dry = await bulk(office, {"filter": {}, "dry_run": True})
    expected = {"matched": 2, "redriven": 2, "discarded": 0, "skipped": 0}
    assert body_of(dry) == expected | {"dry_run": True}
    assert len(office.letters.letters) == 2
    real = await bulk(office, {"filter": {"reason": "Answered"}, "limit": 1000})
    assert body_of(real) == expected | {"dry_run": False}
    await office.work_off()
    assert await office.by_status() == {"delivered": 2}
    record = next(row for row in office.memory.rows.values() if row.partition_key == audit.PARTITION)
    assert record.values["by"] == "tenant/object"


async def test_discarding_by_number() -> None:
    office = Office()
    office.letters.add("broken", b"{}", enqueued_at=NOW)
    answered = body_of(await bulk(office, {"ids": ["seq-1", "seq-9"]}, action="discard"))
    assert (answered["matched"], answered["discarded"], answered["redriven"]) == (1, 1, 0)


async def test_an_owner_has_a_delivery_made_again() -> None:
    office = Office()
    await office.bury(1)
    handler = DeliveryActionRoutes(office.redelivery()).redeliver
    response = await answer(handler, "POST", delivery_id=ID)
    assert (response.status_code, body_of(response)["status"]) == (202, DeliveryStatus.QUEUED)
    again = await answer(handler, "POST", delivery_id=ID)
    assert (again.status_code, body_of(again)["type"]) == (409, "/api/problems/delivery-under-way")
    foreign = await answer(handler, "POST", delivery_id=ID, owner="f" * 32)
    assert foreign.status_code == 404
