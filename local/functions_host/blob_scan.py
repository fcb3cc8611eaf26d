"""Blob functions without Event Grid: look through the container, again and again.

Each blob is known by its name and ETag, so that a new version runs the function again. Noted after the
message is queued: a crash in between queues it a second time, never not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from local.functions_host.blob_trigger import BlobFunction, BlobTrigger

SCAN_SECONDS = 2.0
"""Between two looks. Azure takes 10 s; nobody wants to wait that long at a desk."""

logger = logging.getLogger(__name__)


class BlobScan:
    """Queues the new blobs of one function's container."""

    def __init__(self, trigger: BlobTrigger, function: BlobFunction, receipts_file: Path | None) -> None:
        self._trigger = trigger
        self._function = function
        self._receipts_file = receipts_file
        self._seen = _read_receipts(receipts_file)
        self._is_away = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look until asked to stop; an account that is away is waited for, and told of once."""
        while not stop.is_set():
            try:
                await self._look()
                self._is_away = False
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the next look may work
                if not self._is_away:
                    logger.error(  # noqa: TRY400 - an outage is told once, in a sentence
                        "The container '%s' cannot be listed: %s", self._function.path.container, error
                    )
                self._is_away = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SCAN_SECONDS)

    async def _look(self) -> None:
        container = self._function.path.container
        found: dict[str, str] = {}
        is_changed = False
        async for name, etag in self._function.store.names(container):
            found[name] = etag
            if self._seen.get(name) != etag:
                is_changed = True
                self._trigger.enqueue(self._function, container, name, etag)
        if is_changed or len(found) != len(self._seen):
            self._seen = found
            self._save()

    def _save(self) -> None:
        if self._receipts_file is None:
            return
        self._receipts_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._receipts_file.with_suffix(".tmp")
        draft.write_text(json.dumps(self._seen), encoding="utf-8")
        draft.replace(self._receipts_file)


def _read_receipts(path: Path | None) -> dict[str, str]:
    if path is None or not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        logger.warning("The receipts in %s cannot be read; all blobs count as new: %s", path, error)
        return {}
    return document if isinstance(document, dict) else {}
