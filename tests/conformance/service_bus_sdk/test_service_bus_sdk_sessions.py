"""Message sessions with the unchanged asynchronous SDK."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import AutoLockRenewer, ServiceBusSender
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

if TYPE_CHECKING:
    from tests.conformance.service_bus_sdk.conftest import Links

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 5
DEAD_LETTERS = ()
PAIRS = {"sessions": {"session_id": "a"}, "sessions-state": {"session_id": "a"}}


def batch(*session_ids: str) -> list[ServiceBusMessage]:
    return [ServiceBusMessage(f"for {name}", session_id=name) for name in session_ids]


async def test_a_named_session_gives_its_own_messages_to_one_receiver(links: Links) -> None:
    sender, receiver = links.pair("sessions")
    await sender.send_messages(batch("a", "b", "a"))
    with pytest.raises(SessionCannotBeLockedError):
        await links.receiver("sessions", session_id="a")
    messages = await receiver.receive_messages(5, WAIT_SECONDS)
    assert [(message.session_id, str(message)) for message in messages] == [("a", "for a")] * 2
    await receiver.complete_message(messages[0])
    await receiver.abandon_message(messages[1])
    (again,) = await receiver.receive_messages(1, WAIT_SECONDS)
    assert again.delivery_count == 1
    await receiver.defer_message(again)
    (deferred,) = await receiver.receive_deferred_messages(again.sequence_number or 0)
    assert [message.session_id for message in await receiver.peek_messages(5, sequence_number=1)] == ["a"]
    await receiver.dead_letter_message(deferred, "why")
    await receiver.close()
    await links.receiver("sessions", session_id="a")  # free again at once


async def test_a_message_without_session_is_refused(links: Links) -> None:
    sender, _ = links.pair("sessions")
    with pytest.raises(ServiceBusError, match="no session id"):
        await sender.send_messages(ServiceBusMessage("x"))


async def test_the_next_available_session_is_waited_for(links: Links) -> None:
    timed_out, sender = await asyncio.gather(
        links.receiver("sessions-next", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.5),
        links.sender("sessions-next"),
        return_exceptions=True,
    )
    assert isinstance(timed_out, OperationTimeoutError)
    assert isinstance(sender, ServiceBusSender)
    waiting = asyncio.ensure_future(
        links.receiver("sessions-next", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT_SECONDS)
    )
    await asyncio.sleep(0.6)
    assert not waiting.done()
    await sender.send_messages(batch("late"))
    receiver = await waiting
    assert receiver.session.session_id == "late"
    (message,) = await receiver.receive_messages(1, WAIT_SECONDS)
    await receiver.complete_message(message)


async def test_session_state_is_kept_and_sessions_are_listed(links: Links) -> None:
    sender, receiver = links.pair("sessions-state")
    await sender.send_messages(batch("b", "c"))
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    assert await receiver.session.get_state() is None
    await receiver.session.set_state("half way")
    assert await receiver.session.get_state() == b"half way"

    async def listed(**options: Any) -> list[str]:
        return [name async for name in links.client.list_queue_sessions("sessions-state", **options)]

    everything, updated = await asyncio.gather(listed(), listed(state_updated_after=before))
    assert (everything, updated) == (["a", "b", "c"], ["a"])


async def test_a_session_lock_expires_and_its_messages_come_again(links: Links) -> None:
    sender, receiver = await asyncio.gather(
        links.sender("sessions-lost"), links.receiver("sessions-lost", session_id="a")
    )
    await sender.send_messages(batch("a"))
    (lost,) = await receiver.receive_messages(1, WAIT_SECONDS)
    await asyncio.sleep(0.9)
    with pytest.raises(SessionLockLostError):
        await receiver.complete_message(lost)
    other = await links.receiver("sessions-lost", session_id="a")
    (again,) = await other.receive_messages(1, WAIT_SECONDS)
    assert again.delivery_count == 1
    await other.complete_message(again)


async def test_a_renewed_session_lock_lasts_longer(links: Links) -> None:
    sender, receiver = await asyncio.gather(
        links.sender("sessions-renewed"), links.receiver("sessions-renewed", session_id="a")
    )
    await sender.send_messages(batch("a"))
    (message,) = await receiver.receive_messages(1, WAIT_SECONDS)
    until = await receiver.session.renew_lock()
    assert until > dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
    async with AutoLockRenewer() as renewer:
        vars(renewer)["_sleep_time"] = 0.2  # its second is longer than the lock
        renewer.register(receiver, receiver.session, max_lock_renewal_duration=10)
        await asyncio.sleep(1)
        await receiver.complete_message(message)
