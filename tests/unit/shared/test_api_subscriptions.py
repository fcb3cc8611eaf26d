from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.identity.owner import Owner, tenant_partition
from shared.notifications.subscription import from_entity, is_subscription_id, to_entity
from shared.ports import HttpAnswer
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of
from tests.unit.web.desk import (
    APP,
    LISTED_TARGET,
    OTHER_TENANTS_APP,
    OTHER_USER,
    PROVES,
    TARGET,
    USER,
    Desk,
    own_partition,
)

TENANT_WIDE = {"scope": "tenant"}


def problem_of(response: Any) -> tuple[int, str]:
    return response.status_code, body_of(response)["type"].removeprefix("/api/problems/")


async def test_a_subscription_is_answered_with_its_secret_this_once() -> None:
    desk = Desk()
    response = await desk.create()
    made = body_of(response)
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/subscriptions/{made['id']}"
    assert response.headers["etag"] == made["etag"]
    assert made["secret"].startswith("whsec_")
    again = await desk.ask(desk.routes.get_subscription, subscription_id=made["id"])
    assert again.status_code == 200
    assert again.headers["etag"] == made["etag"]
    assert body_of(again) == made | {"secret": None}
    assert made | {"id": "", "etag": "", "secret": ""} == {
        "id": "",
        "channel": "webhook",
        "target": LISTED_TARGET,
        "events": ["file.stored"],
        "filter": None,
        "scope": "own",
        "status": "active",
        "status_reason": None,
        "created_at": "2026-03-01T12:00:00.000Z",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "etag": "",
        "secret": "",
        "previous_secret_retires_at": None,
    }


async def test_the_secret_is_not_in_the_table() -> None:
    desk = Desk()
    made = await desk.made()
    assert made["secret"].removeprefix("whsec_") not in repr(desk.memory.rows)


async def test_events_are_file_stored_unless_told() -> None:
    body = json.dumps({"channel": "webhook", "target": LISTED_TARGET}).encode()
    assert body_of(await Desk().create(body))["events"] == ["file.stored"]


async def test_every_event_and_a_filter_can_be_asked_for() -> None:
    events = ["file.deleted", "file.rejected", "file.stored", "file.updated", "upload.expired"]
    made = await Desk().made({"events": [*events, *events], "filter": "size > 5"})
    assert (made["events"], made["filter"]) == (events, "size > 5")


async def test_parameters_of_the_content_type_are_ignored() -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await Desk().create(headers=headers)).status_code == 201


@pytest.mark.parametrize(
    ("wish", "at_fault"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b"[" * 5000, "body"),
        (b"{}", "channel"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": 5}, "channel"),
        ({"target": None}, "target"),
        ({"target": ["https://x.example"]}, "target"),
        ({"events": []}, "events"),
        ({"events": "file.stored"}, "events"),
        ({"events": ["file.lost"]}, "events.0"),
        ({"filter": 5}, "filter"),
        ({"scope": "world"}, "scope"),
        ({"colour": "red"}, "colour"),
        ({"status": "active"}, "status"),
        (b'{"channel": "webhook", "target": "\\ud800"}', "body"),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_names_the_field(wish: Any, at_fault: str) -> None:
    desk = Desk()
    response = await desk.create(wish)
    assert problem_of(response) == (400, "invalid-body")
    assert f" {at_fault}: " in body_of(response)["detail"]
    assert not desk.memory.rows


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"target": "http://hooks.example/"}, "target-not-allowed"),
        ({"target": "https://169.254.169.254/"}, "target-not-allowed"),
        ({"target": "nonsense"}, "target-not-allowed"),
        ({"target": ""}, "target-not-allowed"),
        ({"target": "https://x.example/" + "x" * 3000}, "target-not-allowed"),
        ({"channel": "email", "target": "https://hooks.example/"}, "target-not-allowed"),
        ({"channel": "chat", "target": "https://hooks.example/"}, "channel-not-offered"),
        ({"filter": "nonsense"}, "invalid-filter"),
    ],
)
async def test_what_cannot_be_told_is_refused(wish: dict[str, Any], code: str) -> None:
    desk = Desk()
    assert problem_of(await desk.create(wish)) == (400, code)
    assert not desk.memory.rows
    assert not desk.sender.posts


