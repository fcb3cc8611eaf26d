from __future__ import annotations

import gzip
import io
import struct
import time
import zipfile

import pytest

from shared.errors import UnsupportedMediaTypeError
from shared.files.content_policy import HEAD_BYTES, KINDS, ContentPolicy, sniffed


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return held.getvalue()


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(13)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
EXECUTABLE = (
    b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(46) + struct.pack("<I", 0x80) + bytes(64) + b"PE\0\0"
)
ELF = b"\x7fELF\x02\x01\x01" + bytes(20)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
HTML = b"\xef\xbb\xbf <!-- hi --> <!DOCTYPE html><html><script>"
SVG = b'<?xml version="1.0"?>\n<!-- x --><!DOCTYPE svg PUBLIC "x">\n<svg xmlns="http://www.w3.org/2000/svg"/>'
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (PDF, "application/pdf"),
        (EXECUTABLE, "application/vnd.microsoft.portable-executable"),
        (ELF, "application/x-elf"),
        (zipped("word/document.xml"), "application/zip"),
        (gzip.compress(b"x", mtime=0), "application/gzip"),
        (OLE, "application/x-ole-storage"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "video/mp4"),
        (HTML, "text/html"),
        (SVG, "image/svg+xml"),
        (b'<?xml version="1.0"?><a/>', "application/xml"),
    ],
)
def test_clear_magic_is_known(head: bytes, media_type: str) -> None:
    kind = sniffed(head)
    assert kind is not None
    assert kind.names[0] == media_type


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0",
        b"hello world",
        b"MZ is how my letter begins, and it goes on for long enough to have a header in it, does it not?",
        b"MZ" + b"\xff" * 100,
        b'{"a": 1}',
        b"BMW, a list of cars",
        b"#!/bin/sh\n",
        b"\xff\xfeh\0i\0",
        bytes(HEAD_BYTES),
    ],
)
def test_what_leaves_doubt_is_unknown(head: bytes) -> None:
    assert sniffed(head) is None


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", EXECUTABLE),
        ("image/png", zipped("a")),
        ("image/png; charset=x", JPEG),
        ("IMAGE/PNG", PDF),
        ("application/pdf", PNG),
        ("application/pdf", gzip.compress(b"x", mtime=0)),
        ("application/zip", EXECUTABLE),
        ("application/msword", PDF),
        ("text/plain", EXECUTABLE),
        ("text/html", PNG),
        ("application/json", ELF),
        ("audio/aac", EXECUTABLE),
        ("image/x-of-tomorrow", PDF),
    ],
)
def test_a_declaration_that_the_magic_contradicts_is_refused(declared: str, head: bytes) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        ContentPolicy().check_content(declared, head)
    assert caught.value.code == "content-type-mismatch"


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("application/octet-stream", EXECUTABLE),
        ("application/x-msdownload", EXECUTABLE),
        ("image/jpg", JPEG),
        ("image/x-of-tomorrow", PNG),
        ("application/vnd.of-tomorrow", PNG),
        (DOCX, zipped("[Content_Types].xml", "word/document.xml")),
        ("application/java-archive", zipped("META-INF/MANIFEST.MF")),
        ("application/epub+zip", zipped("mimetype")),
        ("application/vnd.ms-excel", OLE),
        ("application/x-tar", gzip.compress(b"x", mtime=0)),
        ("text/csv", gzip.compress(b"x", mtime=0)),
        ("image/svg+xml", SVG),
        ("image/svg+xml", gzip.compress(SVG)),
        ("text/plain", HTML),
        ("text/plain", b"%PDF-1.7 is how such files begin"),
        ("image/png", b"hello"),
        ("image/png", b""),
        ("image/heic", b"\0\0\0\x20ftypisom\0\0\2\0"),
    ],
)
def test_what_can_be_true_is_taken(declared: str, head: bytes) -> None:
    ContentPolicy().check_declared(declared)
    ContentPolicy().check_content(declared, head)


@pytest.mark.parametrize("declared", ["image/png", "IMAGE/JPEG; q=1", "text/plain"])
def test_what_is_allowed_may_be_declared(declared: str) -> None:
    ContentPolicy(allowed=("image/*", "text/plain")).check_declared(declared)


@pytest.mark.parametrize(
    ("policy", "declared"),
    [
        (ContentPolicy(allowed=("image/*", "text/plain")), "text/html"),
        (ContentPolicy(allowed=("image/*",)), "application/octet-stream"),
        (ContentPolicy(blocked=("text/html",)), "Text/HTML ; charset=utf-8"),
        (ContentPolicy(blocked=("video/*",)), "video/x-of-tomorrow"),
        (
            ContentPolicy(blocked=("application/vnd.microsoft.portable-executable",)),
            "application/x-msdownload",
        ),
    ],
)
def test_what_is_not_allowed_may_not_be_declared(policy: ContentPolicy, declared: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        policy.check_declared(declared)
    assert caught.value.code == "content-type-not-allowed"


@pytest.mark.parametrize(
    ("policy", "declared", "head"),
    [
        (ContentPolicy(blocked=("application/x-msdownload",)), "application/octet-stream", EXECUTABLE),
        (ContentPolicy(blocked=("application/x-msdownload",)), "application/vnd.of-tomorrow", EXECUTABLE),
        (ContentPolicy(blocked=("application/zip",)), DOCX, zipped("word/document.xml")),
        (ContentPolicy(blocked=("text/html",)), "text/plain", HTML),
        (ContentPolicy(blocked=("image/svg+xml",)), "application/xml", SVG),
        (ContentPolicy(allowed=("application/octet-stream",)), "application/octet-stream", PNG),
    ],
)
def test_content_that_is_not_allowed_is_refused_whatever_it_is_called(
    policy: ContentPolicy, declared: str, head: bytes
) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        policy.check_content(declared, head)
    assert caught.value.code == "content-type-not-allowed"


def test_a_container_may_be_allowed_by_what_it_holds() -> None:
    ContentPolicy(allowed=(DOCX,)).check_content(DOCX, zipped("word/document.xml"))


@pytest.mark.parametrize("media_range", ["", "image", "*/png", "image/png;q=1", "Image/PNG", "a b/c"])
def test_a_policy_that_cannot_be_meant_is_refused(media_range: str) -> None:
    with pytest.raises(ValueError, match="media type or range"):
        ContentPolicy(allowed=(media_range,))


def test_a_name_stands_once_in_the_table() -> None:
    names = [name for kind in KINDS for name in kind.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("piece", [b"<!--a-->", b"<!--", b" ", b"<?xml?>", b"<!doctype ", b"\xef\xbb\xbf"])
def test_no_content_is_slow_to_tell(piece: bytes) -> None:
    sniffed(b"x")  # loads the table of magic
    started = time.perf_counter()
    sniffed((piece * HEAD_BYTES)[:HEAD_BYTES])
    assert time.perf_counter() - started < 0.25
