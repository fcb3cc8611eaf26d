"""A file's way from a signed-in client to a signed webhook, over the real parts."""

from __future__ import annotations

import hashlib
import os
import signal
import uuid

import requests
from azure.servicebus import ServiceBusClient, ServiceBusSubQueue
from azure.storage.blob import BlobServiceClient
from standardwebhooks import Webhook

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-00"


def hook_name() -> str:
    return uuid.uuid4().hex


def test_a_file_becomes_a_blob_a_row_and_a_signed_cloud_event(stack: RunningStack) -> None:
    hook = hook_name()
    subscription = stack.subscribe(hook)
    content = os.urandom(9 * 1024 * 1024 + 17)

    answer = stack.upload(
        content,
        content_type="audio/wav",
        content_disposition="attachment; filename*=UTF-8''Gl%C3%B6ckchen%20%E2%9C%93.wav",
        traceparent=TRACEPARENT,
        x_correlation_id="order-4711",
    )

    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert answer.headers["Location"] == f"/api/v1/files/{file['id']}"
    assert answer.headers["ETag"] == file["etag"]
    assert answer.headers["X-Correlation-ID"] == "order-4711"
    sha256 = hashlib.sha256(content).hexdigest()
    expected = {
        "name": "Glöckchen ✓.wav",
        "content_type": "audio/wav",
        "size_bytes": len(content),
        "sha256": sha256,
        "labels": {},
        "trace_id": TRACE_ID,
        "correlation_id": "order-4711",
    }
    assert {name: file[name] for name in expected} == expected

    (message,) = stack.messages(hook)
    assert message["signature_verified"] is True
    event = Webhook(subscription["secret"]).verify(message["body"], message["headers"])
    assert (event["specversion"], event["type"]) == ("1.0", "dropbell.file.stored.v1")
    assert event["subject"] == file["id"]
    assert event["source"] == stack.addresses["api"]
    assert event["data"]["file"]["sha256"] == sha256
    assert message["headers"]["content-type"].startswith("application/cloudevents+json")
    assert message["headers"]["x-correlation-id"] == "order-4711"
    assert message["headers"]["traceparent"].split("-")[1] == TRACE_ID

    delivery = stack.settled_delivery(file["id"], subscription["id"])
    assert delivery["status"] == "delivered"
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["delivered"]
    assert message["headers"]["webhook-id"] == delivery["id"]

    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        names = [blob.name for blob in service.get_container_client("uploads").list_blobs()]
        (name,) = [name for name in names if name.endswith(file["id"])]
        stored = service.get_blob_client("uploads", name).download_blob().readall()
    assert hashlib.sha256(stored).hexdigest() == sha256


def test_a_failing_target_is_tried_again_by_the_schedule(stack: RunningStack) -> None:
    hook = hook_name()
    subscription = stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "status": 503, "count": 2})

    file_id = stack.upload(b"ring").json()["id"]

    messages = stack.messages(hook, count=3)
    assert [message["answered_status"] for message in messages] == [503, 503, 200]
    assert len({message["headers"]["webhook-id"] for message in messages}) == 1
    delivery = stack.settled_delivery(file_id, subscription["id"])
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["failed", "failed", "delivered"]
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2, 3]


def test_an_exhausted_delivery_is_dead_and_its_message_in_the_dead_letter_queue(stack: RunningStack) -> None:
    hook = hook_name()
    subscription = stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "status": 500})

    file_id = stack.upload(b"ring").json()["id"]

    delivery = stack.settled_delivery(file_id, subscription["id"])
    assert delivery["status"] == "dead"
    assert delivery["reason"] == "the target answered 500"
    assert len(delivery["attempts"]) == 3
    with (
        ServiceBusClient.from_connection_string(stack.addresses["service_bus_connection_string"]) as client,
        client.get_queue_receiver("notifications", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver,
    ):

        def is_dead_lettered() -> bool:
            peeked = receiver.peek_messages(max_message_count=100)
            return any(str(message.message_id).startswith(delivery["id"]) for message in peeked)

        wait_until(is_dead_lettered, timeout_seconds=15)


def test_a_worker_killed_in_the_middle_of_a_delivery_does_not_lose_it(stack: RunningStack) -> None:
    hook = hook_name()
    subscription = stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "delay_seconds": 1.5, "count": 1})
    file_id = stack.upload(b"ring").json()["id"]

    def is_delivering() -> bool:
        items = stack.get(f"/files/{file_id}/deliveries").json()["items"]
        return any(i["subscription_id"] == subscription["id"] and i["status"] == "delivering" for i in items)

    wait_until(is_delivering, timeout_seconds=10)
    killed = stack.addresses["worker_pids"]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    delivery = stack.settled_delivery(file_id, subscription["id"], timeout_seconds=60)
    assert delivery["status"] == "delivered"
    outcomes = [attempt["outcome"] for attempt in delivery["attempts"]]
    assert outcomes == ["interrupted", "delivered"]
    assert stack.messages(hook)[-1]["signature_verified"] is True
    wait_until(lambda: not set(killed) & set(stack.addresses["worker_pids"]), timeout_seconds=10)
    assert stack.upload(b"after the crash").status_code == 201


def test_an_event_that_comes_twice_rings_once(stack: RunningStack) -> None:
    hook = hook_name()
    subscription = stack.subscribe(hook)
    file_id = stack.upload(b"ring").json()["id"]
    assert stack.settled_delivery(file_id, subscription["id"])["status"] == "delivered"
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        names = [blob.name for blob in service.get_container_client("uploads").list_blobs()]
    (name,) = [name for name in names if name.endswith(file_id)]

    for _ in range(3):
        requests.post(
            f"{stack.addresses['event_grid']}/replay",
            json={"container": "uploads", "name": name},
            timeout=HTTP_TIMEOUT_SECONDS,
        ).raise_for_status()

    later = hook_name()  # events are carried out in order of arrival: once this one rang, the others are done
    stack.subscribe(later)
    stack.upload(b"ring again")
    stack.messages(later)
    repeats = [message for message in stack.messages(hook, count=2) if message["json"]["subject"] == file_id]
    assert len(repeats) == 1


def test_another_user_sees_nothing_of_it(stack: RunningStack) -> None:
    file_id = stack.upload(b"mine").json()["id"]

    assert stack.get(f"/files/{file_id}").status_code == 200
    for path in (f"/files/{file_id}", f"/files/{file_id}/deliveries"):
        answer = stack.get(path, user="bob")
        assert answer.status_code == 404
        assert answer.json()["type"] == "/api/problems/not-found"


def test_deep_health_asks_storage_and_queue(stack: RunningStack) -> None:
    answer = requests.get(f"{stack.addresses['api']}/api/health?deep=1", timeout=HTTP_TIMEOUT_SECONDS)

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"blobs": "ok", "tables": "ok", "queue": "ok"}}
