"""Downloads: cut, changed and damaged ones first."""

from __future__ import annotations

import dataclasses
import io
import random
import stat
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell import files
from dropbell.connection import Connection
from dropbell.download import download_range
from dropbell.errors import (
    ConnectionFailedError,
    DamagedContentError,
    InputError,
    ProblemError,
    UnexpectedAnswerError,
)
from dropbell.file_name import MAX_NAME_BYTES, safe_file_name
from dropbell.new_file import new_file
from tests.unit.client.conftest import NO_WAITING
from tests.unit.client.fake_api import TOKEN, FakeApi, problem
from tests.unit.client.fake_catalogue import cut_after
from tests.unit.client.fake_uploads import dropped

if TYPE_CHECKING:
    from pathlib import Path

    from dropbell.file import File

CONTENT = random.Random(36).randbytes(1_000_000)


@pytest.fixture
def file(connection: Connection, api: FakeApi) -> File:
    """A stored file; the GET that told of it is the first."""
    return files.show(connection, api.catalogue.add("a.bin", "audio/wav", CONTENT))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A path in a directory of its own."""
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads" / "a.bin"


def etag(api: FakeApi, connection: Connection, file: File) -> str:
    with connection.request("GET", f"/files/{file.id}/content", headers={"Range": "bytes=0-0"}) as answer:
        return answer.headers["ETag"]


def test_what_exists_is_not_overwritten(
    connection: Connection, api: FakeApi, file: File, target: Path
) -> None:
    target.write_text("mine")
    with pytest.raises(InputError, match="exists; use --force"):
        files.download(connection, file, target)
    assert target.read_text() == "mine"
    assert len(api.received) == 1  # no byte of it was asked for


def test_what_appears_meanwhile_is_not_overwritten(connection: Connection, file: File, target: Path) -> None:
    def appear(received_bytes: int, total_bytes: int | None) -> None:
        target.write_text("mine")

    with pytest.raises(InputError, match="exists"):
        files.download(connection, file, target, on_progress=appear)
    assert target.read_text() == "mine"
    assert list(target.parent.iterdir()) == [target]


def test_a_link_that_leads_nowhere_is_not_written_through(
    connection: Connection, file: File, target: Path, tmp_path: Path
) -> None:
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="exists"):
        files.download(connection, file, target)
    files.download(connection, file, target, overwrite=True)
    assert not target.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["no/such/directory", "a\0b"])
def test_a_target_that_cannot_be_written_is_told(
    connection: Connection, file: File, target: Path, name: str
) -> None:
    with pytest.raises(InputError, match=r"cannot be written|is not a path"):
        files.download(connection, file, target / name)


def test_a_full_disk_is_told_and_leaves_nothing(target: Path) -> None:
    with pytest.raises(InputError, match="No space left"), new_file(target):
        raise OSError(28, "No space left on device")
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("tenth", range(11))
def test_a_connection_cut_at_any_tenth_is_resumed(
    connection: Connection, api: FakeApi, file: File, target: Path, tenth: int
) -> None:
    size_bytes = len(CONTENT) * tenth // 10
    tag = etag(api, connection, file)
    api.at["GET", 2] = cut_after(size_bytes, CONTENT + b"more" * (tenth == 10), ETag=tag)
    files.download(connection, file, target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_the_rest_is_asked_for_and_only_of_the_same_content(
    connection: Connection, api: FakeApi, file: File, target: Path
) -> None:
    tag = etag(api, connection, file)
    api.at["GET", 2] = cut_after(600_000, CONTENT, ETag=tag)
    files.download(connection, file, target)
    resumed = api.received[-1].headers
    assert resumed["Range"].startswith("bytes=")
    assert int(resumed["Range"][6:-1]) > 0
    assert resumed["If-Range"] == tag


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}, {"ETag": '"of another content"'}])
def test_without_proof_that_it_is_the_same_content_it_is_fetched_anew(
    connection: Connection, api: FakeApi, file: File, target: Path, headers: dict[str, str]
) -> None:
    api.at["GET", 1] = cut_after(600_000, bytes(len(CONTENT)), **headers)
    files.download(connection, file, target)
    assert target.read_bytes() == CONTENT


def test_what_went_to_a_pipe_cannot_be_taken_back(connection: Connection, api: FakeApi, file: File) -> None:
    class Pipe(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            raise io.UnsupportedOperation

    api.at["GET", 1] = cut_after(600_000, bytes(len(CONTENT)), ETag='"of another content"')
    with pytest.raises(DamagedContentError, match="cannot be taken back"):
        files.download(connection, file, Pipe())


def test_a_network_that_stays_away_leaves_nothing(
    connection: Connection, api: FakeApi, file: File, target: Path
) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        return dropped(request)

    for number in range(1, 5):
        api.at["GET", number] = gone
    with pytest.raises(ConnectionFailedError):
        files.download(connection, file, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("other", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", b""])
def test_content_that_is_not_the_file_s_is_not_kept(
    connection: Connection, api: FakeApi, file: File, target: Path, other: bytes
) -> None:
    api.catalogue.files[file.id].content = other
    target.write_text("the one before")
    with pytest.raises(DamagedContentError, match="is not the file"):
        files.download(connection, file, target, overwrite=True)
    assert target.read_text() == "the one before"
    assert list(target.parent.iterdir()) == [target]


def test_a_part_from_another_place_is_refused(
    connection: Connection, api: FakeApi, file: File, target: Path
) -> None:
    async def misplaced(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Range": f"bytes 0-9/{len(CONTENT)}"}
        return web.Response(status=206, body=CONTENT[:10], headers=headers)

    api.at["GET", 1] = cut_after(600_000, CONTENT, ETag='"x"')
    api.at["GET", 2] = misplaced
    with pytest.raises(UnexpectedAnswerError, match="another place"):
        files.download(connection, file, target)


def test_a_file_deleted_under_way_is_told(
    connection: Connection, api: FakeApi, file: File, target: Path
) -> None:
    async def deleted(request: web.Request) -> web.StreamResponse:
        return problem(404, "Not found", "There is no such file.")

    api.at["GET", 1] = cut_after(600_000, CONTENT)
    api.at["GET", 2] = deleted
    with pytest.raises(ProblemError, match="no such file"):
        files.download(connection, file, target)
    assert list(target.parent.iterdir()) == []


def test_a_token_that_ended_under_way_is_renewed_for_the_rest(
    connection: Connection, api: FakeApi, file: File
) -> None:
    class Renewing:
        refreshes = 0

        def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
            self.refreshes += force_refresh
            return "stale-token" if not self.refreshes else TOKEN

    sign_in, arrived = Renewing(), io.BytesIO()
    api.at["GET", 2] = cut_after(600_000, CONTENT, ETag=etag(api, connection, file))
    with Connection(api.url, sign_in, backoff=NO_WAITING) as renewing:
        files.download(renewing, file, arrived)
    assert (arrived.getvalue(), sign_in.refreshes) == (CONTENT, 1)


def test_an_empty_file_is_downloaded(connection: Connection, api: FakeApi, target: Path) -> None:
    empty = files.show(connection, api.catalogue.add("a.bin", "audio/wav", b""))
    files.download(connection, empty, target)
    assert target.read_bytes() == b""


def test_a_file_without_a_known_digest_is_checked_by_its_size(
    connection: Connection, file: File, target: Path
) -> None:
    files.download(connection, dataclasses.replace(file, sha256=None), target)
    with pytest.raises(DamagedContentError):
        files.download(
            connection, dataclasses.replace(file, sha256=None, size_bytes=7), target, overwrite=True
        )


def test_a_download_is_told_and_has_the_usual_permissions(
    connection: Connection, file: File, target: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    files.download(connection, file, target, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    beside = target.with_name("made-as-usual")
    beside.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


@pytest.mark.parametrize("byte_range", ["", "-", "5", "a-b", "1-2,4-5", "bytes=0-1", "٣-٤"])
def test_what_is_no_range_is_not_sent(connection: Connection, file: File, byte_range: str) -> None:
    with pytest.raises(InputError, match="is not a range"):
        list(download_range(connection, file.id, byte_range))


@pytest.mark.parametrize(
    ("byte_range", "part"), [("0-0", CONTENT[:1]), ("999990-", CONTENT[-10:]), ("-7", CONTENT[-7:])]
)
def test_some_bytes_can_be_had(connection: Connection, file: File, byte_range: str, part: bytes) -> None:
    assert b"".join(download_range(connection, file.id, byte_range)) == part


def test_a_range_beyond_the_end_is_the_service_s_refusal(connection: Connection, file: File) -> None:
    with pytest.raises(ProblemError) as caught:
        list(download_range(connection, file.id, "1000000-"))
    assert caught.value.status == 416


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße 🔔.pdf", "Grüße 🔔.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("~", "the-id"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("a:b*c?", "a_b_c_"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("two\nlines", "two_lines"),
        ("trailing. .", "trailing"),
        ("..", "the-id"),
        ("", "the-id"),
        ("\0", "the-id"),
        ("a/", "the-id"),
    ],
)
def test_a_name_from_elsewhere_is_made_safe(name: str, safe: str) -> None:
    assert safe_file_name(name, "the-id") == safe


def test_a_name_too_long_keeps_its_ending() -> None:
    safe = safe_file_name("ü" * 300 + ".pdf", "the-id")
    assert len(safe.encode()) <= MAX_NAME_BYTES
    assert safe.endswith("ü.pdf")
    assert len(safe_file_name("x." + "y" * 300, "the-id").encode()) <= MAX_NAME_BYTES
