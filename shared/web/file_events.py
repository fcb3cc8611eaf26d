"""``/files/{file_id}/events``: a file and its deliveries as they change, until nothing is under way any more.

As server-sent events, or for clients that would rather poll as one JSON body with Retry-After. Rows are read
again and again: whichever instance changed them, no other one is told.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from starlette.responses import Response

from shared.errors import NotFoundError, RateLimitedError, UnavailableError
from shared.identity.permissions import Permission
from shared.identity.principal import require
from shared.notifications.fan_out import deliveries_of
from shared.web.accept import wish_for
from shared.web.conditional import field
from shared.web.delivery_bodies import FileProgress
from shared.web.event_stream import EVENT_STREAM, KEEP_ALIVE, EventStream, retry
from shared.web.file_watch import Watch
from shared.web.json_body import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from shared.files.catalogue import Catalogue
    from shared.ports import TableStore
    from shared.web.call import Call

POLL_AFTER_SECONDS: Final = 2
"""Asked of those who poll."""
ROOM_AFTER_SECONDS: Final = 10
"""Asked of those for whom there was no room."""
SETTLED: Final = '{"reason":"settled"}'
GONE: Final = '{"reason":"gone"}'
"""Data of the ``end`` message: nothing is under way; the file was deleted or has expired."""


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """How long streams last, how often they look, and how many there can be."""

    longest_seconds: float = 100.0
    """Well below the 230 s after which Azure's load balancer ends a request
    (https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout)."""
    keep_alive_seconds: float = 15.0
    """No longer silence; as the HTML standard advises (§9.2.7)."""
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 3.0
    pause_growth: float = 1.5
    """From one look that brings nothing to the next; after news it begins anew."""
    retry_ms: int = 1000
    """When to come back after ``longest_seconds``."""
    max_streams: int = 100
    """Of this process."""
    max_streams_of_owner: int = 10
    """Of these, so that nobody takes them all."""


class FileEventRoutes:
    """Tells of files while things happen to them.

    Args:
        catalogue: Finds files.
        tables: Where the deliveries are.
        policy: The limits.
        pause: Waits for so many seconds.
        seconds: A clock that is never set.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        tables: TableStore,
        *,
        policy: StreamPolicy | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._tables = tables
        self._policy = policy or StreamPolicy()
        self._pause = pause
        self._seconds = seconds
        self._streams: WeakSet[EventStream] = WeakSet()
        """Those open, and some that were; one that is never sent at all leaves with its response."""

    async def watch_file(self, call: Call) -> Response:
        """``GET /files/{file_id}/events``; what goes wrong before the first message is a plain answer.

        204 for a reader who comes back and knows the end: it tells an EventSource to stay away (HTML §9.2).
        """
        require(call.caller, Permission.FILES_READ)
        request = call.request
        file_id = str(request.path_params["file_id"])
        progress = await self._progress(call.owner, file_id)
        accept = field(request, "accept")
        if wish_for(JSON, accept) > wish_for(EVENT_STREAM, accept):
            return _snapshot(progress)
        watch = Watch(request.headers.get("last-event-id"))
        news = b"".join(watch.news(progress))
        if watch.had_end and progress.settled and not news:
            return Response(status_code=204, headers={"vary": "Accept"})
        self._check_room(call.owner)
        stream = EventStream(
            self._messages(call.owner, file_id, watch, progress, news or KEEP_ALIVE), reader=call.owner
        )
        self._streams.add(stream)
        return stream

    async def _messages(
        self, owner: str, file_id: str, watch: Watch, progress: FileProgress, news: bytes
    ) -> AsyncGenerator[bytes]:
        policy = self._policy
        now = spoken_at = self._seconds()
        end_at = now + policy.longest_seconds
        pause_seconds = policy.first_pause_seconds
        latest: FileProgress | None = progress
        while True:
            if news:
                yield news
                spoken_at, pause_seconds = now, policy.first_pause_seconds
            if latest is None or latest.settled:
                yield watch.end(GONE if latest is None else SETTLED)
                return
            if now >= end_at:
                yield retry(policy.retry_ms)
                return
            if now + pause_seconds > spoken_at + policy.keep_alive_seconds:
                yield KEEP_ALIVE
                spoken_at = now
            await self._pause(min(pause_seconds, end_at - now))
            pause_seconds = min(pause_seconds * policy.pause_growth, policy.longest_pause_seconds)
            latest = await self._look(owner, file_id, latest)
            news = b"" if latest is None else b"".join(watch.news(latest))
            now = self._seconds()

    async def _progress(self, owner: str, file_id: str) -> FileProgress:
        file = await self._catalogue.find(owner, file_id)
        return FileProgress.of(file, await deliveries_of(self._tables, file))

    async def _look(self, owner: str, file_id: str, before: FileProgress) -> FileProgress | None:
        """How things stand; as ``before`` while the store does not answer; None when the file is gone."""
        try:
            return await self._progress(owner, file_id)
        except NotFoundError:
            return None
        except UnavailableError:
            return before

    def _check_room(self, owner: str) -> None:
        readers = [stream.reader for stream in self._streams if stream.is_open]
        of_owner = readers.count(owner)
        advice = "Close one, or ask for application/json and poll."
        headers = {"retry-after": str(ROOM_AFTER_SECONDS)}
        if of_owner >= self._policy.max_streams_of_owner:
            raise RateLimitedError(
                f"You have {of_owner} streams open. {advice}", code="too-many-streams", headers=headers
            )
        if len(readers) >= self._policy.max_streams:
            raise UnavailableError(
                f"Too many streams are open. {advice}", code="too-many-streams", headers=headers
            )


def _snapshot(progress: FileProgress) -> Response:
    """With Retry-After as long as there is something to wait for."""
    headers = {"cache-control": "no-store", "vary": "Accept"}
    if not progress.settled:
        headers["retry-after"] = str(POLL_AFTER_SECONDS)
    return Response(progress.model_dump_json(), headers=headers, media_type=JSON)
