"""Which content is taken: by what it is declared to be, and by what its first bytes say it is.

Only magic that leaves no doubt counts. What is unknown contradicts nothing; text contradicts nothing; a
container (zip, gzip, OLE …) is what many other types are made of, and contradicts only a type that has magic
of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from shared.errors import UnsupportedMediaTypeError
from shared.files.content_type import DEFAULT_CONTENT_TYPE, essence

HEAD_BYTES: Final = 4096
"""So much of the content is looked at."""

_NAME = r"[a-z0-9][!#$&^_.+a-z0-9-]*"
_RANGE = re.compile(rf"\*/\*|{_NAME}/(?:\*|{_NAME})")
"""RFC 6838 §4.2, RFC 9110 §12.5.1."""
_MIN_MAGIC_BYTES: Final = 3
"""Shorter magic is met by chance. JPEG, the shortest in the table, has three bytes."""


class Nature(Enum):
    """What magic of a kind of content tells."""

    DEFINITE = "definite"
    """The content is this and nothing else."""
    CONTAINER = "container"
    """The content is this, and may be something made of it."""
    MARKUP = "markup"
    """Text that programs read; its magic can stand in any text, so it counts against block lists only."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Content that can be told by its first bytes, and all names it is declared by; the usual one first."""

    nature: Nature
    names: tuple[str, ...]


_D, _C, _M = Nature.DEFINITE, Nature.CONTAINER, Nature.MARKUP
_PORTABLE_EXECUTABLE = Kind(
    _D,
    (
        "application/vnd.microsoft.portable-executable",
        "application/x-msdownload",
        "application/x-dosexec",
        "application/x-msdos-program",
        "application/x-ms-dos-executable",
        "application/x-exe",
        "application/exe",
    ),
)
_ELF = Kind(
    _D,
    (
        "application/x-elf",
        "application/x-executable",
        "application/x-pie-executable",
        "application/x-sharedlib",
        "application/x-object",
        "application/x-iso9660-appimage",
    ),
)
_MACH_O = Kind(_D, ("application/x-mach-binary", "application/x-mach-o"))
_HTML = Kind(_M, ("text/html", "application/xhtml+xml"))
_SVG = Kind(_M, ("image/svg+xml",))
_XML = Kind(_M, ("application/xml", "text/xml"))

