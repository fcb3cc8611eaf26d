"""The unchanged synchronous SDK against the broker: what differs from the asynchronous one is its own I/O."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import AutoLockRenewer, ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusAuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.service_bus import Broker

WAIT_SECONDS = 5


@pytest.fixture
def client(broker: Broker) -> Iterator[ServiceBusClient]:
    with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        yield client


def test_a_day_in_the_life_of_a_queue(client: ServiceBusClient) -> None:
    with client.get_queue_sender("sync") as sender, client.get_queue_receiver("sync") as receiver:
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
    with client.get_queue_receiver("sync", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (letter,) = receiver.receive_messages(1, WAIT_SECONDS)
        assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("why", "because")
        receiver.complete_message(letter)


def test_the_renewer_thread_keeps_a_lock(client: ServiceBusClient) -> None:
    with (
        client.get_queue_sender("sync-renewed") as sender,
        AutoLockRenewer() as renewer,
        client.get_queue_receiver("sync-renewed", auto_lock_renewer=renewer) as receiver,
    ):
        vars(renewer)["_sleep_time"] = 0.2  # its second is as long as the lock
        sender.send_messages(ServiceBusMessage("x"))
        (message,) = receiver.receive_messages(1, WAIT_SECONDS)
        time.sleep(1.5)
        receiver.complete_message(message)


def test_a_session(client: ServiceBusClient) -> None:
    with client.get_queue_sender("sync-sessions") as sender:
        sender.send_messages(ServiceBusMessage("x", session_id="s"))
    with client.get_queue_receiver("sync-sessions", session_id="s") as receiver:
        receiver.session.set_state(b"state")
        assert receiver.session.get_state() == b"state"
        (message,) = receiver.receive_messages(1, WAIT_SECONDS)
        receiver.complete_message(message)


def test_a_wrong_key_is_refused(broker: Broker) -> None:
    wrong = broker.connection_string.replace("SAS_KEY_VALUE", "wrong")
    with (
        ServiceBusClient.from_connection_string(wrong, retry_total=0) as client,
        pytest.raises(ServiceBusAuthenticationError),
        client.get_queue_sender("sync"),
    ):
        pass
