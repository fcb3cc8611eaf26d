"""What one reader has been told of a file, and what is news to it.

The id of a message says all that was told until then, in at most 430 characters, so that nothing has to be
remembered here for a reader who comes back with it (``Last-Event-ID``), at whichever instance. What can be
told is spread over 64 groups, the file alone in the first. The id holds the checksum of each group that is
not empty. A group that has changed since is told again whole, the others are not told again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import TYPE_CHECKING, Final

from shared.web.event_stream import message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.web.delivery_bodies import FileProgress

FILE: Final = "file"
"""The key of the file; all other keys are ids of deliveries."""
_GROUPS: Final = 64
_CHECKSUM_BYTES: Final = 4
_ENTRY_BYTES: Final = 1 + _CHECKSUM_BYTES
_END: Final = ".end"


class Watch:
    """One reader's view.

    Args:
        last_event_id: What the reader had when it was here before; one that we did not give says nothing.
    """

    def __init__(self, last_event_id: str | None = None) -> None:
        text = last_event_id or ""
        self.had_end = text.endswith(_END)
        """Whether the reader was told of the end, too."""
        self._had: Mapping[int, int] | None = _read(text.removesuffix(_END))
        self._told: dict[str, int] = {}
        """The checksum of what was told by its key …"""
        self._groups: dict[int, int] = {}
        """… and of all in a group: theirs combined by XOR, for their order does not matter."""

    def news(self, progress: FileProgress) -> Iterator[bytes]:
        """A message for whatever is not as the reader was told."""
        texts = _texts(progress)
        checksums = {key: _checksum(key, text) for key, text in texts.items()}
        if self._had is not None:
            self._take_as_told(checksums, self._had)
            self._had = None
        for key in self._told.keys() - texts.keys():
            self._set(key, None)
        for key, text in texts.items():
            if self._told.get(key) != checksums[key]:
                self._set(key, checksums[key])
                yield message("file" if key == FILE else "delivery", text, id_=self._id())

    def end(self, data: str) -> bytes:
        """The last message."""
        return message("end", data, id_=self._id() + _END)

    def _take_as_told(self, checksums: Mapping[str, int], had: Mapping[int, int]) -> None:
        now: dict[int, int] = {}
        for key, checksum in checksums.items():
            now[_group(key)] = now.get(_group(key), 0) ^ checksum
        for key, checksum in checksums.items():
            if now[_group(key)] == had.get(_group(key)):
                self._set(key, checksum)

    def _set(self, key: str, checksum: int | None) -> None:
        before = self._told.pop(key, 0)
        if checksum is not None:
            self._told[key] = checksum
        group = _group(key)
        self._groups[group] = self._groups.get(group, 0) ^ before ^ (checksum or 0)

    def _id(self) -> str:
        entries = [
            bytes([group]) + checksum.to_bytes(_CHECKSUM_BYTES)
            for group, checksum in sorted(self._groups.items())
            if checksum
        ]
        return base64.urlsafe_b64encode(b"".join(entries)).decode().rstrip("=")


def _texts(progress: FileProgress) -> dict[str, str]:
    return {
        FILE: progress.file.model_dump_json(),
        **{delivery.id: delivery.model_dump_json() for delivery in progress.deliveries},
    }


def _checksum(key: str, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{key} {text}".encode()).digest()[:_CHECKSUM_BYTES])


def _group(key: str) -> int:
    return 0 if key == FILE else 1 + zlib.crc32(key.encode()) % (_GROUPS - 1)


def _read(text: str) -> Mapping[int, int]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return {}
    entries = [raw[start : start + _ENTRY_BYTES] for start in range(0, len(raw), _ENTRY_BYTES)]
    return {entry[0]: int.from_bytes(entry[1:]) for entry in entries}