async def test_another_content_type_and_a_huge_body_are_refused() -> None:
    other = await Desk().create(headers={"content-type": "text/plain"})
    huge = await Desk().create(b" " * (64 * 1024 + 1))
    assert (other.status_code, huge.status_code) == (415, 413)


async def test_a_client_that_hangs_up_subscribes_nobody() -> None:
    desk = Desk()
    response = await desk.create(b'{"channel":', hangs_up=True)
    assert problem_of(response) == (400, "upload-incomplete")
    assert not desk.memory.rows


HANDLERS = (
    ("get_subscription", "GET"),
    ("update_subscription", "PATCH"),
    ("delete_subscription", "DELETE"),
    ("rotate_secret", "POST"),
    ("test_subscription", "POST"),
    ("verify_subscription", "POST"),
)


@pytest.mark.parametrize("whose", ["another's", "nobody's", "malformed"])
@pytest.mark.parametrize(("name", "method"), HANDLERS)
async def test_anothers_subscription_and_no_subscription_look_the_same(
    name: str, method: str, whose: str
) -> None:
    desk = Desk()
    made = await desk.made()
    id_ = {"another's": made["id"], "nobody's": "f" * 32, "malformed": "x|y"}[whose]
    caller = OTHER_USER if whose == "another's" else USER
    response = await desk.ask(getattr(desk.routes, name), method, caller=caller, subscription_id=id_)
    assert problem_of(response) == (404, "not-found")
    assert body_of(response)["detail"] == "You have no subscription of this id."
    assert not desk.sender.posts
    assert len(desk.memory.rows) == 1


# -- listing -------------------------------------------------------------------------------------------------


async def listed(desk: Desk, query: str = "", **how: Any) -> Any:
    response = await desk.ask(desk.routes.list_subscriptions, query=query, **how)
    assert response.status_code == 200, body_of(response)
    return body_of(response)


async def test_pages_hold_each_of_the_callers_subscriptions_once_and_no_secret() -> None:
    desk = Desk()
    ids = {(await desk.made())["id"] for _ in range(7)}
    await desk.made(caller=OTHER_USER)
    found: list[str] = []
    cursor = ""
    for expected in (3, 3, 1):
        page = await listed(desk, f"limit=3{cursor}")
        assert len(page["items"]) == expected
        assert all(item["secret"] is None for item in page["items"])
        found += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert len(found) == 7
    assert set(found) == ids


async def test_a_cursor_holds_for_one_list_only_and_cannot_be_made_up() -> None:
    desk = Desk()
    for _ in range(2):
        await desk.made(caller=APP)
    cursor = (await listed(desk, "limit=1", caller=APP))["next_cursor"]
    tampered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for query, caller in (
        (f"cursor={cursor}", USER),
        (f"cursor={cursor}&scope=tenant", APP),
        (f"cursor={tampered}", APP),
        ("cursor=", APP),
        ("cursor=%C3%A9", APP),
    ):
        response = await desk.ask(desk.routes.list_subscriptions, query=query, caller=caller)
        assert problem_of(response) == (400, "invalid-cursor"), query


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=1&limit=2", "scope=world", "status=active"],
)
async def test_a_query_that_cannot_be_taken_is_refused(query: str) -> None:
    desk = Desk()
    response = await desk.ask(desk.routes.list_subscriptions, query=query)
    assert problem_of(response) == (400, "invalid-query")


# -- a whole tenant ------------------------------------------------------------------------------------------


