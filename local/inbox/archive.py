"""What happened in the inbox as a file of JSON lines, so that a restart shows the same messages."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from local.inbox.messages import (
    Email,  # noqa: TC001 - pydantic reads the annotations at run time
    Webhook,  # noqa: TC001 - likewise
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A message came."""

    message: Webhook | Email
    kind: Literal["message"] = "message"


@dataclass(frozen=True, slots=True)
class SecretLearned:
    """A signing secret became known for a path."""

    path: str
    secret: str
    kind: Literal["secret"] = "secret"


@dataclass(frozen=True, slots=True)
class Emptied:
    """All messages were deleted."""

    kind: Literal["emptied"] = "emptied"


type Entry = MessageArrived | SecretLearned | Emptied

_ENTRY: TypeAdapter[Entry] = TypeAdapter(
    Entry, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
)


class Archive:
    """One append-only file, made shorter by ``rewrite``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Entry]:
        """Return all entries, oldest first; a line that a crash cut short is skipped."""
        if not self._path.exists():
            return []
        entries = []
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            try:
                entries.append(_ENTRY.validate_json(line))
            except ValidationError:
                log.warning("archive line %d cannot be read and is skipped", number)
        return entries

    def append(self, entry: Entry) -> None:
        """Write one entry."""
        with self._path.open("ab") as file:
            file.write(_ENTRY.dump_json(entry) + b"\n")

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replace the file atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.writelines(_ENTRY.dump_json(entry) + b"\n" for entry in entries)
        fresh.replace(self._path)
