"""E-mail on its whole way: sent by the service, taken by aiosmtpd, read by Python's ``email``."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USER = "bob"
NAME = "Glöckchen <b>&✓.txt"
DISPOSITION = "attachment; filename*=UTF-8''Gl%C3%B6ckchen%20%3Cb%3E%26%E2%9C%93.txt"


@pytest.fixture
def reader(stack: RunningStack) -> Iterator[Mapping[str, Any]]:
    """A subscription of an address of its own, the user's only one for mails."""
    answer = requests.post(
        stack.url("/subscriptions"),
        json={"channel": "email", "target": f"{uuid.uuid4().hex}@readers.example", "events": ["file.stored"]},
        headers=stack.headers(USER),
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    assert answer.status_code == 201, answer.text
    made: Mapping[str, Any] = answer.json()
    assert made["status"] == "active"
    yield made
    gone = requests.delete(
        stack.url(f"/subscriptions/{made['id']}"), headers=stack.headers(USER), timeout=HTTP_TIMEOUT_SECONDS
    )
    assert gone.status_code == 204, gone.text


def ring(stack: RunningStack) -> dict[str, Any]:
    answer = stack.upload(b"ring", user=USER, content_type="text/plain", content_disposition=DISPOSITION)
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


def mails_to(stack: RunningStack, reader: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = stack.inbox("get", "/messages?channel=email").json()["items"]
    return [each for each in items if each["to"] == reader["target"]]


def delivery_to(stack: RunningStack, file: Mapping[str, Any], reader: Mapping[str, Any]) -> dict[str, Any]:
    """The delivery of the file to the reader, once it is settled."""

    def found() -> list[dict[str, Any]]:
        items = stack.get(f"/files/{file['id']}/deliveries", user=USER).json().get("items", [])
        return [each for each in items if each["subscription_id"] == reader["id"] and each["settled_at"]]

    wait_until(lambda: bool(found()), timeout_seconds=20)
    return found()[0]


def test_a_mail_in_text_and_html_with_a_way_out(stack: RunningStack, reader: Mapping[str, Any]) -> None:
    file = ring(stack)

    delivery = delivery_to(stack, file, reader)

    assert delivery["status"] == "delivered"
    (mail,) = mails_to(stack, reader)
    headers = mail["headers"]
    assert headers["to"] == reader["target"]
    assert headers["content-type"].startswith("multipart/alternative")
    assert headers["message-id"].startswith(f"<{delivery['id']}@")
    assert headers["auto-submitted"] == "auto-generated"
    assert headers["x-correlation-id"] == file["correlation_id"]
    assert headers["traceparent"].split("-")[1] == file["trace_id"]
    assert NAME in mail["subject"]
    assert NAME in mail["text"]
    assert "Glöckchen &lt;b&gt;&amp;✓.txt" in mail["html"]
    assert "<b>&" not in mail["html"]
    url = stack.url(f"/files/{file['id']}")
    assert url in mail["text"]
    assert url in mail["html"]
    assert mail["list_unsubscribe_post"] == "List-Unsubscribe=One-Click"
    way_out = mail["list_unsubscribe"].removeprefix("<").removesuffix(">")
    assert way_out.startswith(stack.addresses["api"])
    assert way_out in mail["text"]
    assert mail["attachments"] == []
    assert mail["size_bytes"] < 50_000


def test_one_click_and_no_mail_comes_any_more(stack: RunningStack, reader: Mapping[str, Any]) -> None:
    delivery_to(stack, ring(stack), reader)
    (mail,) = mails_to(stack, reader)
    way_out = mail["list_unsubscribe"].removeprefix("<").removesuffix(">")
    # What a scanner of links does changes nothing, nor does a form that does not say so.
    assert requests.get(way_out, timeout=HTTP_TIMEOUT_SECONDS).status_code == 200
    assert requests.post(way_out, timeout=HTTP_TIMEOUT_SECONDS).status_code == 400
    assert stack.get(f"/subscriptions/{reader['id']}", user=USER).json()["status"] == "active"

    clicked = requests.post(
        way_out, files={"List-Unsubscribe": (None, "One-Click")}, timeout=HTTP_TIMEOUT_SECONDS
    )  # RFC 8058 §3.2: multipart/form-data, no cookie, no token

    assert clicked.status_code == 200, clicked.text
    subscription = stack.get(f"/subscriptions/{reader['id']}", user=USER).json()
    assert (subscription["status"], subscription["status_reason"]) == ("disabled", "unsubscribed")
    later = ring(stack)
    wait_until(
        lambda: stack.get(f"/files/{later['id']}", user=USER).json()["status"] == "settled",
        timeout_seconds=20,
    )
    assert len(mails_to(stack, reader)) == 1


def test_a_made_up_link_is_unknown(stack: RunningStack, reader: Mapping[str, Any]) -> None:
    delivery_to(stack, ring(stack), reader)
    (mail,) = mails_to(stack, reader)
    parts = urlsplit(mail["list_unsubscribe"].removeprefix("<").removesuffix(">"))
    token = parts.path.rsplit("/", 1)[1]
    forged = parts._replace(path=parts.path.replace(token, ("b" if token[0] == "a" else "a") + token[1:]))

    answer = requests.post(
        forged.geturl(), data={"List-Unsubscribe": "One-Click"}, timeout=HTTP_TIMEOUT_SECONDS
    )

    assert answer.status_code == 404
    assert stack.get(f"/subscriptions/{reader['id']}", user=USER).json()["status"] == "active"


def test_a_mail_that_the_server_puts_off_is_tried_again(
    stack: RunningStack, reader: Mapping[str, Any]
) -> None:
    stack.inbox("post", "/behaviour", json={"channel": "email", "status": 451, "count": 1})

    delivery = delivery_to(stack, ring(stack), reader)

    assert delivery["status"] == "delivered"
    assert [each["outcome"] for each in delivery["attempts"]] == ["failed", "delivered"]
    refused, taken = mails_to(stack, reader)
    assert (refused["answered_status"], taken["answered_status"]) == (451, 250)
    assert refused["headers"]["message-id"] == taken["headers"]["message-id"]  # a repeat can be dropped
