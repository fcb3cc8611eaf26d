"""Service Bus functions against the broker of the local stack."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)

from tests.conformance.functions_host.running_host import APPS, MASTER_KEY, REPOSITORY, RunningHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.functions_host.conftest import StartHost

QUEUES: dict[str, dict[str, Any]] = {
    "orders": {"MaxDeliveryCount": 3},
    "private": {"MaxDeliveryCount": 3},
    "batches": {},
    "sessions": {"RequiresSession": True},
}
TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Broker:
    """The broker's process."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self._config = directory / "broker.json"
        queues = [
            {"Name": name, "Properties": {"LockDuration": "PT30S", **properties}}
            for name, properties in QUEUES.items()
        ]
        self._config.write_text(
            json.dumps({"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": queues}]}})
        )
        command = [
            sys.executable,
            "-m",
            "local.service_bus",
            "--config",
            str(self._config),
            "--port",
            str(port),
        ]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)  # noqa: S603 - a command of our own
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        match = re.search(r"listening on 127\.0\.0\.1:(\d+)\D.*?(Endpoint=\S+)", first)
        assert match is not None, first
        self.port, self.connection_string = int(match[1]), match[2]

        # Opening and closing a link takes the SDK a second, so they stay open.
        self._client = ServiceBusClient.from_connection_string(self.connection_string)
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[str, ServiceBusReceiver] = {}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def send(self, queue: str, *bodies: str, **settings: Any) -> None:
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        self._senders[queue].send_messages([ServiceBusMessage(body, **settings) for body in bodies])

    def peek(self, queue: str) -> list[ServiceBusReceivedMessage]:
        if queue not in self._receivers:
            self._receivers[queue] = self._client.get_queue_receiver(queue)
        return self._receivers[queue].peek_messages(10, sequence_number=1)

    def dead_letters(self, queue: str) -> list[tuple[str, str | None]]:
        return [(str(each), each.dead_letter_reason) for each in self.peek(f"{queue}/$DeadLetterQueue")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[RunningHost]:
    environment = {"SERVICE_BUS": broker.connection_string, "ORDERS_QUEUE": "orders"}
    with RunningHost(APPS / "messages", tmp_path_factory.mktemp("messages"), environment) as host:
        yield host


def orders(host: RunningHost, body: str) -> list[dict[str, Any]]:
    records = [json.loads(line.removeprefix("order ")) for line in host.lines if line.startswith("order ")]
    return [record for record in records if record["body"] == body]


def test_message_arrives_with_what_the_host_sends_and_no_more(messages: RunningHost, broker: Broker) -> None:
    properties: Any = {"number": 7, "traceparent": TRACE_PARENT}
    broker.send("orders", "hello", message_id="m-1", application_properties=properties, subject="greeting")
    messages.wait(lambda: orders(messages, "hello"), "the message arrives")
    (order,) = orders(messages, "hello")
    assert order["message_id"] == "m-1"
    assert order["delivery_count"] == 1
    assert order["properties"] == properties
    assert order["trace_parent"] == TRACE_PARENT
    assert order["time_to_live"] == "None"
    assert {"Subject", "Label", "LockToken", "SequenceNumber", "EnqueuedTimeUtc"} <= set(order["keys"])
    assert not {"TimeToLive", "LockedUntil", "DeadLetterReason", "State"} & set(order["keys"])


def test_poison_message_is_dead_lettered_after_its_deliveries(messages: RunningHost, broker: Broker) -> None:
    broker.send("orders", "poison")
    messages.wait(lambda: broker.dead_letters("orders"), "the message is dead-lettered")
    assert [order["delivery_count"] for order in orders(messages, "poison")] == [1, 2, 3]
    assert broker.dead_letters("orders") == [("poison", "MaxDeliveryCountExceeded")]


def test_burst_is_worked_off(messages: RunningHost, broker: Broker) -> None:
    broker.send("orders", *(f"burst {number}" for number in range(60)))
    messages.wait(lambda: messages.output.count('"body": "burst ') >= 60, "all have arrived")
    assert messages.output.count('"body": "burst ') == 60


def test_batch_arrives_together(messages: RunningHost, broker: Broker) -> None:
    broker.send("batches", "one", "two", "three")
    for body in ("one", "two", "three"):
        messages.wait_for_line(f"in batch {body} 1")
    # One run, or two when a receive call ended between the arrivals; never one for each message.
    assert messages.output.count("Executing 'Functions.on_batch'") <= 2


def test_session_keeps_its_order(messages: RunningHost, broker: Broker) -> None:
    broker.send("sessions", "1", "2", "3", session_id="s-1")
    messages.wait_for_line("in session s-1 3")
    assert [line for line in messages.lines if line.startswith("in session")] == [
        f"in session s-1 {number}" for number in (1, 2, 3)
    ]


def test_function_runs_by_hand(messages: RunningHost) -> None:
    headers = {"x-functions-key": MASTER_KEY}
    answer = messages.request(
        "POST", "/admin/functions/on_order", headers=headers, body=b'{"input": "by hand"}'
    )
    assert answer.status == 202
    messages.wait(lambda: orders(messages, "by hand"), "the function runs")


def test_message_of_a_killed_worker_is_delivered_again(start_host: StartHost, broker: Broker) -> None:
    host = start_host("messages", SERVICE_BUS=broker.connection_string, ORDERS_QUEUE="private")
    broker.send("private", "slow")
    host.wait(lambda: orders(host, "slow"), "the function runs")
    (pid,) = host.status["worker_pids"]
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    host.wait(lambda: len(orders(host, "slow")) == 2, "the message comes again")
    assert time.monotonic() - killed < 10  # the lock of 30 s was not waited for
    assert [order["delivery_count"] for order in orders(host, "slow")] == [1, 2]
    assert broker.dead_letters("private") == []


def test_stop_lets_the_function_finish_and_settles_its_message(start_host: StartHost, broker: Broker) -> None:
    environment = {"SERVICE_BUS": broker.connection_string, "ORDERS_QUEUE": "private"}
    host = start_host("messages", **environment)
    broker.send("private", "half a second")
    host.wait(lambda: orders(host, "half a second"), "the function runs")
    assert host.stop() == 0
    assert "finished after all" in host.lines
    assert broker.peek("private") == []


def test_broker_that_is_away_is_waited_for_and_told_of_once(start_host: StartHost, tmp_path: Path) -> None:
    first = Broker(tmp_path)
    host = start_host("messages", SERVICE_BUS=first.connection_string, ORDERS_QUEUE="orders")
    first.send("orders", "before")
    host.wait(lambda: orders(host, "before"), "the message arrives")
    first.stop()
    host.wait_for_line("Service Bus 'orders' cannot be reached")
    time.sleep(1.5)
    second = Broker(tmp_path, first.port)
    second.send("orders", "after")
    host.wait(lambda: orders(host, "after"), "the message arrives")
    assert host.output.count("Service Bus 'orders' cannot be reached") == 1
    second.stop()
