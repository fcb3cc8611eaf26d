"""One file's story as it was really exported: one trace from the upload to the redriven dead letter."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLANTED_BODY = b"planted-body-4f1c"
PLANTED_NAME = "planted-name-77aa.txt"
PLANTED_PATH = "planted-path-9e3d"
CORRELATION_ID = "order-4711.telemetry"
TRACEPARENT = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-00"
"""The client's own trace, not sampled: that must not switch ours off."""


@dataclass(frozen=True)
class Telling:
    """What became of the file, and all that was exported of its trace."""

    file: Mapping[str, Any]
    deliveries: Sequence[Mapping[str, Any]]
    """By subscriber: one well, one that failed twice, one dead-lettered and redriven."""
    items: Sequence[Mapping[str, Any]]
    everything: str
    """All envelopes of the stack, as text."""
    secrets: Sequence[str]

    def of(self, base_type: str) -> list[Mapping[str, Any]]:
        return [each for each in self.items if each["data"]["baseType"] == base_type]

    @property
    def requests(self) -> list[Mapping[str, Any]]:
        return self.of("RequestData")

    def children(self, parent: str, base_type: str) -> list[Mapping[str, Any]]:
        found = [each for each in self.of(base_type) if each["tags"].get("ai.operation.parentId") == parent]
        return sorted(found, key=lambda each: str(each["time"]))

    def names(self, parent: str) -> list[str]:
        return [name_of(each) for each in self.children(parent, "RemoteDependencyData")]


def base(item: Mapping[str, Any]) -> Mapping[str, Any]:
    data: Mapping[str, Any] = item["data"]["baseData"]
    return data


def name_of(item: Mapping[str, Any]) -> str:
    return str(base(item)["name"])