async def test_an_application_that_acts_for_itself_manages_the_subscriptions_of_its_tenant() -> None:
    desk = Desk()
    own, wide = await desk.made(caller=APP), await desk.made(TENANT_WIDE, caller=APP)
    assert (own["scope"], wide["scope"]) == ("own", "tenant")
    assert {partition for partition, _ in desk.memory.rows} == {
        own_partition(APP),
        tenant_partition("tenant"),
    }
    assert [item["id"] for item in (await listed(desk, caller=APP))["items"]] == [own["id"]]
    assert [i["id"] for i in (await listed(desk, "scope=tenant", caller=APP))["items"]] == [wide["id"]]
    paused = await desk.patch(wide["id"], {"status": "paused"}, if_match=wide["etag"], caller=APP)
    assert body_of(paused)["status"] == "paused"
    routes = desk.routes
    gone = await desk.ask(routes.delete_subscription, "DELETE", caller=APP, subscription_id=wide["id"])
    assert gone.status_code == 204
    assert (await listed(desk, "scope=tenant", caller=APP))["items"] == []


@pytest.mark.parametrize(
    "how",
    [{"caller": USER}, {"caller": APP, "owner": own_partition(USER)}],
    ids=["a user", "an application that acts for a user"],
)
async def test_nobody_else_does(how: dict[str, Any]) -> None:
    desk = Desk()
    wide = await desk.made(TENANT_WIDE, caller=APP)
    create = await desk.create(TENANT_WIDE, **how)
    listing = await desk.ask(desk.routes.list_subscriptions, query="scope=tenant", **how)
    for response in (create, listing):
        assert problem_of(response) == (403, "permission-missing")
        assert 'scope="Subscriptions.Manage.All"' in response.headers["www-authenticate"]
    read = await desk.ask(desk.routes.get_subscription, subscription_id=wide["id"], **how)
    assert problem_of(read) == (404, "not-found")
    assert len(desk.memory.rows) == 1


async def test_an_application_of_another_tenant_sees_nothing_of_this_one() -> None:
    desk = Desk()
    wide = await desk.made(TENANT_WIDE, caller=APP)
    read = await desk.ask(desk.routes.get_subscription, caller=OTHER_TENANTS_APP, subscription_id=wide["id"])
    assert problem_of(read) == (404, "not-found")
    assert (await listed(desk, "scope=tenant", caller=OTHER_TENANTS_APP))["items"] == []


def test_a_tenants_partition_is_no_owners_and_never_changes() -> None:
    assert tenant_partition("t") == "2724c411540308c87c8e9844dbdaabdf"
    assert tenant_partition("a/b") not in {Owner("a", "b").partition, Owner("tenant:a", "b").partition}
    assert tenant_partition("https://people.example/") != tenant_partition("https://people.example")


# -- changing ------------------------------------------------------------------------------------------------


async def test_a_change_needs_the_version_that_was_read() -> None:
    desk = Desk()
    made = await desk.made()
    pause = {"status": "paused"}
    assert problem_of(await desk.patch(made["id"], pause, if_match=None)) == (428, "if-match-missing")
    assert problem_of(await desk.patch(made["id"], pause, if_match='"old"')) == (412, "changed")
    assert problem_of(await desk.patch(made["id"], pause, if_match=f"W/{made['etag']}")) == (412, "changed")
    assert problem_of(await desk.patch(made["id"], pause, if_match="old")) == (400, "invalid-request")
    changed = await desk.patch(made["id"], pause, if_match=made["etag"])
    assert changed.status_code == 200
    assert changed.headers["etag"] == body_of(changed)["etag"] != made["etag"]
    assert problem_of(await desk.patch(made["id"], pause, if_match=made["etag"])) == (412, "changed")


async def test_the_condition_comes_before_the_body() -> None:
    desk = Desk()
    made = await desk.made()
    assert problem_of(await desk.patch(made["id"], b"{", if_match='"old"')) == (412, "changed")


