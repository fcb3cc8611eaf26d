from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from standardwebhooks import Webhook as Signer

from local.inbox.archive import Archive
from local.inbox.messages import Channel, Email, Webhook, parse_json
from local.inbox.store import MessageStore, Query

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def webhook(number: int = 0, path: str = "/hooks/a", body: bytes = b"{}", *, at: datetime = NOW) -> Webhook:
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(SECRET).sign("msg_1", at, body.decode(errors="replace")),
    }
    return Webhook(str(number), at, "POST", path, "", headers, body, 200)


def email() -> Email:
    return Email("mail", NOW, "a@x", ("b@x",), "A <a@x>", "Hi", {"subject": "Hi"}, "text", None, (), 4, 250)


def ids(store: MessageStore, query: Query | None = None) -> list[str]:
    return [message.id for message in store.find(query or Query())]


def test_only_the_newest_messages_are_kept() -> None:
    store = MessageStore(max_messages=3)
    for number in range(5):
        store.add(webhook(number))
    assert ids(store) == ["2", "3", "4"]


def test_large_bodies_push_older_messages_out() -> None:
    store = MessageStore(max_total_bytes=100)
    for number in range(3):
        store.add(webhook(number, body=b"x" * 40))
    store.add(webhook(3, body=b"x" * 200))
    assert ids(store) == ["3"]


def test_a_secret_that_comes_later_verifies_what_came_earlier() -> None:
    store = MessageStore()
    store.add(webhook(0))
    store.add(webhook(1, path="/hooks/b"))
    store.add_secret("/hooks/a", SECRET)
    assert [m.signature.verified for m in store if isinstance(m, Webhook)] == [True, None]
    store.add_secret("*", SECRET)
    assert [m.signature.verified for m in store if isinstance(m, Webhook)] == [True, True]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), ["0", "1", "mail", "2"]),
        (Query(channel=Channel.EMAIL), ["mail"]),
        (Query(path="/hooks/b"), ["1"]),
        (Query(since=NOW + timedelta(milliseconds=1)), ["1", "2"]),
        (Query(channel=Channel.WEBHOOK, limit=2), ["0", "1"]),
    ],
)
def test_messages_are_found_oldest_first(query: Query, expected: list[str]) -> None:
    store = MessageStore()
    store.add(webhook(0))
    store.add(webhook(1, path="/hooks/b", at=NOW + timedelta(seconds=1)))
    store.add(email())
    store.add(webhook(2, at=NOW + timedelta(milliseconds=1)))
    assert ids(store, query) == expected


async def test_waiting_ends_with_the_last_message_wanted() -> None:
    store = MessageStore()
    waiting = asyncio.create_task(store.wait_for(Query(path="/hooks/a"), 2, 10))
    await asyncio.sleep(0)
    store.add(webhook(0))
    store.add(webhook(1, path="/hooks/b"))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.add(webhook(2))
    assert [message.id for message in await waiting] == ["0", "2"]


async def test_waiting_in_vain_returns_what_there_is() -> None:
    store = MessageStore()
    store.add(webhook(0))
    assert [message.id for message in await store.wait_for(Query(), 2, 0.01)] == ["0"]


def test_a_restart_finds_messages_and_secrets_again(tmp_path: Path) -> None:
    path = tmp_path / "data" / "inbox.jsonl"
    before = MessageStore(Archive(path))
    before.add(webhook(0))
    before.clear()
    before.add(webhook(1, body=b"\xff\x00"))
    before.add(email())
    before.add_secret("*", SECRET)
    after = MessageStore(Archive(path))
    assert list(after) == list(before)
    assert after.add(webhook(2)).to_json()["signature_verified"] is True


def test_a_line_that_a_crash_cut_short_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "inbox.jsonl"
    MessageStore(Archive(path)).add(webhook(1))
    path.write_bytes(path.read_bytes() + b'{"message": {"id": "2", "rec')
    assert ids(MessageStore(Archive(path))) == ["1"]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1]}', {"a": [1]}),
        (b"", None),
        (b"NaN", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"1" * 5_000, None),
    ],
)
def test_a_body_is_json_only_when_it_can_be_shown_as_json(body: bytes, value: object) -> None:
    assert parse_json(body) == value


@pytest.mark.parametrize("depth", range(900, 1100, 20))
def test_deep_json_never_breaks_the_listing(depth: int) -> None:
    shown = webhook(body=b"[" * depth + b"]" * depth).to_json()
    assert json.loads(json.dumps(shown["body"]))
    json.dumps({"items": [shown]})
