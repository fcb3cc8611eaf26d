"""Workers killed at random moments while deliveries are under way: none is lost, none is settled twice.

One run, since each attempt that a kill interrupts waits for its lease to end; several looks at what is left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables import TableClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from tests.end_to_end.running_stack import RunningStack, running_stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus import ServiceBusReceiver, ServiceBusSender

KILLS = 5
COPIES = 5
CHANCE = random.Random(30)
RECEIVERS: dict[str, dict[str, float]] = {
    "prompt": {},
    "slow": {"delay_seconds": 0.3},
    "slower": {"delay_seconds": 0.6},
    "moody": {"status": 503, "count": 3},  # a next attempt is scheduled
    "moody-and-slow": {"status": 503, "delay_seconds": 0.2, "count": 2},
}
COPIED = "copied"
"""The receiver of the delivery whose message comes again and again."""
SETTLED = {"delivered", "dead", "suppressed"}
QUEUE = "notifications"


@dataclass
class Ledger:
    """The rows of deliveries, looked at again and again while workers are killed."""

    table: TableClient
    first_settled: dict[str, str] = field(default_factory=dict)
    """By the delivery's id, the ETag of the row that was the first to be seen settled."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed_once_settled: set[str] = field(default_factory=set)

    def look(self) -> None:
        for row in self.table.query_entities("RowKey ge 'delivery|' and RowKey lt 'delivery}'"):
            id_, etag = str(row["id"]), str(row.metadata["etag"])
            self.rows[id_] = dict(row)
            if row["status"] in SETTLED and self.first_settled.setdefault(id_, etag) != etag:
                self.changed_once_settled.add(id_)

    def watch(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self.look()
            if (left := deadline - time.monotonic()) <= 0:
                return
            time.sleep(min(0.1, left))


@dataclass(frozen=True)
class Aftermath:
    """What is left when the kills are over, all is settled and the queue is empty."""

    expected: set[tuple[str, str]]
    """(file, subscription) of every delivery that was asked for."""
    ledger: Ledger
    received: dict[str, list[str]]
    """The ids of deliveries that each receiver got, as often as it got them."""
    copied_id: str
    dead_letters: int

    def attempts(self, delivery_id: str) -> list[str]:
        return [each["outcome"] for each in json.loads(self.ledger.rows[delivery_id]["attempts"])]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    with (
        running_stack(
            tmp_path_factory.mktemp("crashes"),
            DROPBELL_RETRY_SCHEDULE_SECONDS="0.2,0.3,0.4,0.5,0.6,0.7",
            DROPBELL_DELIVERY_TIMEOUT_SECONDS="3",
        ) as stack,
        TableClient.from_connection_string(stack.addresses["storage_connection_string"], "dropbell") as table,
        ServiceBusClient.from_connection_string(stack.addresses["service_bus_connection_string"]) as bus,
        # Links take a second to open; while a receiver holds a delivery up, there is no time for that.
        bus.get_queue_receiver(QUEUE) as peeker,
        bus.get_queue_sender(QUEUE) as sender,
    ):
        yield run(stack, Ledger(table), bus, peeker, sender)


def run(
    stack: RunningStack,
    ledger: Ledger,
    bus: ServiceBusClient,
    peeker: ServiceBusReceiver,
    sender: ServiceBusSender,
) -> Aftermath:
    hooks = {stack.subscribe(hook)["id"]: hook for hook in RECEIVERS}
    for hook, behaviour in RECEIVERS.items():
        if behaviour:
            stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", **behaviour})
    expected: set[tuple[str, str]] = set()
    for _ in range(KILLS):
        file_id = stack.upload(b"ring").json()["id"]
        expected |= {(file_id, each) for each in hooks}
        ledger.watch(CHANCE.uniform(0.05, 0.9))
        kill_workers(stack)
    copied = stack.subscribe(COPIED)
    hooks[copied["id"]] = COPIED
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{COPIED}", "delay_seconds": 2.8, "count": 1})
    file_id = stack.upload(b"ring").json()["id"]
    expected |= {(file_id, each) for each in hooks}
    (message,) = stack.messages(COPIED)
    copied_id = str(message["headers"]["webhook-id"])
    body = body_of_message(peeker, copied_id)
    send_copies(sender, body)
    ledger.watch(0.2)
    kill_workers(stack)  # the receiver has it, the ledger does not know
    finish(ledger, peeker, len(expected))
    send_copies(sender, body)  # now everybody knows
    finish(ledger, peeker, len(expected))
    received = {
        hook: [each["headers"]["webhook-id"] for each in stack.messages(hook)] for hook in hooks.values()
    }
    with bus.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead:
        dead_letters = len(dead.peek_messages(max_message_count=100))
    return Aftermath(expected, ledger, received, copied_id, dead_letters)


def kill_workers(stack: RunningStack) -> None:
    """Kill -9, and wait until others do their work."""
    killed = set(stack.addresses["worker_pids"])
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    def are_replaced() -> bool:
        pids = set(stack.addresses["worker_pids"])
        return bool(pids) and not pids & killed

    wait_until(are_replaced, timeout_seconds=20)


def body_of_message(peeker: ServiceBusReceiver, delivery_id: str) -> bytes:
    peeked = peeker.peek_messages(max_message_count=100, sequence_number=1)
    found = next(each for each in peeked if str(each.message_id).startswith(delivery_id))
    return b"".join(found.body)


def send_copies(sender: ServiceBusSender, body: bytes) -> None:
    """The same message with ids of its own, so that the queue's duplicate detection does not help."""
    sender.send_messages([ServiceBusMessage(body, message_id=uuid.uuid4().hex) for _ in range(COPIES)])


def finish(ledger: Ledger, peeker: ServiceBusReceiver, deliveries: int) -> None:
    """Wait until every delivery is settled and no message is left that could change one."""

    def is_over() -> bool:
        ledger.look()
        return len(ledger.first_settled) == deliveries and not peeker.peek_messages(sequence_number=1)

    wait_until(is_over, timeout_seconds=60)
    ledger.look()


def test_the_kills_met_deliveries_under_way(aftermath: Aftermath) -> None:
    interrupted = [id_ for id_ in aftermath.ledger.rows if "interrupted" in aftermath.attempts(id_)]
    assert len(interrupted) > 1


def test_none_is_lost(aftermath: Aftermath) -> None:
    rows = aftermath.ledger.rows.values()
    assert len(rows) == len(aftermath.expected) > 30
    assert {(row["file_id"], row["subscription_id"]) for row in rows} == aftermath.expected
    assert Counter(row["status"] for row in rows) == {"delivered": len(rows)}
    assert {id_ for ids in aftermath.received.values() for id_ in ids} == set(aftermath.ledger.rows)
    assert aftermath.dead_letters == 0


def test_none_is_settled_twice(aftermath: Aftermath) -> None:
    assert not aftermath.ledger.changed_once_settled
    for id_ in aftermath.ledger.rows:
        outcomes = aftermath.attempts(id_)
        assert outcomes.count("delivered") == 1
        assert outcomes[-1] == "delivered"


def test_a_receiver_is_told_again_only_after_a_crash_or_a_failure(aftermath: Aftermath) -> None:
    times = Counter(id_ for ids in aftermath.received.values() for id_ in ids)
    for id_ in aftermath.ledger.rows:
        assert times[id_] <= len(aftermath.attempts(id_))


def test_a_message_that_comes_five_times_more_is_sent_once_more(aftermath: Aftermath) -> None:
    assert aftermath.attempts(aftermath.copied_id) == ["interrupted", "delivered"]
    assert aftermath.received[COPIED] == [aftermath.copied_id] * 2
