"""A file of random bytes to send, and the check that it is what the service has afterwards."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.running_stack import RunningStack

MEBIBYTE = 1024 * 1024
START = b"ding dong\n"
"""Chance must not give the file the start of a type that is not allowed."""


class SentFile:
    """``size_bytes`` random bytes at ``folder/name``."""

    def __init__(
        self, folder: Path, *, size_bytes: int = 12 * MEBIBYTE + 345, name: str = "bell.bin"
    ) -> None:
        self.content = START + os.urandom(size_bytes - len(START))
        self.path = folder / name
        self.path.write_bytes(self.content)
        self.sha256 = hashlib.sha256(self.content).hexdigest()

    def assert_arrived(self, stack: RunningStack, file_id: str | None) -> dict[str, Any]:
        """The service's word for it, and its bytes; returns what it says of the file."""
        assert file_id is not None
        answer = stack.get(f"/files/{file_id}")
        assert answer.status_code == 200, answer.text
        file: dict[str, Any] = answer.json()
        expected = {"name": self.path.name, "size_bytes": len(self.content), "sha256": self.sha256}
        assert {name: file[name] for name in expected} == expected
        content = stack.get(f"/files/{file_id}/content")
        assert content.status_code == 200, content.text
        assert hashlib.sha256(content.content).hexdigest() == self.sha256
        return file
