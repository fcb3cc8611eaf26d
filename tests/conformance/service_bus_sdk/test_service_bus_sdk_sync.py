"""The unchanged synchronous SDK against the broker: what differs from the asynchronous one is its own I/O."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import AutoLockRenewer, ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageSizeExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.service_bus import Broker

WAIT_SECONDS = 5


class Opened:
    """Links of the synchronous SDK, opened and closed all at the same time."""

    def __init__(self, client: ServiceBusClient, renewer: AutoLockRenewer) -> None:
        self.sender = client.get_queue_sender("sync")
        self.receiver = client.get_queue_receiver("sync")
        self.dead_letters = client.get_queue_receiver("sync", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        self.renewed_sender = client.get_queue_sender("sync-renewed")
        self.renewed_receiver = client.get_queue_receiver("sync-renewed", auto_lock_renewer=renewer)
        self.session_sender = client.get_queue_sender("sync-sessions")
        self.session_receiver = client.get_queue_receiver("sync-sessions", session_id="s")


@pytest.fixture(scope="module")
def opened(broker: Broker) -> Iterator[Opened]:
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        AutoLockRenewer() as renewer,
        ThreadPoolExecutor() as threads,
    ):
        vars(renewer)["_sleep_time"] = 0.2  # its second is longer than the lock
        opened = Opened(client, renewer)
        links = list(vars(opened).values())
        list(threads.map(lambda link: link.__enter__(), links))
        yield opened
        list(threads.map(lambda link: link.close(), links))


def test_a_day_in_the_life_of_a_queue(opened: Opened) -> None:
    sender, receiver = opened.sender, opened.receiver
    sender.send_messages(ServiceBusMessage("a", application_properties={"n": 1}))
    sender.send_messages([ServiceBusMessage("b"), ServiceBusMessage("c"), ServiceBusMessage("d")])
    with pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage(b"x" * 300_000))
    assert [str(message) for message in receiver.peek_messages(9)] == ["a", "b", "c", "d"]
    first, second, third, fourth = receiver.receive_messages(4, WAIT_SECONDS)
    receiver.abandon_message(first)
    receiver.complete_message(second)
    receiver.dead_letter_message(third, "why", "because")
    receiver.defer_message(fourth)
    (again,) = receiver.receive_messages(1, WAIT_SECONDS)
    assert (str(again), again.delivery_count) == ("a", 1)
    receiver.complete_message(again)
    (deferred,) = receiver.receive_deferred_messages(fourth.sequence_number or 0)
    receiver.complete_message(deferred)
    due = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    sender.cancel_scheduled_messages(sender.schedule_messages(ServiceBusMessage("later"), due))
    assert receiver.peek_messages(9, sequence_number=1) == []
    (letter,) = opened.dead_letters.receive_messages(1, WAIT_SECONDS)
    assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("why", "because")
    opened.dead_letters.complete_message(letter)


def test_the_renewer_thread_keeps_a_lock(opened: Opened) -> None:
    opened.renewed_sender.send_messages(ServiceBusMessage("x"))
    (message,) = opened.renewed_receiver.receive_messages(1, WAIT_SECONDS)
    time.sleep(1)
    opened.renewed_receiver.complete_message(message)


def test_a_session(opened: Opened) -> None:
    opened.session_sender.send_messages(ServiceBusMessage("x", session_id="s"))
    session = opened.session_receiver.session
    session.set_state(b"state")
    assert session.get_state() == b"state"
    (message,) = opened.session_receiver.receive_messages(1, WAIT_SECONDS)
    opened.session_receiver.complete_message(message)
