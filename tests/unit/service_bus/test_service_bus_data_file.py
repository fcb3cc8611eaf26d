from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from local.service_bus import StorageError, parse_namespace, serve
from local.service_bus.data_file import FILE_NAME, DataFile
from local.service_bus.message import MAX_MILLISECONDS
from local.service_bus.queue_settings import QueueSettings
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.storage import open_with_dead_letters
from local.service_bus.stored import MessageState
from local.service_bus.values import Array, Char, Decimal128, Described, Symbol, UInt, ULong
from tests.unit.service_bus.amqp_peer import Peer
from tests.unit.service_bus.sent_messages import sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.service_bus.queue import Queue
    from local.service_bus.stored import StoredMessage

LOCK_MS = 1_000


def open_queue(data_file: DataFile, **changes: Any) -> Queue:
    settings = QueueSettings(**{"name": "q", "lock_duration_ms": LOCK_MS, **changes})
    return open_with_dead_letters(settings, data_file)


def lock(queue: Queue, now_ms: int = 0) -> StoredMessage:
    locked = queue.lock_next(now_ms)
    assert locked is not None
    return locked


def settle(queue: Queue, outcome: Outcome, **details: Any) -> None:
    token = lock(queue).lock_token
    assert token is not None
    queue.settle(token, Settlement(outcome, **details), 0)


def ids(queue: Queue | None) -> list[object]:
    assert queue is not None
    return [message.content.message_id for message in queue.peek(0, 99)]


@contextmanager
def after_a_kill(data_file: DataFile, folder: Path) -> Iterator[DataFile]:
    """The data file as a broker that is killed now leaves it to the next one."""
    killed = folder / "killed"
    shutil.copytree(data_file.path.parent, killed)
    with DataFile(killed) as successor:
        yield successor
    shutil.rmtree(killed)


@pytest.fixture
def data_file(tmp_path: Path) -> Iterator[DataFile]:
    with DataFile(tmp_path / "data") as data_file:
        yield data_file


@pytest.mark.parametrize("commits", ["one", "many"])
def test_every_kind_of_message_is_there_after_a_kill(
    data_file: DataFile, tmp_path: Path, commits: str
) -> None:
    queue = open_queue(data_file)
    names = ("deferred", "dead", "failed", "locked", "completed")
    steps: list[Callable[[], object]] = [
        lambda: queue.enqueue([sent(name) for name in names], 0),
        lambda: queue.enqueue([sent("scheduled", scheduled_enqueue_time_ms=50, time_to_live_ms=10)], 7),
        lambda: settle(queue, Outcome.DEFER, properties={"note": "later"}),
        lambda: settle(queue, Outcome.DEAD_LETTER, reason="why", description="because"),
        lambda: settle(queue, Outcome.ABANDON),
        lambda: (lock(queue), lock(queue)),
        lambda: settle(queue, Outcome.COMPLETE),
    ]
    for step in steps:
        step()
        if commits == "many":
            data_file.commit()
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor)
        deferred, failed, locked, scheduled = restored.peek(0, 9)
        assert [each.sequence_number for each in (deferred, failed, locked, scheduled)] == [1, 3, 4, 6]
        assert (deferred.state, deferred.added_properties) == (MessageState.DEFERRED, {"note": "later"})
        assert (failed.state, failed.delivery_count) == (MessageState.ACTIVE, 1)
        assert (locked.state, locked.lock_token, locked.delivery_count) == (MessageState.ACTIVE, None, 0)
        assert (scheduled.state, scheduled.enqueued_at_ms) == (MessageState.SCHEDULED, 7)
        assert scheduled.content == sent("scheduled", scheduled_enqueue_time_ms=50, time_to_live_ms=10)
        assert restored.dead_letters is not None
        (letter,) = restored.dead_letters.peek(0, 9)
        assert (letter.content.message_id, letter.enqueued_sequence_number) == ("dead", 2)
        assert letter.dead_letter_source == "q"
        assert letter.added_properties == {"DeadLetterReason": "why", "DeadLetterErrorDescription": "because"}
        assert restored.next_due_ms() == 50
        restored.advance(50)  # due: with a new sequence number, and with its time to live running
        assert [each.expires_at_ms for each in restored.peek(7, 9)] == [60]
        assert [restored.lock_next(51) is not None for _ in range(4)] == [True, True, True, False]


