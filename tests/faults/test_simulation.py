"""Whatever crashes, repeats or comes late: every file ends settled, and nothing is twice in the ledger."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from shared.files import file as files
from shared.files.file import FileStatus
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import AttemptOutcome, DeliveryStatus
from shared.notifications.subscription import SubscriptionStatus
from tests.faults.fragile import CRASH, WRITE, Fate
from tests.faults.world import OWNER, POLICY, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.notifications.delivery_record import Delivery

SEEDS = 1000
CROWDED_SEEDS = 20
FORGETFUL_SEEDS = 100
MAX_LOOKS = 8
"""More hops than this in a row would be spinning; every lease that ends by itself uses up an attempt."""


class Ears(logging.Handler):
    """Counts what the application says of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        told = json.loads(record.getMessage())
        self.heard[told["event"]] += 1
        self.heard[str(told.get("reason"))] += 1


@pytest.fixture
def ears() -> Iterator[Ears]:
    logger, handler = logging.getLogger("dropbell"), Ears()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def complaints(world: World) -> list[str]:
    """What is wrong with the world once it has come to rest."""
    found = ["it never came to rest"] if world.occurred["no rest"] else []
    for name in {*world.blobs.contents, *(files.blob_name(OWNER, file.id) for file in world.accepted)}:
        file_id = name.partition("/")[2]
        row = world.tables.rows.get((OWNER, files.row_key(file_id)))
        status = None if row is None else files.from_entity(row).status
        if status is not FileStatus.SETTLED:
            found.append(f"file {file_id} is {status}")
        found += _complaints_about_deliveries(world, file_id)
    if world.occurred["settled too early"]:
        found.append("a file was settled before its last delivery")
    if world.queue.most_looks > MAX_LOOKS:
        found.append(f"a message was put off {world.queue.most_looks} times")
    dead = {d.id for d in _deliveries(world) if d.status is DeliveryStatus.DEAD}
    if dead != set(world.dead_letters()):
        found.append(f"dead in the ledger: {dead}; in the dead-letter queue: {set(world.dead_letters())}")
    return found


def _complaints_about_deliveries(world: World, file_id: str) -> list[str]:
    present = [delivery for delivery in _deliveries(world) if delivery.file_id == file_id]
    told = Counter(delivery.subscription_id for delivery in present)
    found = [
        f"{told[id_]} deliveries of {file_id} to {id_}, which is {status}"
        for id_, status in _subscriptions(world).items()
        if told[id_] > 1 or (told[id_] == 0 and status is SubscriptionStatus.ACTIVE)
    ]
    for delivery in present:
        found += [f"{delivery.id}: {complaint}" for complaint in _complaints_about(world, delivery)]
    return found


def _complaints_about(world: World, delivery: Delivery) -> Iterator[str]:
    outcomes = [attempt.outcome for attempt in delivery.attempts]
    numbers = [attempt.number for attempt in delivery.attempts]
    succeeded = outcomes.count(AttemptOutcome.DELIVERED)
    match delivery.status:
        case DeliveryStatus.DELIVERED:
            if succeeded != 1 or outcomes[-1] is not AttemptOutcome.DELIVERED:
                yield f"delivered, with the attempts {outcomes}"
            if not world.receivers.accepted[delivery.id]:
                yield "delivered, but nobody accepted it"
        case DeliveryStatus.DEAD:
            if succeeded or delivery.reason is None:
                yield f"dead, with the attempts {outcomes} and the reason {delivery.reason}"
        case DeliveryStatus.SUPPRESSED:
            if _subscriptions(world)[delivery.subscription_id] is SubscriptionStatus.ACTIVE:
                yield "suppressed, though its subscription is active"
        case unsettled:
            yield f"left {unsettled}"
    if numbers != sorted(set(numbers)) or len(set(numbers)) > POLICY.schedule.max_attempts:
        yield f"attempts numbered {numbers}"
    if world.receivers.posts[delivery.id] > POLICY.schedule.max_attempts:
        yield f"posted {world.receivers.posts[delivery.id]} times"


