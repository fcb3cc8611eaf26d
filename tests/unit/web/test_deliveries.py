from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.files.file import FileStatus
from shared.ledger.signed_token import Signer
from shared.notifications import delivery_record as deliveries
from shared.notifications.delivery_record import Attempt, AttemptOutcome, DeliveryStatus
from shared.notifications.history import History
from shared.ports import Replace
from shared.web.deliveries import DeliveryRoutes
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of
from tests.unit.web.shelf import KEY, Shelf, answer

if TYPE_CHECKING:
    from starlette.responses import Response

TENANT = "e" * 32
ATTEMPT = Attempt(1, sample.NOW, 12, AttemptOutcome.FAILED, 500, "the target answered 500", "oh no")


class Desk:
    """The routes over memory adapters."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.tables = self.shelf.memory
        history = History(self.tables, self.shelf.clock, self.shelf.due)
        self.routes = DeliveryRoutes(self.shelf.catalogue, history, Signer(KEY, "delivery-list"))

    async def of_file(self, query: str = "", *, file_id: str = sample.FILE_ID, **how: Any) -> Response:
        return await answer(self.routes.list_deliveries, query=query, file_id=file_id, **how)

    async def all(self, query: str = "", **how: Any) -> Response:
        return await answer(self.routes.list_own_deliveries, query=query, **how)

    async def one(self, delivery_id: str, **how: Any) -> Response:
        return await answer(self.routes.get_delivery, delivery_id=delivery_id, **how)


async def test_a_delivery_tells_all_about_its_attempts() -> None:
    desk = Desk()
    made = sample.delivery(
        status=DeliveryStatus.DEAD,
        attempts=(ATTEMPT,),
        queued_at=sample.NOW,
        settled_at=sample.NOW + timedelta(seconds=1),
        reason="given up",
        redrives=2,
        redriven_by="somebody",
    )
    await sample.insert(desk.tables, made)
    response = await desk.one(made.id)
    assert response.status_code == 200
    assert body_of(response) == {
        "id": made.id,
        "file_id": sample.FILE_ID,
        "subscription_id": f"{1:032x}",
        "event": "file.stored",
        "status": "dead",
        "attempts": [
            {
                "number": 1,
                "started_at": "2026-03-01T12:00:00.000Z",
                "duration_ms": 12,
                "outcome": "failed",
                "status_code": 500,
                "detail": "the target answered 500",
                "answer_start": "oh no",
            }
        ],
        "queued_at": "2026-03-01T12:00:00.000Z",
        "next_attempt_at": None,
        "settled_at": "2026-03-01T12:00:01.000Z",
        "reason": "given up",
        "redrives": 2,
    }


async def test_what_the_target_of_another_owners_subscription_answers_is_not_told() -> None:
    desk = Desk()
    made = sample.delivery(attempts=(ATTEMPT,), subscription_owner=TENANT)
    await sample.insert(desk.tables, made, sample.file())
    for response in (await desk.one(made.id), await desk.all(), await desk.of_file()):
        assert response.status_code == 200
        assert b"the target answered 500" in bytes(response.body)
        assert b"oh no" not in bytes(response.body)


async def test_the_tag_of_a_delivery_changes_with_it() -> None:
    desk = Desk()
    made = sample.delivery()
    await sample.insert(desk.tables, made)
    first = await desk.one(made.id)
    seen = {"if-none-match": first.headers["etag"]}
    assert (await desk.one(made.id, headers=seen)).status_code == 304
    entity = await desk.tables.get(sample.OWNER, deliveries.row_key(made.file_id, made.id))
    assert entity is not None
    changed = replace(deliveries.from_entity(entity), status=DeliveryStatus.DELIVERING)
    await desk.tables.apply([Replace(deliveries.to_entity(changed))])
    second = await desk.one(made.id, headers=seen)
    assert (second.status_code, body_of(second)["status"]) == (200, "delivering")


async def test_what_is_not_ones_own_is_not_there() -> None:
    desk = Desk()
    made = sample.delivery()
    await sample.insert(desk.tables, made, sample.file())
    for response in (
        await desk.one(made.id, owner="f" * 32),
        await desk.one("nonsense"),
        await desk.of_file(owner="f" * 32),
        await desk.of_file(file_id="nonsense"),
    ):
        assert response.status_code == 404
    assert body_of(await desk.all(owner="f" * 32)) == {"items": [], "next_cursor": None}


async def test_deliveries_of_a_deleted_file_are_told_without_it() -> None:
    desk = Desk()
    await sample.insert(desk.tables, sample.delivery(), sample.file(status=FileStatus.DELETED))
    assert (await desk.of_file()).status_code == 404
    assert len(body_of(await desk.all())["items"]) == 1


async def test_a_files_deliveries_are_paged() -> None:
    desk = Desk()
    await sample.insert(desk.tables, sample.file(), *(sample.delivery(number) for number in range(5)))
    told: list[str] = []
    cursor = ""
    for size in (2, 2, 1):
        page = body_of(await desk.of_file(f"limit=2{cursor}"))
        assert len(page["items"]) == size
        told += [item["subscription_id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert told == [f"{number:032x}" for number in range(5)]


async def test_unasked_a_files_page_holds_more_than_that_of_all_files() -> None:
    desk = Desk()
    await sample.insert(desk.tables, sample.file(), *(sample.delivery(number) for number in range(60)))
    assert len(body_of(await desk.of_file())["items"]) == 60
    assert len(body_of(await desk.all())["items"]) == 50


async def test_filters_hold_over_all_pages() -> None:
    desk = Desk()
    for number in range(9):
        status = DeliveryStatus.DEAD if number % 3 else DeliveryStatus.QUEUED
        await sample.insert(desk.tables, replace(sample.delivery_of(number), status=status))
    first = body_of(await desk.all("status=dead,suppressed&limit=4"))
    second = body_of(await desk.all(f"status=dead,suppressed&limit=4&cursor={first['next_cursor']}"))
    told = [item["file_id"] for item in first["items"] + second["items"]]
    assert told == [sample.file_id_of(number) for number in (8, 7, 5, 4, 2, 1)]


async def test_a_cursor_is_good_for_its_own_list_only() -> None:
    desk = Desk()
    await sample.insert(desk.tables, sample.file(), *(sample.delivery(number) for number in range(3)))
    cursor = body_of(await desk.all("limit=1"))["next_cursor"]
    assert len(body_of(await desk.all(f"limit=2&cursor={cursor}"))["items"]) == 2
    for response in (
        await desk.all(f"cursor={cursor}", owner="f" * 32),
        await desk.all(f"cursor={cursor}&status=queued"),
        await desk.all(f"cursor={cursor}&event=file.stored"),
        await desk.of_file(f"cursor={cursor}"),
        await desk.all(f"cursor={cursor[:-2]}AA"),
        await desk.all("cursor="),
    ):
        assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-cursor")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "limit=1&limit=2", "limit=%D9%A3"),
        *("status=", "status=lost", "status=dead,lost", "event=file.lost", "event="),
        *("subscription_id=x", "subscription_id=", "colour=red", "event=file.stored&event=file.stored"),
    ],
)
async def test_bad_parameters_are_named(query: str) -> None:
    desk = Desk()
    await sample.insert(desk.tables, sample.file())
    for response in (await desk.all(query), await desk.of_file(query)):
        assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-query")
        assert query.partition("=")[0] in body_of(response)["detail"]