KINDS: Final[tuple[Kind, ...]] = (
    Kind(_D, ("image/png", "image/apng", "image/vnd.mozilla.apng", "image/x-png")),
    Kind(_D, ("image/jpeg", "image/jpg", "image/pjpeg")),
    Kind(_D, ("image/gif",)),
    Kind(_D, ("image/webp",)),
    Kind(_D, ("image/vnd.adobe.photoshop", "image/x-photoshop", "application/x-photoshop")),
    Kind(_C, ("image/tiff", "image/tif", "image/x-tiff")),  # most raw photographs are TIFF inside
    Kind(_D, ("application/pdf", "application/x-pdf")),
    Kind(_D, ("application/rtf", "text/rtf", "text/richtext")),
    Kind(_D, ("audio/flac", "audio/x-flac")),
    Kind(_D, ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")),
    Kind(_D, ("video/avi", "video/x-msvideo", "video/msvideo")),
    Kind(_C, ("audio/mpeg", "audio/mp3", "audio/x-mp3")),  # an ID3 tag stands before other audio, too
    # MP4, QuickTime and HEIF are one family of boxes (ISO/IEC 14496-12).
    Kind(_C, ("video/mp4", "video/x-m4v", "video/quicktime", "video/3gpp")),
    Kind(_C, ("audio/mp4", "audio/x-m4a", "audio/x-m4b")),
    Kind(_C, ("image/heif", "image/heic", "image/avif")),
    Kind(_C, ("application/ogg", "audio/ogg", "audio/opus")),
    Kind(_C, ("video/ogg",)),
    Kind(_C, ("video/webm", "video/x-matroska", "application/x-matroska")),
    Kind(_C, ("audio/webm", "audio/x-matroska")),
    Kind(_C, ("application/zip", "application/x-zip-compressed", "application/x-zip")),
    Kind(_C, ("application/gzip", "application/x-gzip")),
    Kind(_C, ("application/x-bzip2", "application/bzip2")),
    Kind(_C, ("application/x-xz",)),
    Kind(_C, ("application/zstd", "application/x-zstd")),
    Kind(_C, ("application/x-7z-compressed",)),
    Kind(_C, ("application/vnd.rar", "application/x-rar-compressed")),
    Kind(_C, ("application/x-tar",)),
    Kind(_C, ("application/x-ole-storage", "application/msword")),
    _PORTABLE_EXECUTABLE,
    _ELF,
    _MACH_O,
    _HTML,
    _SVG,
    _XML,
)
"""The order has no meaning; a name stands once."""

_BY_NAME: Final = {name: kind for kind in KINDS for name in kind.names}
_COMMENTS = rb"\s*+(?:(?><!--.*?-->)\s*+)*+"
"""Atomic, so that no input makes a match slow."""
_MARKUP: Final = (
    (
        _HTML,
        re.compile(
            _COMMENTS + rb"<(?:!doctype\s+html|html|head|body|script|iframe)\b", re.IGNORECASE | re.DOTALL
        ),
    ),
    (
        _SVG,
        re.compile(
            rb"\s*+(?:(?><\?xml.*?\?>))?+"
            + _COMMENTS
            + rb"(?:<!doctype\s[^>]*+>)?+"
            + _COMMENTS
            + rb"<svg\b",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (_XML, re.compile(rb"\s*+<\?xml\b")),
)
_EXECUTABLES: Final = (
    (_ELF, (b"\x7fELF",)),
    (_MACH_O, (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")),
)
"""Those that puremagic gives no media type."""
_OF_ONE_MEDIUM: Final = frozenset({"audio", "font", "image", "video"})
"""Top-level types (RFC 6838 §4.2) that say how content is presented, also where the subtype is unknown."""


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """What is allowed and what is blocked, as media types or ranges (``image/*``, ``*/*``) in lower case.

    A blocked type is refused by its declaration and by its magic, whatever the content is declared to be:
    who blocks ``application/zip`` blocks all that is zip inside.
    """

    allowed: tuple[str, ...] = ("*/*",)
    blocked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for media_range in (*self.allowed, *self.blocked):
            if _RANGE.fullmatch(media_range) is None:
                raise ValueError(f"not a media type or range: {media_range!r}")

    def check_declared(self, content_type: str) -> None:
        """Raise UnsupportedMediaTypeError (``content-type-not-allowed``) for a type that is not taken."""
        declared = essence(content_type)
        known = _BY_NAME.get(declared)
        if _matches((declared,), self.allowed) and not _matches(
            known.names if known else (declared,), self.blocked
        ):
            return
        raise _not_allowed(declared)

    def check_content(self, content_type: str, head: bytes) -> None:
        """Compare the declaration with ``head``, the first bytes of the content, up to ``HEAD_BYTES``.

        Raises UnsupportedMediaTypeError: ``content-type-not-allowed`` for content that is not taken whatever
        it is called, ``content-type-mismatch`` for content that is certainly not what it is declared to be.
        """
        head = head[:HEAD_BYTES]
        kind = sniffed(head)
        if kind is None:
            return
        if _matches(kind.names, self.blocked):
            raise _not_allowed(kind.names[0])
        declared = essence(content_type)
        if contradicts(declared, kind, head):
            raise UnsupportedMediaTypeError(
                f"The file is declared to be {declared}, and its content is {kind.names[0]}.",
                code="content-type-mismatch",
            )
        if kind.nature is Nature.DEFINITE and not _matches(kind.names, self.allowed):
            raise _not_allowed(kind.names[0])


def contradicts(declared: str, kind: Kind, head: bytes) -> bool:
    """Whether content of that kind cannot be what it is declared to be."""
    if declared == DEFAULT_CONTENT_TYPE or kind.nature is Nature.MARKUP:
        return False
    known = _BY_NAME.get(declared)
    if known is kind:
        return False
    if known is not None and known.nature is not Nature.MARKUP:
        return Nature.DEFINITE in {known.nature, kind.nature}
    if kind.nature is Nature.CONTAINER:
        return False
    if known is not None or _is_text_type(declared):
        return not _is_text(head)
    top_level = declared.partition("/")[0]
    return top_level in _OF_ONE_MEDIUM and not any(name.startswith(f"{top_level}/") for name in kind.names)


def sniffed(head: bytes) -> Kind | None:
    """What the content is by its first bytes; None where that is unknown or in doubt."""
    if _is_portable_executable(head):
        return _PORTABLE_EXECUTABLE
    for kind, beginnings in _EXECUTABLES:
        if head.startswith(beginnings):
            return kind
    for kind, pattern in _MARKUP:
        if pattern.match(head.removeprefix(b"\xef\xbb\xbf")):
            return kind
    return _by_magic(head)


def _by_magic(head: bytes) -> Kind | None:
    """The longest magic decides; two kinds that share it leave doubt."""
    import puremagic

    if not head:
        return None
    found = [
        (len(match.byte_match), kind)
        for match in puremagic.magic_string(head)
        if match.offset >= 0 and (kind := _BY_NAME.get(match.mime_type)) is not None
    ]
    longest_bytes = max((length for length, _ in found), default=0)
    kinds = {kind for length, kind in found if length == longest_bytes}
    return kinds.pop() if longest_bytes >= _MIN_MAGIC_BYTES and len(kinds) == 1 else None


def _is_portable_executable(head: bytes) -> bool:
    """The header that the DOS header points at, as far as it is within sight (Microsoft PE format)."""
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    at = int.from_bytes(head[60:64], "little")
    return head[at : at + 4] == b"PE\0\0"


def _is_text_type(declared: str) -> bool:
    return declared.startswith("text/") or declared.endswith(("/json", "+json", "/xml", "+xml"))


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head[:-3].decode()  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _matches(names: tuple[str, ...], ranges: tuple[str, ...]) -> bool:
    return any(range_ in {"*/*", name, f"{name.partition('/')[0]}/*"} for name in names for range_ in ranges)


def _not_allowed(media_type: str) -> UnsupportedMediaTypeError:
    return UnsupportedMediaTypeError(
        f"Content of the type {media_type} is not taken here.", code="content-type-not-allowed"
    )
