"""Uploads under way, remembered on disk, so that another process can go on where this one was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dropbell.connection import path_below_api
from dropbell.errors import DropbellError

if TYPE_CHECKING:
    from pathlib import Path

    from dropbell.connection import Connection
    from dropbell.source import Source

KEPT_SECONDS = 7 * 24 * 3600.0
"""How long an entry is kept; the service forgets abandoned uploads sooner."""


@dataclass(frozen=True)
class Entry:
    """The place of one upload in the journal: one small file."""

    path: Path
    facts: dict[str, str | int]

    def recall(self) -> str | None:
        """Return the upload's path below ``/api/v1``; None when there is none or the file has changed."""
        try:
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            url = saved.pop("upload_url")
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None
        if saved != self.facts or not isinstance(url, str):
            return None
        with suppress(DropbellError):
            return path_below_api(url)
        return None

    def remember(self, upload_url: str) -> None:
        """Note where the upload is. A disk that cannot take it costs the resuming, not the upload."""
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self.path.with_suffix(f".{os.getpid()}.new")
            new.write_text(json.dumps({**self.facts, "upload_url": upload_url}) + "\n", encoding="utf-8")
            new.chmod(0o600)
            new.replace(self.path)

    def forget(self) -> None:
        """Remove the note; it may be absent."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class Journal:
    """Entries of uploads under way in one directory, made when first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def entry(self, connection: Connection, source: Source) -> Entry | None:
        """Return the place of an upload, None for what cannot be found again, such as a stream."""
        if source.path is None:
            return None
        self._remove_outdated()
        facts: dict[str, str | int] = {
            "api": connection.api_url,
            "owner": str(connection.owner or ""),
            "path": str(source.path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            "name": source.name,
            "content_type": source.content_type,
            "size_bytes": source.body.size_bytes or 0,
            "modified_ns": source.modified_ns,
        }
        where = "\0".join(str(facts[name]) for name in ("api", "owner", "path", "name", "content_type"))
        file_name = hashlib.sha256(where.encode()).hexdigest()[:32] + ".json"
        return Entry(self._directory / file_name, facts)

    def _remove_outdated(self) -> None:
        oldest = time.time() - KEPT_SECONDS
        with suppress(OSError):
            for path in self._directory.glob("*.json"):
                with suppress(OSError):  # another process may remove it at the same time
                    if path.stat().st_mtime < oldest:
                        path.unlink()
