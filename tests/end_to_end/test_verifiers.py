"""What subscribers get, read by software that others wrote: Standard Webhooks (npm), CloudEvents (PyPI)."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from shared.notifications.message import file_event
from shared.notifications.subscription import EventType
from tests.clients.node import run_node
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack
from tests.unit.shared import sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloudevents.core.base import BaseCloudEvent

USER = "bob"
NAME = "Glöckchen ✓.txt"
DISPOSITION = "attachment; filename*=UTF-8''Gl%C3%B6ckchen%20%E2%9C%93.txt"
UNKNOWN_SECRET = "whsec_" + "bm90LXRoZS1zZWNyZXQtb2YtdGhpcy1zdWJzY3JpcHQ="
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def post(stack: RunningStack, path: str, body: Any = None) -> dict[str, Any]:
    answer = requests.post(
        stack.url(path), json=body, headers=stack.headers(USER), timeout=HTTP_TIMEOUT_SECONDS
    )
    assert answer.ok, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ring(stack: RunningStack) -> dict[str, Any]:
    answer = stack.upload(b"ring", user=USER, content_type="text/plain", content_disposition=DISPOSITION)
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


def verdicts(folder: Path, message: Mapping[str, Any], *secrets: str) -> list[dict[str, Any]]:
    """What the verifier says of the message, for each secret."""
    # The inbox shows bodies as text; this one is shown byte for byte.
    assert len(message["body"].encode()) == message["size_bytes"]
    recorded = folder / "message.json"
    recorded.write_text(json.dumps({"headers": message["headers"], "body": message["body"]}))
    options = [part for secret in secrets for part in ("--secret", secret)]
    told: list[dict[str, Any]] = run_node("verify.mjs", "--message", recorded, *options)["verdicts"]
    return told


def accepted(folder: Path, message: Mapping[str, Any], *secrets: str) -> list[bool]:
    return [each["accepted"] for each in verdicts(folder, message, *secrets)]


def parsed(message: Mapping[str, Any]) -> BaseCloudEvent:
    """The event, as the CloudEvents SDK reads it."""
    return from_structured_event(HTTPMessage(dict(message["headers"]), message["body"].encode()))


def test_a_verifier_accepts_our_signature_and_nothing_that_was_changed(
    stack: RunningStack, tmp_path: Path
) -> None:
    hook = uuid.uuid4().hex
    secret = stack.subscribe(hook, user=USER)["secret"]
    file = ring(stack)
    (message,) = stack.messages(hook)

    ours, unknown = verdicts(tmp_path, message, secret, UNKNOWN_SECRET)

    assert ours["accepted"], ours
    assert ours["event"]["data"]["file"]["name"] == file["name"] == NAME
    assert not unknown["accepted"]
    headers = message["headers"]
    changed = message["body"].replace(file["id"], str(uuid.uuid4()))
    later = str(int(headers["webhook-timestamp"]) + 1)
    for tampered in (
        {"headers": headers, "body": changed},
        {"headers": headers | {"webhook-id": "another"}, "body": message["body"]},
        {"headers": headers | {"webhook-timestamp": later}, "body": message["body"]},
    ):
        tampered["size_bytes"] = len(tampered["body"].encode())
        assert accepted(tmp_path, tampered, secret) == [False]


def test_while_a_secret_is_rotated_the_old_and_the_new_one_both_verify(
    stack: RunningStack, tmp_path: Path
) -> None:
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook, user=USER)
    old = subscription["secret"]
    ring(stack)
    (before,) = stack.messages(hook)

    new = post(stack, f"/subscriptions/{subscription['id']}/rotate-secret")["secret"]
    ring(stack)
    _, during = stack.messages(hook, count=2)

    assert old != new
    assert accepted(tmp_path, before, old, new) == [True, False]
    assert accepted(tmp_path, during, old, new, UNKNOWN_SECRET) == [True, True, False]


def test_an_sdk_reads_the_events_of_a_files_life(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    wanted = [event.value for event in EventType]
    target = f"{stack.addresses['inbox']}/hooks/{hook}"
    subscription = post(stack, "/subscriptions", {"channel": "webhook", "target": target, "events": wanted})
    file = ring(stack)
    stack.messages(hook)
    url, headers = stack.url(f"/files/{file['id']}"), stack.headers(USER)
    current = requests.get(url, headers=headers, timeout=HTTP_TIMEOUT_SECONDS)
    edit = {"if-match": current.headers["etag"], "content-type": "application/merge-patch+json"}
    patch = json.dumps({"labels": {"bell": "door"}})
    changed = requests.patch(url, data=patch, headers=headers | edit, timeout=HTTP_TIMEOUT_SECONDS)
    assert changed.status_code == 200, changed.text
    stack.messages(hook, count=2)
    deleted = requests.delete(url, headers=headers, timeout=HTTP_TIMEOUT_SECONDS)
    assert deleted.status_code == 204, deleted.text
    stack.messages(hook, count=3)
    post(stack, f"/subscriptions/{subscription['id']}/test")

    events = [parsed(message) for message in stack.messages(hook, count=4)]

    happened = ("file.stored", "file.updated", "file.deleted", "subscription.test")
    assert [event.get_type() for event in events] == [f"dropbell.{each}.v1" for each in happened]
    assert [event.get_subject() for event in events] == [file["id"]] * 3 + [subscription["id"]]
    assert {event.get_source() for event in events} == {stack.addresses["api"]}
    assert len({event.get_id() for event in events}) == len(events)
    updated = events[1].get_data()
    assert isinstance(updated, dict)
    assert updated["file"]["labels"] == {"bell": "door"}


@pytest.mark.parametrize("event_type", EventType)
def test_an_sdk_reads_an_event_of_each_type(event_type: EventType) -> None:
    file = sample.file(name=NAME, reason="checksum-mismatch: not what was announced")
    body = file_event(file, event_type, source=sample.PUBLIC_URL).model_dump_json()

    event = parsed({"headers": {"content-type": "application/cloudevents+json; charset=utf-8"}, "body": body})

    assert event.get_specversion() == "1.0"
    assert event.get_type() == f"dropbell.{event_type.value}.v1"
    assert event.get_source() == sample.PUBLIC_URL
    assert event.get_subject() == file.id
    assert event.get_datacontenttype() == "application/json"
    time = event.get_time()
    assert time is not None
    assert time.utcoffset() is not None
    assert TRACEPARENT.fullmatch(event.get_extension("traceparent"))
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["file"]["name"] == NAME
