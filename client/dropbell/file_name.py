"""A file's name from elsewhere, made safe for this machine's file systems."""

from __future__ import annotations

from pathlib import PurePath

MAX_NAME_BYTES = 255
_FORBIDDEN = frozenset('<>:"|?*')  # on Windows; the path separators are cut at
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
)
_REPLACEMENT = "_"


def safe_file_name(name: str, fallback: str) -> str:
    """Return a name that stays in its directory, is not hidden, no option, no device, and can be written.

    Args:
        name: As the service tells it, hence as anybody chose it.
        fallback: Used when nothing is left of it.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    safe = "".join(
        _REPLACEMENT if char in _FORBIDDEN or not char.isprintable() else char for char in last
    ).strip()
    safe = safe.rstrip(". ")
    if safe[:1] in {".", "-", "~"}:
        safe = _REPLACEMENT + safe[1:]
    if PurePath(safe).stem.upper() in _DEVICES:
        safe = _REPLACEMENT + safe
    if not safe.strip(_REPLACEMENT):
        return fallback
    return _shortened(safe)


def _shortened(name: str) -> str:
    """Cut the stem, not the ending, to what file systems take."""
    suffix = PurePath(name).suffix
    if len(suffix.encode()) > MAX_NAME_BYTES // 2:
        suffix = ""
    stem = name.removesuffix(suffix) if suffix else name
    room_bytes = MAX_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room_bytes].decode(errors="ignore") + suffix