def test_what_was_not_committed_is_not_there(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file)
    queue.enqueue([sent("a")], 0)
    data_file.commit()
    queue.enqueue([sent("b")], 0)
    settle(queue, Outcome.DEAD_LETTER)
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor)
        assert (ids(restored), ids(restored.dead_letters)) == (["a"], [])
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor)
        assert (ids(restored), ids(restored.dead_letters)) == (["b"], ["a"])


def test_sequence_numbers_go_on_though_no_message_is_left(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file)
    queue.enqueue([sent(), sent()], 0)
    while queue.take_next(0) is not None:
        pass
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        assert open_queue(successor).enqueue([sent()], 0) == [3]


def test_a_time_to_live_runs_while_no_broker_does(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file)
    queue.enqueue([sent("short", time_to_live_ms=10), sent("long", time_to_live_ms=1_000), sent("none")], 5)
    lock(queue, 5)
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor, dead_letter_on_expiration=True)
        restored.advance(500)
        assert (ids(restored), ids(restored.dead_letters)) == (["long", "none"], ["short"])
        assert restored.next_due_ms() == 1_005


@pytest.mark.parametrize(
    "message_id", ["a", b"a", 5, ULong(5), "é\0", Char("x")], ids=lambda value: f"{value!r}"
)
def test_duplicates_are_known_within_their_window(
    data_file: DataFile, tmp_path: Path, message_id: object
) -> None:
    queue = open_queue(data_file, duplicate_window_ms=100)
    queue.enqueue([sent("earlier")], 0)
    queue.enqueue([sent(message_id)], 10)
    data_file.commit()
    queue.enqueue([sent("other")], 105)  # by then the first is forgotten
    queue.take_next(105)
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor, duplicate_window_ms=100)
        assert restored.enqueue([sent(message_id)], 109) == [2]
        assert restored.enqueue([sent("earlier")], 109) == [4]
        assert restored.enqueue([sent(message_id)], 110) == [5]


def test_ids_that_come_and_go_between_two_commits_leave_nothing(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file, duplicate_window_ms=1)
    for now_ms in range(5):
        queue.enqueue([sent("a")], now_ms)
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        kept, _ = successor.open_queue("q")
        assert [each.arrived_at_ms for each in kept.remembered_ids] == [4]


def test_states_of_sessions_stay_and_nobody_holds_one(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file, requires_session=True)
    queue.enqueue([sent("x", session_id="a")], 0)
    queue.accept_session("a", "holder", 0)
    for name, state in (("a", b"half way"), ("", b""), ("cleared", b"1"), ("cleared", None)):
        queue.set_session_state(name, state, 70)
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        restored = open_queue(successor, requires_session=True)
        assert restored.list_sessions() == ["", "a"]
        assert restored.list_sessions(69) == ["", "a", "cleared"]
        assert [restored.session_state(name) for name in ("a", "", "cleared")] == [b"half way", b"", None]
        restored.accept_session("a", "next", 1)
        assert restored.lock_next(1, "a") is not None


def test_whatever_a_client_may_write_into_a_message_can_be_kept(data_file: DataFile, tmp_path: Path) -> None:
    queue = open_queue(data_file)
    properties: dict[str, object] = {
        "list": [1, None, UInt(2)],
        "array": Array([Symbol("a")]),
        "described": Described(Symbol("x:y"), {"k": Decimal128(bytes(16))}),
        "é" * 300: True,
    }
    queue.enqueue([sent(time_to_live_ms=2**32 - 1)], MAX_MILLISECONDS)
    message = queue.lock_next(MAX_MILLISECONDS)
    assert message is not None
    assert message.lock_token is not None
    queue.settle(message.lock_token, Settlement(Outcome.DEFER, properties), MAX_MILLISECONDS)
    data_file.commit()
    with after_a_kill(data_file, tmp_path) as successor:
        (kept,) = open_queue(successor).peek(0, 9)
        assert kept.added_properties == properties
        assert kept.expires_at_ms == MAX_MILLISECONDS + 2**32 - 1


def test_it_asks_for_a_commit_once_and_only_if_something_changed(tmp_path: Path) -> None:
    asked: list[int] = []
    with DataFile(tmp_path) as data_file:
        data_file.on_change = lambda: asked.append(1)
        queue = open_queue(data_file)
        queue.lock_next(0)
        assert not asked
        queue.enqueue([sent(), sent()], 0)
        assert len(asked) == 1
        data_file.commit()
        queue.enqueue([sent()], 0)
        assert len(asked) == 2


