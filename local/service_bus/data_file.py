"""The queues of a broker in one SQLite file, so that they outlive it.

What happens within one turn of the event loop is one transaction, and no byte leaves the broker before the
transaction is over. So a message that was accepted is in the file, and a broker that is killed leaves every
message in one queue.

The file is in WAL mode with ``synchronous=NORMAL``: SQLite hands each transaction to the operating system and
does not wait for the disk (https://www.sqlite.org/wal.html). The end of the process, however sudden, loses
nothing; the end of the machine may lose the last moments, but never the file. That is right for development;
Azure's own promise takes three machines.

Locks are not kept. A message that was locked when the broker ended is active (or deferred) again as soon as
the next one starts. The delivery that was under way does not count as failed, for it was not the receiver
that failed; settling it with the old lock token is refused, as after an expired lock.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from local.service_bus.changes import IdRemembered, KeptQueue, SessionStateSet
from local.service_bus.decoding import decode
from local.service_bus.encoding import encode
from local.service_bus.errors import BrokerError
from local.service_bus.message import encode_sent_message, parse_message
from local.service_bus.pending import Pending
from local.service_bus.storage import StorageError
from local.service_bus.stored import MessageState, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from local.service_bus.changes import Change, Observer

FILE_NAME = "service_bus.sqlite3"
SCHEMA_VERSION = 1
BUSY_SECONDS = 2.0
"""How long a broker that is just ending may keep the file to itself."""

_SCHEMA = (
    """CREATE TABLE queues (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        next_sequence_number INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE messages (
        queue INTEGER NOT NULL REFERENCES queues,
        sequence_number INTEGER NOT NULL,
        enqueued_sequence_number INTEGER NOT NULL,
        enqueued_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER,
        dead_letter_source TEXT,
        sent BLOB NOT NULL, -- the message as its sender encoded it
        state TEXT NOT NULL,
        delivery_count INTEGER NOT NULL,
        added_properties BLOB NOT NULL, -- an AMQP map
        PRIMARY KEY (queue, sequence_number)
    ) STRICT""",
    """CREATE TABLE remembered_ids (
        queue INTEGER NOT NULL REFERENCES queues,
        arrived_at_ms INTEGER NOT NULL,
        message_id BLOB NOT NULL, -- an AMQP value
        sequence_number INTEGER NOT NULL,
        PRIMARY KEY (queue, arrived_at_ms, message_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE session_states (
        queue INTEGER NOT NULL REFERENCES queues,
        session_id TEXT NOT NULL,
        state BLOB,
        updated_at_ms INTEGER NOT NULL,
        PRIMARY KEY (queue, session_id)
    ) STRICT, WITHOUT ROWID""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_COLUMNS = (
    "sequence_number, enqueued_sequence_number, enqueued_at_ms, expires_at_ms, dead_letter_source, sent, "
    "state, delivery_count, added_properties"
)


class DataFile:
    """A ``Storage`` in a folder. Use it as a context: it belongs to this broker alone inside."""

    def __init__(self, folder: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = folder / FILE_NAME
        self._busy_seconds = busy_seconds
        self.on_change: Callable[[], object] = lambda: None
        self._opened: set[str] = set()
        self._ids: dict[str, int] = {}
        self._pending: dict[str, Pending] = {}

    def __enter__(self) -> Self:
        """Open the file, or make it.

        Raises:
            StorageError: it is damaged, in use, or cannot be had.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            self._database = sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StorageError(f"The data file {self.path} cannot be opened: {reason}.") from error
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise
        return self

    def _prepare(self) -> None:
        execute = self._database.execute
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
                execute(f"PRAGMA {pragma}")
            (fault,) = execute("PRAGMA quick_check(1)").fetchone()
            if fault != "ok":
                raise self._damaged(" ".join(fault.split()))
            (version,) = execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise StorageError(
                    f"The data file {self.path} is of version {version}; this broker reads {SCHEMA_VERSION}."
                )
            with self._transaction():  # also takes the lock on the file, which is kept
                for statement in _SCHEMA if version == 0 else ():
                    execute(statement)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            reason = "another broker is using it" if busy else error
            raise StorageError(f"The data file {self.path} cannot be used: {reason}.") from error
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.execute("COMMIT")

    def _damaged(self, reason: object) -> StorageError:
        return StorageError(
            f"The data file {self.path} is damaged ({reason}); move it away to start with empty queues."
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    # Reading

    def open_queue(self, name: str) -> tuple[KeptQueue, Observer]:
        """What is kept of a queue, and whom the queue has to tell from now on.

        Raises:
            StorageError: the file is damaged.
        """
        self._opened.add(name.lower())
        try:
            kept = self._read(name.lower())
        except (sqlite3.Error, BrokerError, LookupError, TypeError, ValueError) as error:
            raise self._damaged(error) from error
        return kept, partial(self._note, name.lower())

    def _read(self, name: str) -> KeptQueue:
        execute = self._database.execute
        row = execute("SELECT id, next_sequence_number FROM queues WHERE name = ?", (name,)).fetchone()
        if row is None:
            return KeptQueue()
        queue, next_sequence_number = row
        self._ids[name] = queue
        messages = execute(
            f"SELECT {_COLUMNS} FROM messages WHERE queue = ? ORDER BY sequence_number",  # noqa: S608 - a constant
            (queue,),
        )
        remembered_ids = execute(
            "SELECT message_id, sequence_number, arrived_at_ms FROM remembered_ids WHERE queue = ?"
            " ORDER BY arrived_at_ms",
            (queue,),
        )
        session_states = execute(
            "SELECT session_id, state, updated_at_ms FROM session_states WHERE queue = ?", (queue,)
        )
        return KeptQueue(
            next_sequence_number,
            [_message(row) for row in messages],
            [IdRemembered(decode(encoded)[0], number, at_ms) for encoded, number, at_ms in remembered_ids],
            [SessionStateSet(*row) for row in session_states],
        )

    def unopened_queues(self) -> list[str]:
        """The queues that have messages in the file and that nobody opened: they stay in it as they are."""
        rows = self._database.execute(
            "SELECT name FROM queues WHERE id IN (SELECT queue FROM messages) ORDER BY name"
        )
        return [name for (name,) in rows if name not in self._opened]

    # Writing

    def _note(self, name: str, change: Change) -> None:
        if not self._pending:
            self.on_change()
        pending = self._pending.get(name)
        if pending is None:
            pending = self._pending[name] = Pending()
        pending.note(change)

    def commit(self) -> None:
        """Write all changes of all queues since the last call, all or none.

        Raises:
            StorageError: they cannot be written - the disk is full, or the file is damaged.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        try:
            with self._transaction():
                for name, changes in pending.items():
                    self._write(self._queue_id(name, changes.last_number), changes)
        except sqlite3.Error as error:
            raise StorageError(f"The data file {self.path} cannot be written: {error}.") from error

    def _queue_id(self, name: str, last_number: int | None) -> int:
        """The id of a queue, which has given out sequence numbers up to ``last_number``."""
        queue = self._ids.get(name)
        if queue is None or last_number is not None:
            (queue,) = self._database.execute(
                "INSERT INTO queues (name, next_sequence_number) VALUES (?, ?) ON CONFLICT (name)"
                " DO UPDATE SET next_sequence_number = excluded.next_sequence_number RETURNING id",
                (name, (last_number or 0) + 1),
            ).fetchone()
            self._ids[name] = queue
        return queue

    def _write(self, queue: int, changes: Pending) -> None:
        many = self._database.executemany
        many(
            "DELETE FROM messages WHERE queue = ? AND sequence_number = ?",
            ((queue, number) for number in changes.removed),
        )
        many(
            f"INSERT INTO messages (queue, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            ((queue, *_row(message)) for message in changes.added.values()),
        )
        many(
            "UPDATE messages SET state = ?, delivery_count = ?, added_properties = ?"
            " WHERE queue = ? AND sequence_number = ?",
            ((*_changing(message), queue, message.sequence_number) for message in changes.changed.values()),
        )
        if changes.forgotten_until_ms is not None:
            self._database.execute(
                "DELETE FROM remembered_ids WHERE queue = ? AND arrived_at_ms <= ?",
                (queue, changes.forgotten_until_ms),
            )
        many(
            "INSERT OR REPLACE INTO remembered_ids (queue, message_id, sequence_number, arrived_at_ms)"
            " VALUES (?, ?, ?, ?)",
            (
                (queue, encode(each.message_id), each.sequence_number, each.arrived_at_ms)
                for each in changes.remembered
            ),
        )
        many(
            "INSERT OR REPLACE INTO session_states (queue, session_id, state, updated_at_ms)"
            " VALUES (?, ?, ?, ?)",
            (
                (queue, each.session_id, each.state, each.updated_at_ms)
                for each in changes.session_states.values()
            ),
        )


def _row(message: StoredMessage) -> tuple[object, ...]:
    return (
        message.sequence_number,
        message.enqueued_sequence_number,
        message.enqueued_at_ms,
        message.expires_at_ms,
        message.dead_letter_source,
        encode_sent_message(message.content),
        *_changing(message),
    )


def _changing(message: StoredMessage) -> tuple[object, ...]:
    """What can change in a message that stays in its queue."""
    added_properties = encode(message.added_properties)
    return message.state_without_lock.name, message.delivery_count, added_properties


def _message(row: tuple[Any, ...]) -> StoredMessage:
    number, first_number, enqueued_at_ms, expires_at_ms, source, sent, state, delivery_count, added = row
    properties, _ = decode(added)
    if not isinstance(properties, dict):
        raise TypeError(f"the properties of message {number} are no map")
    return StoredMessage(
        content=parse_message(sent),
        sequence_number=number,
        enqueued_sequence_number=first_number,
        enqueued_at_ms=enqueued_at_ms,
        state=MessageState[state],
        expires_at_ms=expires_at_ms,
        delivery_count=delivery_count,
        dead_letter_source=source,
        added_properties=properties,
    )