async def test_a_patch_changes_what_it_names_and_nothing_else() -> None:
    desk = Desk()
    made = await desk.made({"filter": "size > 5"})
    desk.clock.advance(60)
    events = ["file.deleted", "file.stored"]
    changed = body_of(await desk.patch(made["id"], {"events": events}))
    later = {"updated_at": "2026-03-01T12:01:00.000Z", "etag": changed["etag"], "secret": None}
    assert changed == made | later | {"events": events}
    assert body_of(await desk.patch(made["id"], {"filter": None}))["filter"] is None
    assert body_of(await desk.patch(made["id"], {"filter": "size > 6"}))["filter"] == "size > 6"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (b"{", "invalid-body"),
        (b"[]", "invalid-body"),
        ({"events": []}, "invalid-body"),
        ({"events": None}, "invalid-body"),
        ({"target": None}, "invalid-body"),
        ({"status": "disabled"}, "invalid-body"),
        ({"status": None}, "invalid-body"),
        ({"channel": "email"}, "invalid-body"),
        ({"secret": "whsec_"}, "invalid-body"),
        ({"target": "http://hooks.example/"}, "target-not-allowed"),
        ({"filter": "nonsense"}, "invalid-filter"),
        ({"filter": "nonsense", "status": "paused"}, "invalid-filter"),
    ],
)
async def test_a_patch_that_cannot_be_taken_changes_nothing(change: Any, code: str) -> None:
    desk = Desk()
    made = await desk.made()
    before = dict(desk.memory.rows)
    assert problem_of(await desk.patch(made["id"], change)) == (400, code)
    assert desk.memory.rows == before


async def test_a_deletion_honours_the_version_if_it_is_told() -> None:
    desk = Desk()
    made = await desk.made()
    path = {"subscription_id": made["id"]}
    delete = desk.routes.delete_subscription
    old = await desk.ask(delete, "DELETE", headers={"if-match": '"old"'}, **path)
    assert problem_of(old) == (412, "changed")
    gone = await desk.ask(delete, "DELETE", headers={"if-match": made["etag"]}, **path)
    assert (gone.status_code, gone.body) == (204, b"")
    assert problem_of(await desk.ask(delete, "DELETE", **path)) == (404, "not-found")


# -- secret, test, challenge ---------------------------------------------------------------------------------


async def test_a_rotation_is_answered_with_the_new_secret_this_once() -> None:
    desk = Desk()
    made = await desk.made()
    path = {"subscription_id": made["id"]}
    rotated = body_of(await desk.ask(desk.routes.rotate_secret, "POST", **path))
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_retires_at"] == "2026-03-02T12:00:00.000Z"
    read = body_of(await desk.ask(desk.routes.get_subscription, **path))
    assert read == rotated | {"secret": None}
    desk.clock.advance(24 * 3600)
    read = body_of(await desk.ask(desk.routes.get_subscription, **path))
    assert read["previous_secret_retires_at"] is None
    old = {"if-match": made["etag"]}
    assert problem_of(await desk.ask(desk.routes.rotate_secret, "POST", headers=old, **path)) == (
        412,
        "changed",
    )


async def test_a_test_is_answered_with_what_came_of_it() -> None:
    desk = Desk()
    made = await desk.made()
    response = await desk.ask(desk.routes.test_subscription, "POST", subscription_id=made["id"])
    assert response.status_code == 202
    assert body_of(response) == {
        "outcome": "delivered",
        "status_code": 200,
        "detail": "accepted by the target",
        "duration_ms": 0,
    }
    ((url, _, body),) = desk.sender.posts
    assert url == LISTED_TARGET
    assert json.loads(body)["type"] == "dropbell.subscription.test.v1"
    assert json.loads(body)["subject"] == made["id"]


async def test_a_target_that_has_not_proved_itself_gets_no_test_and_can_be_challenged_again() -> None:
    desk = Desk(HttpAnswer(200, body_start=b"welcome"), PROVES)
    made = await desk.made({"target": TARGET})
    path = {"subscription_id": made["id"]}
    assert made["status"] == "pending"
    assert "did not hold the challenge" in made["status_reason"]
    test = await desk.ask(desk.routes.test_subscription, "POST", **path)
    assert problem_of(test) == (409, "target-not-proven")
    assert len(desk.sender.posts) == 1
    verified = await desk.ask(desk.routes.verify_subscription, "POST", **path)
    assert (verified.status_code, body_of(verified)["status"]) == (200, "active")
    assert verified.headers["etag"] == body_of(verified)["etag"] != made["etag"]


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
