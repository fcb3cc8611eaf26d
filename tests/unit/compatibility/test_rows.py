"""Rows of the version before are read by this one, and rows of this one by the version before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.files import file as files
from shared.files import share_link
from shared.files import upload as uploads
from shared.files.file import FileStatus
from shared.files.quota import Quota, QuotaPolicy
from shared.files.upload import UploadKind, UploadStatus
from shared.ledger import due, idempotency
from shared.ledger.idempotency import RequestStatus
from shared.notifications import audit, target_health
from shared.notifications import delivery_record as deliveries
from shared.notifications import subscription as subscriptions
from shared.notifications.delivery_record import AttemptOutcome, DeliveryStatus
from shared.notifications.subscription import ChannelKind, EventType, SubscriptionStatus
from shared.notifications.target_health import Circuit
from shared.ports import Entity, HttpAnswer, Insert
from tests.unit.compatibility.golden_files import (
    ETAG,
    KINDS,
    document,
    faults,
    holds,
    kind_of,
    row,
    row_names,
)
from tests.unit.shared import sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.ports import Value

MODULES = {
    "audit": audit,
    "delivery": deliveries,
    "due": due,
    "file": files,
    "request": idempotency,
    "share": share_link,
    "subscription": subscriptions,
    "target": target_health,
    "upload": uploads,
}
WRITTEN_AGAIN = sorted(MODULES.keys() - {"audit", "due"})
"""Kinds whose rows are read and then replaced. An audit record is ended by the process that began it, and an
entry of the due book is only ever deleted."""
NEWER: dict[str, Value] = {
    "of_tomorrow": "kept",
    "count_of_tomorrow": 3,
    "time_of_tomorrow": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
}


def through(kind: str, entity: Entity) -> Entity:
    """The row after this version has read it and written it again."""
    module = MODULES[kind]
    read: Callable[[Entity], object] = module.from_entity
    write: Callable[[object], Entity] = module.to_entity
    return write(read(entity))


def test_there_are_two_rows_of_every_kind() -> None:
    assert set(KINDS) == {*MODULES, "quota"}
    assert row_names("least") == [f"{kind}.least" for kind in sorted(KINDS)]
    assert all(kind_of(row(name)) == name.partition(".")[0] for name in row_names())


@pytest.mark.parametrize(
    "name", [f"{kind}.{which}" for kind in sorted(MODULES) for which in ("full", "least")]
)
def test_a_row_is_read_and_written_again_without_loss(name: str) -> None:
    """Whoever drops, renames or retypes a property, or changes a key, sees it here."""
    before = row(name)
    after = through(kind_of(before), before)

    assert (after.partition_key, after.row_key, after.etag) == (before.partition_key, before.row_key, ETAG)
    assert not holds(dict(after.values), dict(before.values))
    assert not faults(after)


def test_a_subscription_of_the_first_version_is_read() -> None:
    read = subscriptions.from_entity(row("subscription.first"))

    (sealed,) = read.live_secrets(sample.NOW)
    assert sample.SECRET_BOX.open(sealed, subscription_id=read.id) == sample.SECRET
    assert "sealed_secret" not in subscriptions.to_entity(read).values


def test_secrets_that_were_sealed_before_are_opened() -> None:
    read = subscriptions.from_entity(row("subscription.full"))

    opened = [
        sample.SECRET_BOX.open(sealed, subscription_id=read.id) for sealed in read.live_secrets(sample.NOW)
    ]
    assert len(opened) == 2
    assert opened[0] == sample.SECRET


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_what_a_newer_version_adds_is_no_hindrance(kind: str) -> None:
    known = row(f"{kind}.least")
    added = replace(known, values={**known.values, **NEWER})

    assert not faults(added)
    assert not holds(dict(through(kind, added).values), dict(known.values))


@pytest.mark.parametrize("kind", WRITTEN_AGAIN)
@pytest.mark.parametrize("which", ["full", "least"])
def test_what_a_newer_version_added_is_there_after_an_older_one_has_written(kind: str, which: str) -> None:
    known = row(f"{kind}.{which}")
    after = through(kind, replace(known, values={**known.values, **NEWER}))

    assert {name: after.values[name] for name in NEWER} == NEWER


async def test_the_quota_is_counted_on_from_a_row_of_the_version_before() -> None:
    for which in ("full", "least"):
        world = sample.World()
        before = row(f"quota.{which}")
        await world.memory.apply([Insert(replace(before, values={**before.values, **NEWER}, etag=""))])

        await Quota(world.tables, QuotaPolicy(max_bytes=100)).apply(
            sample.OWNER, [Insert(files.to_entity(sample.file()))], bytes_delta=5, files_delta=1
        )

        after = world.memory.rows[before.partition_key, before.row_key]
        assert after.values == {**before.values, **NEWER, "bytes": 10, "files": 2}


async def test_a_whole_delivery_by_an_older_version_takes_nothing_away() -> None:
    """Claim, attempt, settle, and the file's mark: four writes to two rows of a newer version."""
    world = sample.World(HttpAnswer(200))
    announced = sample.file(status=FileStatus.ANNOUNCED, announced_at=sample.NOW)
    for entity in (
        files.to_entity(announced),
        deliveries.to_entity(sample.delivery()),
        subscriptions.to_entity(sample.subscription()),
    ):
        await world.memory.apply([Insert(replace(entity, values={**entity.values, **NEWER}))])

    await world.deliverer().handle(sample.message().to_queue().body)

    assert (await world.delivery()).status is DeliveryStatus.DELIVERED
    assert all(entity.values.items() >= NEWER.items() for entity in world.memory.rows.values())