# What cannot be used


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5_000])


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096 + 8 : 3 * 4_096] = b"\xff" * (2 * 4_096 - 8)
    path.write_bytes(data)


def change(statement: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        database = sqlite3.connect(path)
        with database:
            database.execute(statement)
        database.close()

    return apply


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (overwrite, "is damaged"),
        (cut_off, "is damaged"),
        (scribble, "is damaged"),
        (change("UPDATE messages SET sent = x'0053'"), "is damaged"),
        (change("UPDATE messages SET state = 'NOWHERE'"), "is damaged"),
        (change("UPDATE messages SET added_properties = x'40'"), "is damaged"),
        (change("DROP TABLE session_states"), "is damaged"),
        (change("PRAGMA user_version = 9"), "version 9"),
    ],
    ids=[
        *("overwritten", "cut off", "scribbled on", "not a message", "unknown state", "no properties"),
        *("no table", "from the future"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_a_reason(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    with DataFile(tmp_path) as data_file:
        open_queue(data_file).enqueue([sent()], 0)
        data_file.commit()
    damage(tmp_path / FILE_NAME)
    with pytest.raises(StorageError, match=reason) as refused, DataFile(tmp_path) as data_file:
        open_queue(data_file)
    assert str(tmp_path / FILE_NAME) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="File exists"):
        DataFile(tmp_path / "file").__enter__()
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be opened"):
        DataFile(tmp_path / "folder").__enter__()


def test_two_brokers_cannot_have_one_file(
    data_file: DataFile,
) -> None:
    with pytest.raises(StorageError, match="another broker is using it"):
        DataFile(data_file.path.parent, busy_seconds=0.01).__enter__()


# A broker with a data folder


def namespace(*queues: str) -> Any:
    entities = [{"Name": name} for name in queues]
    return parse_namespace({"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": entities}]}})


async def test_a_queue_that_the_configuration_lacks_is_named_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(namespace("Old", "empty", "new"), data_dir=tmp_path) as broker:
        broker.queue("old").enqueue([sent("a")], 0)
    with caplog.at_level(logging.WARNING):
        async with serve(namespace("new"), data_dir=tmp_path):
            pass
        assert "'old'" in caplog.text
        assert "empty" not in caplog.text
    async with serve(namespace("old", "new"), data_dir=tmp_path) as broker:
        assert ids(broker.queue("old")) == ["a"]


async def test_a_message_that_cannot_be_written_is_not_accepted_and_the_broker_ends(tmp_path: Path) -> None:
    async with serve(namespace("q"), data_dir=tmp_path) as broker:
        peer = await Peer.connect(broker)
        await peer.put_token()
        await peer.sender(0, "q")
        storage: Any = broker._storage
        (pages,) = storage._database.execute("PRAGMA page_count").fetchone()
        storage._database.execute(f"PRAGMA max_page_count = {pages}")  # as if the disk were full
        peer.transfer(0, b"\x00\x53\x75\xb0" + (50_000).to_bytes(4) + bytes(50_000))
        assert await peer.closed()
        assert "full" in str(await broker.failed)
        peer.writer.close()
    async with serve(namespace("q"), data_dir=tmp_path) as broker:
        assert ids(broker.queue("q")) == []


async def test_what_became_due_while_no_broker_was_there_happens_at_once(tmp_path: Path) -> None:
    now_ms = 0
    async with serve(namespace("q"), data_dir=tmp_path, clock=lambda: now_ms) as broker:
        broker.queue("q").enqueue([sent("a", scheduled_enqueue_time_ms=50)], 0)
        assert not broker.queue("q").has_ready()
    now_ms = 50
    async with serve(namespace("q"), data_dir=tmp_path, clock=lambda: now_ms) as broker:
        assert broker.queue("q").has_ready()


async def test_what_nobody_is_told_of_is_kept_all_the_same(tmp_path: Path) -> None:
    async with serve(namespace("q"), data_dir=tmp_path / "data") as broker:
        broker.queue("q").enqueue([sent("a")], 0)
        await asyncio.sleep(0)
        storage: Any = broker._storage
        with after_a_kill(storage, tmp_path) as successor:
            assert ids(open_queue(successor)) == ["a"]
