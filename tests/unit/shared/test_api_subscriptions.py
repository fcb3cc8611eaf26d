from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import TooManyError
from shared.notifications.channels.target_policy import TargetPolicy
from shared.notifications.subscribing import Subscribing
from shared.notifications.subscription import (
    MAX_SUBSCRIPTIONS_PER_OWNER,
    ChannelKind,
    EventType,
    from_entity,
    is_subscription_id,
    to_entity,
)
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import BOB, Portal, bearer

GOOD: dict[str, Any] = {"channel": "webhook", "target": "https://hooks.example/x", "events": ["file.stored"]}


async def test_a_subscription_is_answered_with_its_secret_this_once() -> None:
    portal = Portal()
    response = await portal.subscribe(json.dumps(GOOD).encode())
    made = body_of(response)
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/subscriptions/{made['id']}"
    assert response.headers["etag"] == made["etag"]
    assert made["secret"].startswith("whsec_")
    again = await portal.app.answer(
        "get_subscription", request(headers=bearer(scopes="Subscriptions.Manage"), subscription_id=made["id"])
    )
    assert again.status_code == 200
    assert body_of(again) == made | {"secret": None}
    assert GOOD.items() <= made.items()
    assert (made["status"], made["created_at"]) == ("active", "2026-03-01T12:00:00.000Z")


async def test_the_secret_is_not_in_the_table() -> None:
    portal = Portal()
    made = body_of(await portal.subscribe(json.dumps(GOOD).encode()))
    assert made["secret"].removeprefix("whsec_") not in repr(portal.tables.rows)


async def test_events_are_file_stored_unless_told() -> None:
    response = await Portal().subscribe(b'{"channel": "webhook", "target": "https://hooks.example/x"}')
    assert body_of(response)["events"] == ["file.stored"]


async def test_a_missing_content_type_counts_as_json_and_parameters_are_ignored() -> None:
    portal = Portal()
    plain = await portal.app.answer(
        "create_subscription", request("POST", headers=bearer(), client=Client((json.dumps(GOOD).encode(),)))
    )
    assert plain.status_code == 201
    assert (
        await portal.subscribe(json.dumps(GOOD).encode(), content_type="Application/JSON; charset=utf-8")
    ).status_code == 201


@pytest.mark.parametrize(
    ("body", "at_fault"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b"[" * 5000, "body"),
        (b"{}", "channel"),
        (json.dumps(GOOD | {"channel": "pigeon"}).encode(), "channel"),
        (json.dumps(GOOD | {"channel": 5}).encode(), "channel"),
        (json.dumps(GOOD | {"target": None}).encode(), "target"),
        (json.dumps(GOOD | {"target": ["https://x.example"]}).encode(), "target"),
        (json.dumps(GOOD | {"events": []}).encode(), "events"),
        (json.dumps(GOOD | {"events": "file.stored"}).encode(), "events"),
        (json.dumps(GOOD | {"events": ["file.lost"]}).encode(), "events.0"),
        (json.dumps(GOOD | {"filter": "size > 5"}).encode(), "filter"),
        (json.dumps(GOOD | {"colour": "red"}).encode(), "colour"),
        (b'{"channel": "webhook", "target": "\\ud800"}', "body"),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_names_the_field(body: bytes, at_fault: str) -> None:
    portal = Portal()
    response = await portal.subscribe(body)
    problem = body_of(response)
    assert (response.status_code, problem["type"]) == (400, "/api/problems/invalid-body")
    assert f" {at_fault}: " in problem["detail"]
    assert not portal.tables.rows


@pytest.mark.parametrize("target", ["http://hooks.example/", "https://169.254.169.254/", "nonsense", ""])
async def test_a_target_that_may_not_be_posted_to_is_refused(target: str) -> None:
    portal = Portal()
    response = await portal.subscribe(json.dumps(GOOD | {"target": target}).encode())
    problem = body_of(response)
    assert (response.status_code, problem["type"]) == (400, "/api/problems/target-not-allowed")
    assert problem["detail"].startswith("The target")
    assert not portal.tables.rows


async def test_another_content_type_and_a_huge_body_are_refused() -> None:
    portal = Portal()
    other = await portal.subscribe(json.dumps(GOOD).encode(), content_type="text/plain")
    huge = await portal.subscribe(b" " * (64 * 1024 + 1))
    assert (other.status_code, huge.status_code) == (415, 413)


async def test_a_client_that_hangs_up_subscribes_nobody() -> None:
    portal = Portal()
    half = Client((b'{"channel":',), hangs_up=True)
    response = await portal.app.answer("create_subscription", request("POST", headers=bearer(), client=half))
    assert response.status_code == 400
    assert not portal.tables.rows


@pytest.mark.parametrize("whose", ["another's", "nobody's", "malformed"])
async def test_anothers_subscription_and_no_subscription_look_the_same(whose: str) -> None:
    portal = Portal()
    made = body_of(await portal.subscribe(json.dumps(GOOD).encode()))
    id_ = {"another's": made["id"], "nobody's": "f" * 32, "malformed": "x|y"}[whose]
    caller = bearer(user=BOB) if whose == "another's" else bearer()
    response = await portal.app.answer("get_subscription", request(headers=caller, subscription_id=id_))
    assert response.status_code == 404
    assert body_of(response)["detail"] == "You have no subscription of this id."


async def test_an_owner_has_at_most_so_many_subscriptions_and_others_do_not_count() -> None:
    tables = MemoryTables()
    subscribing = Subscribing(tables, MemoryClock(), sample.SECRET_BOX, TargetPolicy())
    await sample.insert_subscriptions(tables, range(MAX_SUBSCRIPTIONS_PER_OWNER - 1))
    wish = {"channel": ChannelKind.WEBHOOK, "target": GOOD["target"], "events": {EventType.FILE_STORED}}
    await subscribing.subscribe(sample.OWNER, **wish)
    with pytest.raises(TooManyError, match=str(MAX_SUBSCRIPTIONS_PER_OWNER)):
        await subscribing.subscribe(sample.OWNER, **wish)
    await subscribing.subscribe("f" * 32, **wish)


def test_the_row_gives_the_subscription_back() -> None:
    subscription = sample.subscription(etag="1")
    assert from_entity(to_entity(subscription)) == subscription
    entity = to_entity(subscription)
    with pytest.raises(TypeError):
        from_entity(replace(entity, values={**entity.values, "created_at": "yesterday"}))


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("a" * 32, True),
        ("A" * 32, False),
        ("a" * 31, False),
        ("a" * 33, False),
        ("a" * 31 + "\n", False),
        ("", False),
    ],
)
def test_an_id_has_one_spelling(text: str, is_id: bool) -> None:
    assert is_subscription_id(text) is is_id
