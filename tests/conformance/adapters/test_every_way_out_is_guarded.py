"""Whatever the application sends to an address that a user chose goes by the sender that checks it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.part import LOOPBACK
from shared.adapters.http import GuardedHttp
from shared.errors import DeadLetterError
from shared.notifications.channels.target_policy import TargetPolicy
from tests.conformance.adapters.bare_server import answers, bare_server
from tests.conformance.adapters.test_http_sender import Addresses
from tests.unit.identity import forge
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import Portal, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "hooks.example"
"""A name that leads to loopback, and that the operator did not list."""
NOT_PUBLIC = "the target's address is not a public one"


@pytest.fixture
async def portal() -> AsyncIterator[Portal]:
    """The application as it is composed; only the names are ours."""
    sender = GuardedHttp(TargetPolicy(), Addresses([LOOPBACK]))
    yield Portal(sender=sender)
    await sender.close()


async def subscribe(portal: Portal, channel: str, target: str) -> dict[str, Any]:
    wish = {"channel": channel, "target": target, "events": ["file.stored"]}
    answer = await portal.subscribe(json.dumps(wish).encode())
    assert answer.status_code == 201
    made: dict[str, Any] = body_of(answer)
    return made


async def act(portal: Portal, route: str, subscription: dict[str, Any]) -> dict[str, Any]:
    asked = request("POST", headers=bearer(), subscription_id=subscription["id"])
    told: dict[str, Any] = body_of(await portal.app.answer(route, asked))
    return told


async def test_a_challenge_goes_to_no_private_address(portal: Portal) -> None:
    async with bare_server(answers(200)) as receiver:
        made = await subscribe(portal, "webhook", receiver.url(NAME, "https"))
        again = await act(portal, "verify_subscription", made)
    for told in (made, again):
        assert (told["status"], told["status_reason"]) == ("pending", NOT_PUBLIC)
    assert receiver.connections == 0


async def test_a_chat_message_goes_to_no_private_address(portal: Portal) -> None:
    async with bare_server(answers(200)) as receiver:
        made = await subscribe(portal, "chat", receiver.url(NAME, "https"))
        tried = await act(portal, "test_subscription", made)
        await portal.upload(b"hello")
        (blob,) = portal.blobs.contents
        await portal.app.announce(blob)
        (message,) = portal.queue.messages
        with pytest.raises(DeadLetterError, match=NOT_PUBLIC):
            await portal.app.deliver(message.body, enqueued_at=forge.NOW)
    assert (tried["outcome"], tried["detail"]) == ("rejected", NOT_PUBLIC)
    assert receiver.connections == 0


@pytest.mark.parametrize("channel", ["webhook", "chat"])
@pytest.mark.parametrize(
    "target",
    [
        "http://hooks.example/",
        "https://169.254.169.254/metadata/identity",
        "https://[::ffff:10.0.0.1]/",
        "https://[2002:a00:1::]/",
        "https://[64:ff9b::a00:1]/",
        "https://127.1/",
        "https://localhost/",
    ],
)
async def test_a_target_that_can_be_seen_to_be_private_is_refused_when_it_is_named(
    portal: Portal, channel: str, target: str
) -> None:
    answer = await portal.subscribe(json.dumps({"channel": channel, "target": target}).encode())
    assert answer.status_code == 400
    assert body_of(answer)["type"] == "/api/problems/target-not-allowed"