def _deliveries(world: World) -> list[Delivery]:
    return [
        deliveries.from_entity(row)
        for (_, key), row in world.tables.rows.items()
        if key.startswith("delivery|")
    ]


def _subscriptions(world: World) -> dict[str, SubscriptionStatus]:
    found = (
        subscriptions.from_entity(row)
        for (_, key), row in world.tables.rows.items()
        if key.startswith("subscription|")
    )
    return {subscription.id: subscription.status for subscription in found}


def test_every_accepted_file_ends_settled_whatever_happens(ears: Ears) -> None:
    occurred: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for seed in range(SEEDS):
        world = World(seed, uploads=1 + seed % 3, subscribers=seed % 4)
        world.run()
        assert complaints(world) == [], f"seed {seed}"
        occurred += world.occurred
        statuses.update(delivery.status for delivery in _deliveries(world))
        statuses.update(a.outcome for delivery in _deliveries(world) for a in delivery.attempts)

    # The test proves something only as long as all of this goes wrong in it.
    fragile = {"tables.apply", "queue.send", "blobs.create"}
    assert {f"{fate.value}: {port}" for fate in WRITE for port in fragile} <= set(occurred)
    assert {f"{fate.value}: {port}" for fate in CRASH for port in ("sender.post", "queue.complete")} <= set(
        occurred
    )
    assert "sent again: queue.send" in occurred
    assert {"clock: back", "clock: past a lease", "clock: past a lock", "lock expired", "lock lost"} <= set(
        +occurred
    )
    assert {"event doubled", "message doubled", "duplicate dropped", "upload cut off"} <= set(+occurred)
    assert {"delivered", "dead", "suppressed", "failed", "rejected", "interrupted"} <= set(statuses)
    assert {
        "dropbell.delivery.overtaken",
        "another worker's lease still runs",
        "the next attempt is scheduled",
        "already delivered",
        "already suppressed",
    } <= set(ears.heard)


def test_a_crowd_that_needs_several_transactions_is_told_whole() -> None:
    occurred: Counter[str] = Counter()
    for seed in range(CROWDED_SEEDS):
        world = World(seed, uploads=1, subscribers=205, failing=0.02, bad_luck=5)
        world.run()
        assert complaints(world) == [], f"seed {seed}"
        occurred += world.occurred
    assert {"crash after: tables.apply", "crash before: tables.apply"} & set(occurred)


def test_a_queue_that_forgets_messages_leaves_no_delivery_under_way(ears: Ears) -> None:
    occurred: Counter[str] = Counter()
    for seed in range(FORGETFUL_SEEDS):
        world = World(seed, uploads=1 + seed % 3, subscribers=1 + seed % 3, losing=0.3, bad_luck=4)
        world.run()
        assert complaints(world) == [], f"seed {seed}"
        assert not [partition for partition, _ in world.tables.rows if partition.startswith("due|")]
        occurred += world.occurred
    assert occurred["message lost"] > FORGETFUL_SEEDS
    assert ears.heard["dropbell.message.lost"] > FORGETFUL_SEEDS
    assert {"another worker's lease still runs", "the next attempt is scheduled"} <= set(ears.heard)


def test_without_bad_luck_everything_is_delivered_at_the_first_attempt() -> None:
    world = World(1, uploads=3, subscribers=4, fates=frozenset({Fate.FINE}), bad_luck=0, failing=0)
    world.run()
    assert complaints(world) == []
    assert len(world.receivers.posts) == 3 * 4
    assert all(len(delivery.attempts) == 1 for delivery in _deliveries(world))


def test_one_seed_is_one_story() -> None:
    first, second = (World(7, uploads=2, subscribers=3) for _ in range(2))
    first.run()
    second.run()
    assert (first.steps, first.occurred, first.clock.now()) == (
        second.steps,
        second.occurred,
        second.clock.now(),
    )
