"""The gate for malware: what each verdict does, whoever looks, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from shared.adapters.scan_tags import SCAN_RESULT, verdict_of
from shared.errors import ConflictError, UnavailableError
from shared.files import file as files
from shared.files import scanning
from shared.files.events import EventType
from shared.files.file import FileStatus
from shared.files.quota import Quota, QuotaPolicy
from shared.files.scanning import LONGEST_PAUSE, NO_VERDICT, ScanGate, Wait, check_passed, wait
from shared.ledger.due import DueBook, from_entity
from shared.ports import Entity, Replace, Verdict
from tests.unit.shared import sample
from tests.unit.shared.sample import FILE_ID, NOW, OWNER, World
from tests.unit.shared.test_fan_out import BLOB, Interleaved, check_announced, stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.files.file import File
    from shared.notifications.fan_out import FanOut, Gate
    from shared.ports import Change, Scanner

PATIENCE = timedelta(hours=1)
CLEAN, MALICIOUS = "No threats found", "Malicious"
UNPROVEN = {"Not scanned": "not-scanned", "Error": "scan-failed", "SAM259201: Scan failed": "scan-failed"}
STORED_AT = sample.file().stored_at


class Noted:
    """``EventWriter`` that keeps what it is told."""

    def __init__(self) -> None:
        self.announced: list[tuple[EventType, int]] = []
        self.told: list[tuple[EventType, File]] = []

    async def will(self, owner: str, file_id: str, event: EventType, revision: int) -> None:
        self.announced.append((event, revision))

    async def happened(self, file: File, event: EventType) -> None:
        assert (event, file.revision) in self.announced
        self.told.append((event, file))


class GatedWorld(World):
    """The fan-out behind the gate."""

    def __init__(self, tables: type[Interleaved] | None = None) -> None:
        super().__init__(tables=tables)
        self.events = Noted()
        self.due = DueBook(self.tables, self.clock)
        self.quota = Quota(self.tables, QuotaPolicy(max_bytes=1000))

    def gate(self, scanner: Scanner | None = None) -> ScanGate:
        return ScanGate(
            scanner or self.blobs,
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            due=self.due,
            events=self.events,
            patience_seconds=PATIENCE.total_seconds(),
        )

    def fan_out(self, gate: Gate | None = None) -> FanOut:
        return super().fan_out(gate or self.gate())

    def scanned(self, result: str) -> None:
        """Defender has come to a result."""
        self.blobs.tags[BLOB] = {
            SCAN_RESULT: result,
            "Malware Scanning scan time UTC": "2026-03-01 12:00:05Z",
        }

    def noted(self) -> list[tuple[str, datetime]]:
        """What the due book holds."""
        rows = [row for (shard, _), row in self.memory.rows.items() if shard.startswith("due|")]
        return sorted((due.kind, due.at) for due in map(from_entity, rows))

    async def usage(self) -> tuple[object, object]:
        row = await self.memory.get(OWNER, "quota|")
        assert row is not None
        return row.values["bytes"], row.values["files"]

    async def sweep(self) -> None:
        fan_out = self.fan_out()
        await self.due.work_off({scanning.DUE_KIND: fan_out.look_again, files.ANNOUNCE: fan_out.look})


async def gated(subscribers: int = 1, tables: type[Interleaved] | None = None) -> GatedWorld:
    world = GatedWorld(tables)
    await stored(world, subscribers)
    return world


async def check_waits(world: GatedWorld) -> None:
    """Nobody has been told of anything."""
    file = await world.file()
    assert file is not None
    assert (file.status, file.announced_at) == (FileStatus.STORED, None)
    assert (await world.deliveries(), world.sent.messages, world.events.told) == ([], [], [])
    assert BLOB in world.blobs.contents


async def check_rejected(world: GatedWorld, revision: int = 0) -> None:
    """Told once, counted out, and without its bytes."""
    file = await world.file()
    assert file is not None
    assert (file.status, file.announced_at, file.revision) == (FileStatus.REJECTED, None, revision)
    assert (file.reason or "").startswith("malware: ")
    assert [event for event, _ in world.events.told] == [EventType.FILE_REJECTED]
    assert (await world.deliveries(), world.sent.messages) == ([], [])
    assert world.blobs.contents == {}


# -- what is decided ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ({}, None),
        ({"project": "roof"}, None),
        ({SCAN_RESULT: "No threats found"}, Verdict.CLEAN),
        ({"Malware scanning scan result": "no threats found "}, Verdict.CLEAN),
        ({SCAN_RESULT: "Malicious"}, Verdict.MALICIOUS),
        ({SCAN_RESULT: "Not scanned"}, Verdict.NOT_SCANNED),
        ({SCAN_RESULT: "Error"}, Verdict.FAILED),
        ({SCAN_RESULT: ""}, Verdict.FAILED),
        ({SCAN_RESULT: "No threats found yet"}, Verdict.FAILED),
        ({"scan result": "No threats found"}, None),
        ({SCAN_RESULT: CLEAN, SCAN_RESULT.lower(): MALICIOUS}, Verdict.MALICIOUS),
        ({SCAN_RESULT: CLEAN, SCAN_RESULT.lower(): "Error"}, Verdict.FAILED),
    ],
)
def test_nothing_but_the_words_for_clean_is_clean(tags: dict[str, str], verdict: Verdict | None) -> None:
    assert verdict_of(tags) is verdict


def test_pauses_grow_to_an_hour_and_operators_are_told_when_patience_ends() -> None:
    at, waits = STORED_AT, []
    for _ in range(14):
        waits.append(following := wait(None, STORED_AT, at, patience=PATIENCE))
        at = following.look_at
    seconds = [(each.look_at - STORED_AT).total_seconds() for each in waits]
    assert seconds[:10] == [5, 15, 35, 75, 155, 315, 635, 1275, 2555, 5115]
    assert [after - before for before, after in pairwise(seconds[9:])] == [3600] * 4
    assert [each.held for each in waits] == [None] * 10 + [NO_VERDICT] * 4


@pytest.mark.parametrize("verdict", [None, Verdict.FAILED, Verdict.NOT_SCANNED])
@pytest.mark.parametrize("seconds", [-3, 0, 1, 4.9, 5, 61, 3599, 3600, 86_400, 10**7])
def test_the_next_look_is_later_and_the_same_for_all_who_look_in_between(
    verdict: Verdict | None, seconds: float
) -> None:
    now = STORED_AT + timedelta(seconds=seconds)
    following = wait(verdict, STORED_AT, now, patience=PATIENCE)
    assert now < following.look_at <= now + LONGEST_PAUSE + timedelta(seconds=3)
    just_before = following.look_at - timedelta(microseconds=1)
    assert wait(verdict, STORED_AT, just_before, patience=PATIENCE).look_at == following.look_at


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.NOT_SCANNED])
def test_a_verdict_that_proves_nothing_is_told_at_once_and_looked_at_hourly(verdict: Verdict) -> None:
    assert wait(verdict, NOW, NOW, patience=PATIENCE) == Wait(NOW + LONGEST_PAUSE, verdict)


@pytest.mark.parametrize(("waited", "retry"), [(-1, "5"), (0, "5"), (20.5, "21"), (10**6, "600")])
def test_the_content_of_a_file_at_the_gate_is_refused_for_now(waited: float, retry: str) -> None:
    with pytest.raises(ConflictError) as refused:
        check_passed(sample.file(), STORED_AT + timedelta(seconds=waited))
    assert (refused.value.code, refused.value.headers) == ("being-scanned", {"retry-after": retry})


@pytest.mark.parametrize("status", [FileStatus.ANNOUNCED, FileStatus.SETTLED])
def test_the_content_of_a_file_that_has_passed_is_not(status: FileStatus) -> None:
    check_passed(sample.file(status=status), NOW)


# -- what is done ------------------------------------------------------------------------------------------


async def test_a_file_is_announced_once_it_is_proven_clean() -> None:
    world = await gated()
    await world.fan_out().announce(BLOB)
    await check_waits(world)
    assert world.noted() == [("scan", STORED_AT + timedelta(seconds=5))]

    world.clock.advance(5)
    await world.sweep()
    await check_waits(world)
    assert world.noted() == [("scan", STORED_AT + timedelta(seconds=15))]

    world.scanned(CLEAN)
    world.clock.advance(10)
    await world.sweep()
    await check_announced(world, 1)
    assert world.noted() == []


async def test_a_file_whose_verdict_is_there_is_announced_at_once() -> None:
    world = await gated()
    world.scanned(CLEAN)
    await world.fan_out().announce(BLOB)
    await check_announced(world, 1)
    assert world.noted() == []


async def test_malware_is_rejected_and_nobody_hears_that_it_was_stored() -> None:
    world = await gated()
    await world.quota.apply(OWNER, [Replace(await row(world))], bytes_delta=1, files_delta=0)
    assert await world.usage() == (6, 1)
    world.scanned(MALICIOUS)
    await world.fan_out().announce(BLOB)
    await check_rejected(world)
    assert await world.usage() == (1, 0)
    await world.fan_out().announce(BLOB)
    await check_rejected(world)


async def row(world: World) -> Entity:
    entity = await world.memory.get(OWNER, files.row_key(FILE_ID))
    assert entity is not None
    return entity


@pytest.mark.parametrize(("result", "reason"), UNPROVEN.items())
async def test_what_cannot_be_scanned_waits_and_operators_are_told(
    result: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = await gated()
    world.scanned(result)
    await world.fan_out().announce(BLOB)
    for day in range(1, 3):
        await check_waits(world)
        assert caplog.text.count(f'"reason":"{reason}"') == day
        assert caplog.text.count("dropbell.file.held") == day
        world.clock.advance(3601)
        await world.sweep()


async def test_a_scan_that_never_ends_is_told_of_once_patience_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await gated()
    await world.fan_out().announce(BLOB)
    looks = 0
    while not caplog.text:
        world.clock.advance(60)
        await world.sweep()
        looks += 1
    assert PATIENCE <= timedelta(minutes=looks) <= 2 * PATIENCE
    assert '"event":"dropbell.file.held"' in caplog.text
    assert '"reason":"no-verdict"' in caplog.text
    await check_waits(world)


async def test_an_operator_lets_a_held_file_go_by_the_tag() -> None:
    world = await gated()
    world.scanned("Error")
    await world.fan_out().announce(BLOB)
    world.scanned(CLEAN)
    world.clock.advance(3601)
    await world.sweep()
    await check_announced(world, 1)


async def test_a_scanner_that_does_not_answer_keeps_the_gate_shut() -> None:
    class Silent:
        async def verdict(self, name: str) -> Verdict | None:
            raise UnavailableError("no answer", reason=name)

    world = await gated()
    with pytest.raises(UnavailableError):
        await world.fan_out(world.gate(Silent())).announce(BLOB)
    await check_waits(world)


# -- what happens meanwhile --------------------------------------------------------------------------------


async def test_many_who_look_at_once_announce_once() -> None:
    world = await gated(3, Interleaved)
    world.scanned(CLEAN)
    await asyncio.gather(*(world.fan_out().announce(BLOB) for _ in range(3)))
    await check_announced(world, 3)


async def test_many_who_look_at_once_reject_once() -> None:
    world = await gated(3, Interleaved)
    world.scanned(MALICIOUS)
    await asyncio.gather(*(world.fan_out().announce(BLOB) for _ in range(3)))
    await check_rejected(world)


async def test_many_who_look_in_vain_leave_one_note() -> None:
    world = await gated(1, Interleaved)
    await asyncio.gather(*(world.fan_out().announce(BLOB) for _ in range(3)))
    assert world.noted() == [("scan", STORED_AT + timedelta(seconds=5))]


async def test_a_verdict_that_comes_between_two_who_look_counts() -> None:
    world = await gated(1, Interleaved)

    class ComesBetween:
        """The first who asks is a moment too early."""

        async def verdict(self, name: str) -> Verdict | None:
            told = await world.blobs.verdict(name)
            world.scanned(CLEAN)
            return told

    gate = world.gate(ComesBetween())
    await asyncio.gather(*(world.fan_out(gate).announce(BLOB) for _ in range(2)))
    await check_announced(world, 1)
    assert [kind for kind, _ in world.noted()] == ["scan"]
    world.clock.advance(5)
    await world.sweep()
    await check_announced(world, 1)
    assert world.noted() == []


class ChangedMeanwhile(Interleaved):
    """Its owner changes the file while it is rejected."""

    meanwhile: File | None = None

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        changed, is_of_file = self.meanwhile, any(c.entity.row_key.startswith("file|") for c in changes)
        if changed is not None and is_of_file:
            self.meanwhile = None
            present = await self.get(OWNER, files.row_key(FILE_ID))
            assert present is not None
            await super().apply([Replace(files.to_entity(replace(changed, etag=present.etag)))])
        return await super().apply(changes)


@pytest.mark.parametrize("status", [FileStatus.STORED, FileStatus.DELETED])
async def test_malware_that_its_owner_changes_or_deletes_meanwhile(status: FileStatus) -> None:
    world = await gated(tables=ChangedMeanwhile)
    assert isinstance(world.tables, ChangedMeanwhile)
    world.tables.meanwhile = sample.file(status=status, name="other.pdf", revision=1)
    world.scanned(MALICIOUS)
    await world.fan_out().announce(BLOB)
    if status is FileStatus.STORED:
        await check_rejected(world, revision=1)
    else:
        assert world.events.told == []  # it has been told of as deleted, or nobody knows of it


@pytest.mark.parametrize("event", [EventType.FILE_UPDATED, EventType.FILE_DELETED])
async def test_nobody_is_told_of_changes_of_a_file_at_the_gate(event: EventType) -> None:
    world = await gated(0)
    await sample.insert(world.memory, sample.subscription(events=frozenset(EventType)))
    file = await world.file()
    assert file is not None
    await world.fan_out().tell(file, event)
    await check_waits(world)
    await world.fan_out().tell(file, EventType.FILE_REJECTED)
    assert len(world.sent.messages) == 1


@pytest.mark.parametrize("event", [EventType.FILE_UPDATED, EventType.FILE_DELETED])
async def test_who_knows_a_file_is_told_of_its_changes(event: EventType) -> None:
    world = await gated(0)
    await sample.insert(world.memory, sample.subscription(events=frozenset(EventType)))
    world.scanned(CLEAN)
    await world.fan_out().announce(BLOB)
    file = await world.file()
    assert file is not None
    await world.fan_out().tell(file, event)
    assert len(world.sent.messages) == 2


async def test_the_look_for_missed_events_waits_for_the_verdict_too(caplog: pytest.LogCaptureFixture) -> None:
    world = await gated()
    await world.fan_out().look(OWNER, FILE_ID)
    await check_waits(world)
    assert "dropbell.event.missed" not in caplog.text
    world.scanned(CLEAN)
    await world.fan_out().look(OWNER, FILE_ID)
    await check_announced(world, 1)
    assert "dropbell.event.missed" in caplog.text


async def test_a_file_deleted_at_the_gate_is_left_alone() -> None:
    world = await gated()
    await world.fan_out().announce(BLOB)
    file = await world.file()
    assert file is not None
    await world.memory.apply([Replace(files.to_entity(file.moved_to(FileStatus.DELETED, NOW)))])
    world.scanned(MALICIOUS)
    world.clock.advance(5)
    await world.sweep()
    after = await world.file()
    assert after is not None
    assert after.status is FileStatus.DELETED
    assert world.noted() == []


async def test_bytes_that_come_back_after_they_were_rejected_go_again() -> None:
    world = await gated()
    world.scanned(MALICIOUS)
    await world.fan_out().announce(BLOB)
    await world.blobs.create(BLOB, sample.chunks(b"hello"), content_type="text/plain", metadata=dict)
    await world.fan_out().announce(BLOB)
    await check_rejected(world)
