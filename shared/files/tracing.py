"""What telemetry is told of files and uploads, wherever they are worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.telemetry.measurements import Metric, measure
from shared.telemetry.spans import adopt, tell
from shared.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from shared.files.file import File
    from shared.files.upload import Upload


def works_on(upload: Upload | File) -> None:
    """The present work is about this one: it becomes a part of its trace, or is linked to it."""
    adopt(TraceContext.parse(upload.traceparent))
    tell(file_id=upload.id)


def became_visible(file: File) -> None:
    """A file was accepted; to be told once for each, by whoever wrote its row."""
    tell(file_id=file.id)
    measure(Metric.FILES_ACCEPTED)
    measure(Metric.BYTES_ACCEPTED, file.size_bytes)
