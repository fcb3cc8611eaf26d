"""The gate for malware: no file is announced, and none of its bytes handed out, before it is proven clean.

A file waits in ``stored``. Its verdict is looked for when its blob is made, and then by the sweep, with
growing pauses. Everything but a clean verdict keeps the gate shut: malware is rejected; what is not scanned
waits until somebody acts, and operators are told of it at every look.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.errors import ConflictError, EntityChangedError, EntityMissingError, UnavailableError
from shared.files import file as files
from shared.files import intake
from shared.files.events import EventType
from shared.files.file import FileStatus
from shared.ports import Replace, Verdict
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    from datetime import datetime

    from shared.files.events import EventWriter
    from shared.files.file import File
    from shared.files.quota import Quota
    from shared.ledger.due import DueWriter
    from shared.ports import BlobStore, Clock, Scanner, TableStore

DUE_KIND: Final = "scan"
"""Entries of the due book for files that wait for their verdict."""
CODE: Final = "malware"
NO_VERDICT: Final = "no-verdict"
"""Why a file is held: its scan should have ended long ago. Otherwise the verdict says why."""
FIRST_PAUSE: Final = timedelta(seconds=5)
"""From storing to the first look; each pause after it is twice as long. Most scans take seconds."""
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between looks at a file that only a person can help, whose verdict will not change by itself."""
MAX_TRIES: Final = 8
"""Races against others who change the same row."""
_LEAST_RETRY_SECONDS: Final = 5
_MOST_RETRY_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Wait:
    """A file stays where it is for now."""

    look_at: datetime
    held: str | None = None
    """Why operators are told of it; None while it is the usual wait."""


def wait(verdict: Verdict | None, stored_at: datetime, now: datetime, *, patience: timedelta) -> Wait:
    """When to look again, after a look that proved nothing.

    The instants follow from ``stored_at`` and the verdict alone, so that all who look note the same one, and
    it counts once in the due book.
    """
    waited = max(now - stored_at, timedelta())
    pause = after = FIRST_PAUSE if verdict is None else LONGEST_PAUSE
    while after <= waited:
        pause = min(2 * pause, LONGEST_PAUSE)
        after += pause
    return Wait(stored_at + after, verdict or (NO_VERDICT if waited >= patience else None))


class ScanGate:
    """Opens for a file that is proven clean.

    Args:
        patience_seconds: So long after it was stored, a file without a verdict is held.
    """

    def __init__(
        self,
        scanner: Scanner,
        blobs: BlobStore,
        tables: TableStore,
        clock: Clock,
        *,
        quota: Quota,
        due: DueWriter,
        events: EventWriter,
        patience_seconds: float,
    ) -> None:
        self._scanner = scanner
        self._blobs = blobs
        self._tables = tables
        self._clock = clock
        self._quota = quota
        self._due = due
        self._events = events
        self._patience = timedelta(seconds=patience_seconds)

    async def lets_pass(self, file: File) -> bool:
        """Whether the stored file may be announced; otherwise it is seen to: rejected, or looked at later."""
        verdict = await self._scanner.verdict(files.blob_name(file.owner, file.id))
        match verdict:
            case Verdict.CLEAN:
                return True
            case Verdict.MALICIOUS:
                await self._reject(file)
            case _:
                await self._hold(file, verdict)
        return False

    async def _hold(self, file: File, verdict: Verdict | None) -> None:
        following = wait(verdict, file.stored_at, self._clock.now(), patience=self._patience)
        await self._due.put(DUE_KIND, file.owner, file.id, following.look_at)
        if following.held is None:
            return
        record(
            Event.FILE_HELD,
            level=logging.WARNING,
            file_id=file.id,
            trace_id=file.trace_id,
            correlation_id=file.correlation_id,
            reason=following.held,
        )
        measure(Metric.SWEEP_FINDINGS, kind=DUE_KIND)

    async def _reject(self, file: File) -> None:
        """Write that the file is refused, tell of it, then let its bytes go.

        Who crashes in between has left a note in the due book; whoever comes for it goes on.
        """
        for _ in range(MAX_TRIES):
            await self._events.will(file.owner, file.id, EventType.FILE_REJECTED, file.revision)
            refused = replace(
                file.moved_to(FileStatus.REJECTED, self._clock.now()),
                reason=f"{CODE}: The scan found malware; the bytes are not kept.",
            )
            try:
                await self._quota.apply(
                    file.owner,
                    [Replace(files.to_entity(refused))],
                    bytes_delta=-file.size_bytes,
                    files_delta=-1,
                )
            except (EntityChangedError, EntityMissingError):
                found = await intake.find(self._tables, file.owner, file.id)
                if found is None or found.status is not FileStatus.STORED:
                    return  # deleted, or rejected by somebody else, who lets the bytes go
                file = found
                continue
            record(
                Event.FILE_REJECTED,
                level=logging.WARNING,
                file_id=file.id,
                trace_id=file.trace_id,
                correlation_id=file.correlation_id,
                reason=CODE,
            )
            await self._events.happened(refused, EventType.FILE_REJECTED)
            await self._blobs.delete(files.blob_name(file.owner, file.id))
            return
        raise UnavailableError("The file is changing too fast; try again in a moment.", reason="file-race")


def is_malware(file: File) -> bool:
    """Whether the file was rejected for what the scan found."""
    return file.status is FileStatus.REJECTED and (file.reason or "").startswith(f"{CODE}:")


def check_passed(file: File, now: datetime) -> None:
    """Raise ConflictError (``being-scanned``) for a file that waits at the gate: its bytes stay inside.

    Retry-After grows with the time that the file has waited.
    """
    if file.status is not FileStatus.STORED:
        return
    waited_seconds = math.ceil((now - file.stored_at).total_seconds())
    retry_seconds = min(max(waited_seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS)
    raise ConflictError(
        "The file has not been scanned for malware yet; its content can be had once it is.",
        code="being-scanned",
        headers={"retry-after": str(retry_seconds)},
    )
