"""What is still to be delivered and how far the log was read, kept together in one SQLite file.

An event and the position behind its log line are written in one transaction: after a crash the line is either
read again or its event is pending here. Nothing is lost; an event may be delivered twice, as in Event Grid.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from local.event_grid.log_tail import START, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from local.event_grid.events import Event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS position (offset_bytes INTEGER NOT NULL, guard BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    key INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, complete INTEGER NOT NULL,
    published_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS delivery (
    event_key INTEGER NOT NULL REFERENCES event (key) ON DELETE CASCADE, subscription TEXT NOT NULL,
    attempts INTEGER NOT NULL, due_at REAL NOT NULL, PRIMARY KEY (event_key, subscription)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """One event on its way to the subscriptions that want it. Times are seconds since the epoch.

    ``complete`` tells that the blob has been looked up.
    """

    event: Event
    published_at: float
    subscriptions: tuple[str, ...]
    complete: bool = False


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """One subscription that has not yet got an event."""

    subscription: str
    attempts: int = 0
    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """One event that somebody has not yet got."""

    key: int
    event: Event
    complete: bool
    published_at: float
    deliveries: tuple[PendingDelivery, ...]


class Journal:
    """The pending deliveries. Without a ``path`` they live and end with the process."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._database.executescript(
            # NORMAL survives the end of the process, which is what a local stack has to expect.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;" + _SCHEMA
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def position(self) -> Position:
        """Return how far the log was read."""
        row = self._database.execute("SELECT offset_bytes, guard FROM position").fetchone()
        return START if row is None else Position(*row)

    def accept(
        self, publications: Iterable[Publication], position: Position | None = None
    ) -> list[PendingEvent]:
        """Take over events, and with them the position behind their log lines."""
        with self._transaction():
            accepted = [self._insert(publication) for publication in publications]
            if position is not None:
                self._database.execute("DELETE FROM position")
                self._database.execute(
                    "INSERT INTO position VALUES (?, ?)", (position.offset_bytes, position.guard)
                )
        return accepted

    def _insert(self, publication: Publication) -> PendingEvent:
        cursor = self._database.execute(
            "INSERT INTO event (body, complete, published_at) VALUES (?, ?, ?)",
            (json.dumps(publication.event), publication.complete, publication.published_at),
        )
        key = cursor.lastrowid
        if key is None:
            raise sqlite3.InternalError("An insert returned no key.")
        deliveries = tuple(map(PendingDelivery, publication.subscriptions))
        self._database.executemany(
            "INSERT INTO delivery VALUES (?, ?, ?, ?)",
            [(key, delivery.subscription, delivery.attempts, delivery.due_at) for delivery in deliveries],
        )
        return PendingEvent(
            key, publication.event, publication.complete, publication.published_at, deliveries
        )

    def complete(self, key: int, event: Event) -> None:
        """Keep the event with all that is known of its blob, so that each attempt sends the same."""
        self._database.execute(
            "UPDATE event SET body = ?, complete = TRUE WHERE key = ?", (json.dumps(event), key)
        )

    def postpone(self, key: int, delivery: PendingDelivery) -> None:
        """Keep the number of attempts and the time of the next."""
        self._database.execute(
            "UPDATE delivery SET attempts = ?, due_at = ? WHERE event_key = ? AND subscription = ?",
            (delivery.attempts, delivery.due_at, key, delivery.subscription),
        )

    def settle(self, key: int, subscription: str) -> None:
        """Forget a delivery, and its event with the last one."""
        with self._transaction():
            self._database.execute(
                "DELETE FROM delivery WHERE event_key = ? AND subscription = ?", (key, subscription)
            )
            self._database.execute(
                "DELETE FROM event WHERE key = ?1"
                " AND NOT EXISTS (SELECT 1 FROM delivery WHERE event_key = ?1)",
                (key,),
            )

    def pending(self, subscriptions: Sequence[str]) -> list[PendingEvent]:
        """Return what is to be delivered to ``subscriptions``; forget what belongs to any other."""
        found = []
        for key, body, complete, published_at in self._database.execute(
            "SELECT key, body, complete, published_at FROM event ORDER BY key"
        ).fetchall():
            rows = self._database.execute(
                "SELECT subscription, attempts, due_at FROM delivery WHERE event_key = ?", (key,)
            ).fetchall()
            deliveries = tuple(PendingDelivery(*row) for row in rows if row[0] in subscriptions)
            for row in rows:
                if row[0] not in subscriptions:
                    self.settle(key, row[0])
            if deliveries:
                found.append(PendingEvent(key, json.loads(body), bool(complete), published_at, deliveries))
        return found