def links_of(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = json.loads(base(item)["properties"].get("_MS.links", "[]"))
    return [(each["operation_Id"], each["id"]) for each in told]


def at_insights(stack: RunningStack, path: str) -> Any:
    answer = requests.get(stack.addresses["app_insights"] + path, timeout=HTTP_TIMEOUT_SECONDS)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture(scope="module")
def telling(stack: RunningStack) -> Telling:
    forget_subscriptions(stack)
    hooks = [f"{uuid.uuid4().hex}/{PLANTED_PATH}" for _ in range(3)]
    subscriptions = [stack.subscribe(hook, user="bob") for hook in hooks]
    for hook, status, count in ((hooks[1], 503, 2), (hooks[2], 500, 3)):
        stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "status": status, "count": count})
    token = stack.token(user="bob")
    answer = requests.post(
        stack.url("/files"),
        data=PLANTED_BODY,
        headers={
            "authorization": f"Bearer {token}",
            "content-type": "text/plain",
            "content-disposition": f"attachment; filename={PLANTED_NAME}",
            "traceparent": TRACEPARENT,
            "x-correlation-id": CORRELATION_ID,
        },
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    file = answer.json()
    delivery = [stack.settled_delivery(file["id"], each["id"], user="bob") for each in subscriptions]
    assert [each["status"] for each in delivery] == ["delivered", "delivered", "dead"]
    redrive(stack, delivery[2]["id"])
    wait_until(lambda: deliveries(stack, file)[2]["status"] == "delivered", timeout_seconds=20)
    wait_until(lambda: len(attempts(stack, file)) == 8, timeout_seconds=20)
    return Telling(
        file,
        deliveries(stack, file),
        at_insights(stack, f"/api/traces/{file['trace_id']}")["items"],
        json.dumps(at_insights(stack, "/api/items")),
        [token, *(each["secret"] for each in subscriptions)],
    )


def forget_subscriptions(stack: RunningStack) -> None:
    """Those of other tests would have their own deliveries in the trace."""
    for each in stack.get("/subscriptions", user="bob").json()["items"]:
        url, headers = stack.url(f"/subscriptions/{each['id']}"), stack.headers("bob")
        requests.delete(url, headers=headers, timeout=HTTP_TIMEOUT_SECONDS).raise_for_status()


def redrive(stack: RunningStack, delivery_id: str) -> None:
    headers = {"authorization": f"Bearer {stack.token(user='olga')}"}

    def ask() -> bool:
        answer = requests.post(
            stack.url("/operations/dead-letters/redrive"),
            json={"ids": [delivery_id]},
            headers=headers,
            timeout=HTTP_TIMEOUT_SECONDS,
        )
        return bool(answer.json()["redriven"])

    wait_until(ask, timeout_seconds=20)


def deliveries(stack: RunningStack, file: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = stack.get(f"/files/{file['id']}/deliveries", user="bob").json()["items"]
    return sorted(items, key=lambda each: len(each["attempts"]))


def attempts(stack: RunningStack, file: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = at_insights(stack, f"/api/traces/{file['trace_id']}")["items"]
    return [
        each
        for each in items
        if each["data"]["baseType"] == "EventData" and name_of(each) == "dropbell.delivery.attempt"
    ]


def test_everything_is_one_operation_and_begins_at_the_clients_span(telling: Telling) -> None:
    _, trace_id, span_id, _ = TRACEPARENT.split("-")
    assert telling.file["trace_id"] == trace_id
    assert {each["tags"]["ai.operation.id"] for each in telling.items} == {trace_id}
    known = {base(each)["id"] for each in telling.items if "id" in base(each)}
    parents = [each["tags"]["ai.operation.parentId"] for each in telling.items]
    assert [each for each in parents if each not in known] == [span_id], "one root, and no gap anywhere"


def test_the_requests_are_an_exact_tree(telling: Telling) -> None:
    (post,) = telling.children(TRACEPARENT.split("-")[2], "RequestData")
    (announce,) = telling.children(base(post)["id"], "RequestData")
    delivers = telling.children(base(announce)["id"], "RequestData")
    assert (name_of(post), name_of(announce)) == ("POST /api/v1/files", "announce")
    sent = [each for each in delivers if "Webhook" in telling.names(base(each)["id"])]
    assert [int(base(each)["properties"]["attempt"]) for each in sent].count(1) == 3
    assert len(sent) == 8, "1 + 3 + 3, and the redriven one"
    repeats = [each for each in delivers if each not in sent]
    assert {base(each)["properties"]["error"] for each in repeats} == {"DeadLetterError"}
    assert len(telling.requests) == 2 + len(delivers)


def test_each_step_shows_what_it_called(telling: Telling) -> None:
    (post,) = [each for each in telling.requests if name_of(each) == "POST /api/v1/files"]
    (announce,) = [each for each in telling.requests if name_of(each) == "announce"]
    assert sorted(set(telling.names(base(post)["id"])) - {"GET issuer document"}) == [
        "Blob create",
        "Table apply",
    ]
    assert telling.names(base(announce)["id"]) == [
        "Table get",
        *["Table query"] * 3,
        *["Table apply"] * 2,
        "Queue send",
    ]
    for deliver in (each for each in telling.requests if name_of(each) == "deliver"):
        names = telling.names(base(deliver)["id"])
        assert names[:2] in (["Table get", "Table apply"], ["Table get", "Table query"])
        assert names.count("Webhook") <= 1
        assert names.count("Queue send") <= 1


def test_retries_and_the_redrive_are_linked(telling: Telling) -> None:
    webhooks = [each for each in telling.of("RemoteDependencyData") if name_of(each) == "Webhook"]
    by_id = {base(each)["id"]: each for each in webhooks}
    linked = [each for each in webhooks if links_of(each)]
    assert (len(webhooks), len(linked)) == (8, 5)
    for each in linked:
        ((trace_id, before),) = links_of(each)
        assert trace_id == telling.file["trace_id"]
        assert by_id[before]["time"] < each["time"]
        subscription = base(each)["properties"]["subscription_id"]
        assert base(by_id[before])["properties"]["subscription_id"] == subscription
    (redriven,) = [each for each in telling.requests if links_of(each)]
    ((operators_trace, _),) = links_of(redriven)
    assert operators_trace != telling.file["trace_id"]


def test_the_receiver_gets_the_span_of_the_attempt(stack: RunningStack, telling: Telling) -> None:
    arrived = stack.inbox("get", "/messages?channel=webhook").json()["items"]
    sent = {
        each["headers"]["traceparent"].split("-")[2]
        for each in arrived
        if each["headers"]["x-correlation-id"] == CORRELATION_ID
    }
    assert sent == {base(e)["id"] for e in telling.of("RemoteDependencyData") if name_of(e) == "Webhook"}


def test_the_wide_events_have_their_fields(telling: Telling) -> None:
    events = [(name_of(each), base(each)["properties"]) for each in telling.of("EventData")]
    ids = {"file_id": telling.file["id"], "correlation_id": CORRELATION_ID}
    assert all(fields.items() >= ids.items() for _, fields in events)
    (request,) = [fields for name, fields in events if name == "dropbell.request"]
    assert request.items() >= {"route": "create_file", "status_code": "201", "caller": "user"}.items()
    (announced,) = [fields for name, fields in events if name == "dropbell.file.announced"]
    assert announced["deliveries"] == "3"
    assert int(announced["since_accepted_ms"]) >= 0
    made = [fields for name, fields in events if name == "dropbell.delivery.attempt"]
    assert sorted((f["outcome"], f["status_code"], f["attempt"]) for f in made) == [
        ("delivered", "200", "1"),
        ("delivered", "200", "3"),
        ("delivered", "200", "4"),
        *[("failed", "500", str(number)) for number in (1, 2, 3)],
        *[("failed", "503", str(number)) for number in (1, 2)],
    ]
    assert {name for name, _ in events} <= {
        "dropbell.request",
        "dropbell.file.announced",
        "dropbell.delivery.attempt",
    }


def test_nothing_is_exported_twice(telling: Telling) -> None:
    spans = [base(each)["id"] for each in telling.items if "id" in base(each)]
    assert len(spans) == len(set(spans))
    events = [json.dumps(each, sort_keys=True) for each in telling.of("EventData")]
    assert len(events) == len(set(events))
    assert telling.of("MessageData") == telling.of("ExceptionData") == []


def test_no_secret_and_nothing_personal_is_in_anything_that_was_exported(telling: Telling) -> None:
    for planted in (PLANTED_BODY.decode(), PLANTED_NAME, PLANTED_PATH, *telling.secrets):
        assert planted not in telling.everything
    for user in ("alice", "bob", "olga", "Bearer", "whsec_", "sig="):
        assert user not in telling.everything


@pytest.mark.parametrize("name", ["file_id", "correlation_id"])
def test_an_id_leads_to_the_trace_in_one_step(stack: RunningStack, telling: Telling, name: str) -> None:
    value = {"file_id": telling.file["id"], "correlation_id": CORRELATION_ID}[name]
    assert at_insights(stack, f"/api/search?{name}={value}")["trace_ids"] == [telling.file["trace_id"]]


def test_metrics_arrive(stack: RunningStack, telling: Telling) -> None:
    def known() -> set[str]:
        return {each["name"] for each in at_insights(stack, "/api/metrics")["items"]}

    wanted = {
        "dropbell.files.accepted",
        "dropbell.bytes.accepted",
        "dropbell.time_to_announced",
        "dropbell.time_to_delivered",
        "dropbell.delivery.attempts",
        "dropbell.dead_letters",
        "dropbell.signing_keys.lookups",
    }
    wait_until(lambda: wanted <= known(), timeout_seconds=20)


@pytest.mark.parametrize("behaviour", [{"status": 500}, {"hang": True}])
def test_an_endpoint_that_fails_is_nothing_that_a_client_sees(
    stack: RunningStack, behaviour: Mapping[str, Any]
) -> None:
    def behave(wish: Mapping[str, Any]) -> None:
        requests.post(
            f"{stack.addresses['app_insights']}/behaviour", json=wish, timeout=HTTP_TIMEOUT_SECONDS
        ).raise_for_status()

    behave({**behaviour, "count": 1000})
    try:
        file_ids = [stack.upload(b"ring").json()["id"] for _ in range(3)]
        for file_id in file_ids:
            wait_until(partial(settled, stack, file_id), timeout_seconds=20)
    finally:
        behave({"reset": True})


def settled(stack: RunningStack, file_id: str) -> bool:
    return bool(stack.get(f"/files/{file_id}").json()["status"] == "settled")
