"""A receiver that fails and recovers, and what an operator and an owner do about it, over the real parts."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import requests
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = 3
QUEUE = "notifications"
LETTERS = "/operations/dead-letters"


def post(stack: RunningStack, path: str, body: Any = None, *, user: str = "olga") -> requests.Response:
    return requests.post(
        stack.url(path), json=body, headers=stack.headers(user), timeout=HTTP_TIMEOUT_SECONDS
    )


def letters_of(stack: RunningStack, subscription: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = stack.get(f"{LETTERS}?subscription_id={subscription['id']}", user="olga")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def buried(stack: RunningStack, count: int) -> tuple[str, Mapping[str, Any], list[str]]:
    """A hook that answers 500, its subscription, and files of which nobody could be told."""
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "status": 500, "count": 3 * count})
    file_ids = [stack.upload(b"ring").json()["id"] for _ in range(count)]
    wait_until(lambda: len(letters_of(stack, subscription)) == count, timeout_seconds=30)
    return hook, subscription, file_ids


def test_after_the_receiver_recovers_all_its_dead_letters_are_redriven(stack: RunningStack) -> None:
    hook, subscription, file_ids = buried(stack, FILES)
    for letter in letters_of(stack, subscription):
        assert letter["file_id"] in file_ids
        told = (letter["status"], letter["reason"], letter["queue_reason"], letter["attempts"])
        assert told == ("dead", "the target answered 500", "MaxDeliveryCountExceeded", 3)
    choice = {"filter": {"subscription_id": subscription["id"]}, "limit": 100}

    dry = post(stack, f"{LETTERS}/redrive", {**choice, "dry_run": True})
    assert dry.status_code == 200, dry.text
    assert (dry.json()["matched"], dry.json()["redriven"], dry.json()["skipped"]) == (FILES, FILES, 0)
    assert len(letters_of(stack, subscription)) == FILES

    real = post(stack, f"{LETTERS}/redrive", choice)
    assert real.status_code == 200, real.text
    assert (real.json()["matched"], real.json()["redriven"], real.json()["skipped"]) == (FILES, FILES, 0)
    assert letters_of(stack, subscription) == []

    messages = stack.messages(hook, count=4 * FILES)
    delivered = [message for message in messages if message["answered_status"] == 200]
    assert sorted(message["json"]["subject"] for message in delivered) == sorted(file_ids)
    assert all(message["signature_verified"] for message in delivered)
    for file_id in file_ids:

        def is_delivered(file_id: str = file_id) -> bool:
            return bool(stack.settled_delivery(file_id, subscription["id"])["status"] == "delivered")

        wait_until(is_delivered, timeout_seconds=15)
        attempts = stack.settled_delivery(file_id, subscription["id"])["attempts"]
        assert [attempt["number"] for attempt in attempts] == [1, 2, 3, 4]
    assert post(stack, f"{LETTERS}/redrive", choice).json()["matched"] == 0


def test_a_discarded_letter_is_gone_and_its_owner_can_still_have_it_delivered(stack: RunningStack) -> None:
    hook, subscription, (file_id,) = buried(stack, 1)
    (letter,) = letters_of(stack, subscription)
    discarded = post(stack, f"{LETTERS}/discard", {"ids": [letter["id"]]})
    assert (discarded.status_code, discarded.json()["matched"]) == (200, 1)
    assert letters_of(stack, subscription) == []

    path = f"/deliveries/{letter['delivery_id']}/redeliver"
    assert post(stack, path, user="bob").status_code == 404
    answer = post(stack, path, user="alice")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued"), answer.text
    (message,) = [each for each in stack.messages(hook, count=4) if each["answered_status"] == 200]
    assert message["headers"]["webhook-id"] == letter["delivery_id"]
    assert message["json"]["subject"] == file_id


def test_a_message_that_nobody_can_read_is_laid_aside_with_the_reason(stack: RunningStack) -> None:
    connection = stack.addresses["service_bus_connection_string"]
    with ServiceBusClient.from_connection_string(connection) as bus, bus.get_queue_sender(QUEUE) as sender:
        sender.send_messages(ServiceBusMessage(b'{"owner": 1}', message_id=uuid.uuid4().hex))

    def unreadable() -> list[dict[str, Any]]:
        answer = stack.get(f"{LETTERS}?reason=cannot+be+read", user="olga")
        return [each for each in answer.json()["items"] if each["delivery_id"] is None]

    wait_until(lambda: bool(unreadable()), timeout_seconds=20)
    (letter,) = unreadable()
    assert letter["id"] == f"seq-{letter['sequence_number']}"
    assert "owner" in letter["reason"]
    assert letter["queue_reason"] == "MaxDeliveryCountExceeded"
    choice = {"ids": [letter["id"]]}
    assert post(stack, f"{LETTERS}/redrive", choice).json()["skipped"] == 1
    assert post(stack, f"{LETTERS}/discard", choice).json()["discarded"] == 1
    assert unreadable() == []


def test_who_is_no_operator_sees_and_touches_no_letters(stack: RunningStack) -> None:
    assert stack.get(LETTERS).status_code == 403
    for action in ("redrive", "discard"):
        answer = post(stack, f"{LETTERS}/{action}", {"filter": {}}, user="alice")
        assert answer.status_code == 403
        assert answer.json()["type"] == "/api/problems/permission-missing"