async def test_the_sweep_of_an_older_version_leaves_what_it_does_not_know() -> None:
    """Entries of a kind that it has no work for."""
    world = sample.World()
    book = due.DueBook(world.tables, world.clock)
    await book.put("of-tomorrow", sample.OWNER, sample.FILE_ID, sample.NOW)
    world.clock.advance(60)

    assert await book.work_off({}) == {}
    assert len(world.memory.rows) == 1


@pytest.mark.parametrize(
    "values",
    [
        FileStatus,
        UploadKind,
        UploadStatus,
        DeliveryStatus,
        AttemptOutcome,
        ChannelKind,
        SubscriptionStatus,
        EventType,
        Circuit,
        RequestStatus,
    ],
    ids=lambda each: each.__name__,
)
def test_the_values_that_rows_hold_are_those_that_the_version_before_reads(values: type) -> None:
    """A new one is read by one release and written by the next; then it is noted in golden/values.json."""
    assert [each.value for each in values] == document("values.json")[values.__name__]  # type: ignore[attr-defined]  # an Enum


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"size_bytes": None}, "size_bytes is missing"),
        ({"size_bytes": "5"}, "size_bytes is a str"),
        ({"revision": "2"}, "revision is a str"),
        ({"stored_at": "2026-03-01T12:00:00Z"}, "stored_at is a str"),
    ],
)
def test_the_check_of_rows_sees_what_it_is_for(change: dict[str, str | None], fault: str) -> None:
    good = row("file.full")
    values = {name: value for name, value in {**good.values, **change}.items() if value is not None}

    assert faults(replace(good, values=values)) == [fault]
    assert holds(values, dict(good.values))


def test_the_check_of_rows_sees_inside_json() -> None:
    old = {"attempts": json.dumps([{"number": 1, "detail": "x"}])}

    assert not holds({"attempts": '[{"number": 1, "detail": "x", "via": "y"}]'}, old)
    assert holds({"attempts": '[{"number": 1}]'}, old) == ["/attempts/0/detail is gone"]
    assert holds({"attempts": "[]"}, old)
    assert faults(Entity("p", "news|1", {}))
