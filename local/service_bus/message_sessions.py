"""Message sessions of a queue: who holds which, until when, and the application's state of each.

Source: https://learn.microsoft.com/azure/service-bus-messaging/message-sessions. Not to be confused with AMQP
sessions, which are channels of a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.service_bus.changes import SessionStateSet
from local.service_bus.errors import SessionCannotBeLockedError, SessionLockLostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.service_bus.changes import Observer


@dataclass(frozen=True, slots=True)
class SessionLock:
    """A session as its holder gets it."""

    session_id: str
    locked_until_ms: int


@dataclass(slots=True, eq=False)
class _MessageSession:
    holder: object = None
    locked_until_ms: int = 0
    state: bytes | None = None
    state_updated_at_ms: int | None = None


class MessageSessions:
    """The sessions of one queue."""

    def __init__(self, lock_duration_ms: int, observe: Observer) -> None:
        self._lock_duration_ms = lock_duration_ms
        self._observe = observe
        self._sessions: dict[str, _MessageSession] = {}
        self._lost: list[tuple[str, object]] = []

    def restore(self, states: Iterable[SessionStateSet]) -> None:
        """Have the application's states again; nobody holds a session."""
        for change in states:
            self._apply(change)

    def lock(self, session_id: str, holder: object, now_ms: int) -> SessionLock:
        """Lock a session for ``holder``.

        Raises:
            SessionCannotBeLockedError: another holder has it.
        """
        session = self._sessions.setdefault(session_id, _MessageSession())
        if session.holder is not None:
            raise SessionCannotBeLockedError(
                f"The session '{session_id}' cannot be accepted: another receiver holds it."
            )
        session.holder = holder
        session.locked_until_ms = now_ms + self._lock_duration_ms
        return SessionLock(session_id, session.locked_until_ms)

    def renew(self, session_id: str, now_ms: int) -> int:
        """Renew a lock; returns when it expires.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        session = self._held(session_id)
        session.locked_until_ms = now_ms + self._lock_duration_ms
        return session.locked_until_ms

    def unlock(self, session_id: str, *, lost: bool) -> None:
        """Free a session; one that is ``lost`` shows up in ``pop_lost``, for its holder did not let go."""
        session = self._sessions[session_id]
        if lost:
            self._lost.append((session_id, session.holder))
        session.holder = None
        if session.state_updated_at_ms is None:
            del self._sessions[session_id]

    def pop_lost(self) -> list[tuple[str, object]]:
        """The sessions lost since the last call, each with who held it."""
        lost, self._lost = self._lost, []
        return lost

    def holder(self, session_id: str) -> object:
        """Who holds a session, or ``None``."""
        session = self._sessions.get(session_id)
        return None if session is None else session.holder

    def locked_until_ms(self, session_id: str) -> int:
        """When the lock of a session expires.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        return self._held(session_id).locked_until_ms

    def next_available(self, first_active: Mapping[str, int]) -> str | None:
        """Of the free sessions with active messages the one whose first message came first."""
        free = [(first, name) for name, first in first_active.items() if self.holder(name) is None]
        return min(free)[1] if free else None

    def state(self, session_id: str) -> bytes | None:
        """The application's state of a session, if it set one."""
        session = self._sessions.get(session_id)
        return None if session is None else session.state

    def set_state(self, session_id: str, state: bytes | None, now_ms: int) -> None:
        """Set or clear the application's state of a session."""
        change = SessionStateSet(session_id, state, now_ms)
        self._apply(change)
        self._observe(change)

    def _apply(self, change: SessionStateSet) -> None:
        session = self._sessions.setdefault(change.session_id, _MessageSession())
        session.state = change.state
        session.state_updated_at_ms = change.updated_at_ms

    def with_state(self, updated_after_ms: int | None) -> set[str]:
        """The sessions that have a state; or those whose state changed after ``updated_after_ms``."""
        if updated_after_ms is None:
            return {name for name, session in self._sessions.items() if session.state is not None}
        return {
            name
            for name, session in self._sessions.items()
            if session.state_updated_at_ms is not None and session.state_updated_at_ms > updated_after_ms
        }

    def _held(self, session_id: str) -> _MessageSession:
        session = self._sessions.get(session_id)
        if session is None or session.holder is None:
            raise SessionLockLostError("The session lock has expired; accept the session again.")
        return session
