"""Uploads in parts: what breaks on the way, first, then what arrives."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell import files
from dropbell.body import Body, RunningDigest
from dropbell.connection import Connection
from dropbell.errors import (
    ConnectionFailedError,
    DamagedContentError,
    InputError,
    ProblemError,
    UnexpectedAnswerError,
)
from dropbell.journal import Journal
from dropbell.resumable import MAX_CONFLICTS, MAX_RESTARTS, PART_BYTES, upload_resumably
from dropbell.retrying import Backoff
from dropbell.sign_in import FixedToken
from dropbell.source import opened
from tests.unit.client.conftest import NO_WAITING
from tests.unit.client.fake_api import TOKEN, FakeApi, problem
from tests.unit.client.fake_uploads import Upload, dropped

if TYPE_CHECKING:
    from pathlib import Path

    from dropbell.file import File

CONTENT = os.urandom(1_000_000)
PART = 300_000


def upload(
    connection: Connection,
    source: Path | bytes = CONTENT,
    journal: Journal | None = None,
    told: list[int] | None = None,
) -> File:
    def tell(sent_bytes: int, total_bytes: int | None) -> None:
        if told is not None:
            told.append(sent_bytes)

    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with opened(stream, "Grüße.bin", "audio/wav", tell) as opened_source:
        return upload_resumably(connection, opened_source, journal, part_bytes=PART)


async def unavailable(request: web.Request) -> web.StreamResponse:
    return problem(503, "Temporarily unavailable", "Come back.", **{"Retry-After": "0"})


def stored(api: FakeApi, file: File) -> bytes:
    return api.catalogue.files[file.id].content


def test_a_pipe_is_refused_before_anything_is_sent(connection: Connection, api: FakeApi) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with (
        open(read_end, "rb") as stream,  # noqa: PTH123 - a file descriptor, not a path
        pytest.raises(InputError, match="only once"),
    ):
        files.upload(connection, stream, "a.bin", way=files.Way.RESUMABLE)
    assert api.received == []


def test_a_wrong_address_is_told_at_once(closed_port: int) -> None:
    pauses: list[float] = []
    address = f"http://127.0.0.1:{closed_port}"
    with (
        Connection(address, FixedToken(TOKEN), backoff=Backoff((9.0,), pauses.append)) as other,
        pytest.raises(ConnectionFailedError, match="Could not connect"),
    ):
        upload(other)
    assert pauses == []


@pytest.mark.parametrize("tenth", range(10))
def test_a_connection_cut_at_any_tenth_loses_nothing(
    connection: Connection, api: FakeApi, tenth: int
) -> None:
    whole_parts, within_part = divmod(len(CONTENT) * tenth // 10, PART)
    api.at["PATCH", whole_parts] = api.uploads.cut_after(within_part)
    assert stored(api, upload(connection)) == CONTENT
    assert api.uploads.creations == 1


@pytest.mark.parametrize("part", range(4))
def test_a_lost_answer_costs_nothing(connection: Connection, api: FakeApi, part: int) -> None:
    api.at["PATCH", part] = api.uploads.lose_answer()
    assert stored(api, upload(connection)) == CONTENT
    assert sum(len(request.body) for request in api.received) < len(CONTENT)
    assert len(api.catalogue.files) == 1


def test_an_upload_whose_creation_was_not_answered_is_created_again(
    connection: Connection, api: FakeApi
) -> None:
    api.at["POST", 0] = api.uploads.lose_answer()
    assert stored(api, upload(connection)) == CONTENT
    assert api.uploads.creations == 2


def test_a_network_that_stays_away_is_told_in_the_end(connection: Connection, api: FakeApi) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        return dropped(request)

    api.at[("PATCH", 0)] = gone
    for number in range(4):
        api.at["HEAD", number] = gone
    with pytest.raises(ConnectionFailedError):
        upload(connection)
    assert api.seen["HEAD"] == len(NO_WAITING.delays_seconds)


def test_a_service_that_is_busy_is_waited_for(connection: Connection, api: FakeApi) -> None:
    api.at["POST", 0] = api.at["PATCH", 1] = api.at["HEAD", 0] = unavailable
    assert stored(api, upload(connection)) == CONTENT


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_the_service_no_longer_has_is_begun_anew(
    connection: Connection, api: FakeApi, status: int
) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        api.uploads.uploads.clear()
        return problem(status, "Gone", "The upload has expired.")

    api.at["PATCH", 2] = gone
    assert stored(api, upload(connection)) == CONTENT
    assert api.uploads.creations == 2


def test_an_upload_that_is_always_lost_is_given_up(connection: Connection, api: FakeApi) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        return problem(410, "Gone", "The upload has expired.")

    for number in range(MAX_RESTARTS + 1):
        api.at["PATCH", number] = gone
    with pytest.raises(ProblemError, match="has expired"):
        upload(connection)
    assert api.uploads.creations == MAX_RESTARTS + 1


def test_after_a_conflict_the_service_is_asked_how_far_it_is(connection: Connection, api: FakeApi) -> None:
    async def overtaken(request: web.Request) -> web.StreamResponse:
        (other,) = api.uploads.uploads.values()
        other.content = CONTENT[: 2 * PART + 17]
        return problem(409, "Conflict", "Another request writes to this upload.")

    api.at["PATCH", 1] = overtaken
    assert stored(api, upload(connection)) == CONTENT
    offsets = [int(each.headers["Upload-Offset"]) for each in api.received if each.method == "PATCH"]
    assert offsets == [0, 2 * PART + 17, 3 * PART + 17]


def test_another_writer_that_never_gives_way_ends_it(connection: Connection, api: FakeApi) -> None:
    async def overtaken(request: web.Request) -> web.StreamResponse:
        (other,) = api.uploads.uploads.values()
        other.content = CONTENT[: len(other.content) + 1000]
        return problem(409, "Conflict", "Another request writes to this upload.")

    for number in range(MAX_CONFLICTS + 1):
        api.at["PATCH", number] = overtaken
    with pytest.raises(ProblemError, match="Another request writes"):
        upload(connection)


def test_a_part_that_arrived_damaged_is_sent_again(connection: Connection, api: FakeApi) -> None:
    async def damaged(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return problem(460, "Checksum mismatch", "Other bytes were sent.")

    api.at["PATCH", 1] = damaged
    assert stored(api, upload(connection)) == CONTENT


def test_a_token_that_ends_under_way_is_renewed_without_losing_a_byte(api: FakeApi) -> None:
    class Renewing:
        refreshes = 0

        def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
            self.refreshes += force_refresh
            return f"token-{self.refreshes}"

    async def token_ended(request: web.Request) -> web.StreamResponse:
        (taken,) = api.uploads.uploads.values()
        taken.content += await request.content.readexactly(1000)
        api.tokens = {"token-1"}
        return problem(401, "Token expired", "The token has expired.")

    api.tokens = {"token-0"}
    api.at["PATCH", 1] = token_ended
    sign_in = Renewing()
    with Connection(api.url, sign_in, backoff=NO_WAITING) as connection:
        assert stored(api, upload(connection)) == CONTENT
    assert sign_in.refreshes == 1


def test_a_refused_file_is_not_sent_again_and_again(
    connection: Connection, api: FakeApi, tmp_path: Path
) -> None:
    async def too_large(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return problem(413, "Too large", "There is no room left.")

    api.at["PATCH", 1] = too_large
    journal, path = Journal(tmp_path / "cache"), tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    with pytest.raises(ProblemError, match="no room left"):
        upload(connection, path, journal)
    assert api.seen["PATCH"] == 2
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_upload_that_is_complete_but_no_file_is_finished_by_an_empty_part(
    connection: Connection, api: FakeApi
) -> None:
    async def all_but_the_end(request: web.Request) -> web.StreamResponse:
        (taken,) = api.uploads.uploads.values()
        taken.content += await request.content.read()
        return dropped(request)

    api.at["PATCH", 3] = all_but_the_end
    assert stored(api, upload(connection)) == CONTENT
    assert api.received[-2].body == b""


def test_a_stored_file_with_other_bytes_is_an_error(connection: Connection, api: FakeApi) -> None:
    async def mixed(request: web.Request) -> web.StreamResponse:
        (taken,) = api.uploads.uploads.values()
        taken.content = bytes(len(taken.content))
        return dropped(request)

    api.at["PATCH", 2] = mixed
    with pytest.raises(DamagedContentError, match="is not what was sent"):
        upload(connection)


@pytest.mark.parametrize(
    "headers", [{}, {"Upload-Offset": "x"}, {"Upload-Offset": "-1"}, {"Upload-Offset": "1"}]
)
def test_an_answer_without_a_sensible_offset_is_refused(
    connection: Connection, api: FakeApi, headers: dict[str, str]
) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return web.Response(status=204, headers=headers)

    api.at["PATCH", 1] = other
    with pytest.raises(UnexpectedAnswerError):
        upload(connection)


@pytest.mark.parametrize("location", ["", "https://elsewhere.example/steal", "/api/v1/uploads/../files/f1"])
def test_the_token_follows_no_location_outside_of_the_api(
    connection: Connection, api: FakeApi, location: str
) -> None:
    async def created(request: web.Request) -> web.StreamResponse:
        return web.Response(status=201, headers={"Location": location})

    api.at["POST", 0] = created
    with pytest.raises(UnexpectedAnswerError, match="outside of its API"):
        upload(connection)


def test_an_empty_file_is_uploaded(connection: Connection, api: FakeApi) -> None:
    assert stored(api, upload(connection, b"")) == b""


def test_parts_are_checked_named_and_told(connection: Connection, api: FakeApi) -> None:
    told: list[int] = []
    file = upload(connection, told=told)
    assert (file.name, file.content_type, file.sha256) == (
        "Grüße.bin",
        "audio/wav",
        hashlib.sha256(CONTENT).hexdigest(),
    )
    assert [len(request.body) for request in api.received] == [0, PART, PART, PART, 100_000, 0]
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)


def test_above_32_mebibytes_a_file_goes_in_parts_by_itself(
    connection: Connection, api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as stream:
        stream.truncate(PART_BYTES + 1)
    files.upload(connection, path)
    assert [request.method for request in api.received] == ["POST", "PATCH", "PATCH", "GET"]
    files.upload(connection, path, way=files.Way.ONE_REQUEST)
    assert api.received[-1].path.endswith("/files")


class TestAnotherProcess:
    """What is remembered on disk, and when it is not believed."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Journal:
        return Journal(tmp_path / "cache")

    @pytest.fixture
    def path(self, tmp_path: Path, connection: Connection, api: FakeApi, journal: Journal) -> Path:
        """A file of which two parts and a bit were uploaded by a process that was stopped."""
        path = tmp_path / "a.bin"
        path.write_bytes(CONTENT)

        api.at["PATCH", 2] = api.uploads.cut_after(1000)
        impatient = Connection(api.url, FixedToken(TOKEN), backoff=Backoff(()))
        with impatient, pytest.raises(ConnectionFailedError):
            upload(impatient, path, journal)
        api.received.clear()
        return path

    def test_it_goes_on_where_the_first_one_stopped(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path
    ) -> None:
        assert stored(api, upload(connection, path, journal)) == CONTENT
        assert api.uploads.creations == 1
        assert [len(request.body) for request in api.received] == [0, PART, 99_000, 0]

    def test_a_finished_upload_is_forgotten(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path
    ) -> None:
        first, second = (upload(connection, path, journal) for _ in range(2))
        assert first.id != second.id

    def test_an_upload_that_was_finished_unnoticed_is_found(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path
    ) -> None:
        (taken,) = api.uploads.uploads.values()
        taken.content = CONTENT
        api.uploads._finish(taken)
        assert stored(api, upload(connection, path, journal)) == CONTENT
        assert [request.method for request in api.received] == ["HEAD", "GET"]

    def test_a_changed_file_is_another_upload(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path
    ) -> None:
        changed = bytes(len(CONTENT))
        path.write_bytes(changed)
        os.utime(path, ns=(0, 0))
        assert stored(api, upload(connection, path, journal)) == changed

    def test_a_change_that_does_not_show_is_found_by_the_digest(
        self, connection: Connection, journal: Journal, path: Path
    ) -> None:
        before = path.stat()
        path.write_bytes(bytes(len(CONTENT)))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(DamagedContentError):
            upload(connection, path, journal)

    @pytest.mark.parametrize("note", ["", "{", "[]", '{"upload_url": 7}', "\x00"])
    def test_a_damaged_note_is_as_good_as_none(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path, tmp_path: Path, note: str
    ) -> None:
        (entry,) = (tmp_path / "cache").iterdir()
        entry.write_text(note)
        assert stored(api, upload(connection, path, journal)) == CONTENT
        assert api.uploads.creations == 2

    def test_an_upload_of_another_length_is_not_gone_on_with(
        self, connection: Connection, api: FakeApi, journal: Journal, path: Path
    ) -> None:
        (name,) = api.uploads.uploads
        api.uploads.uploads[name] = Upload("a.bin", "audio/wav", 5)
        assert stored(api, upload(connection, path, journal)) == CONTENT

    def test_a_directory_that_cannot_be_written_costs_only_the_resuming(
        self, connection: Connection, api: FakeApi, path: Path
    ) -> None:
        blocked = Journal(path / "a file is no directory")
        assert stored(api, upload(connection, path, blocked)) == CONTENT

    def test_old_notes_are_removed(
        self, connection: Connection, journal: Journal, path: Path, tmp_path: Path
    ) -> None:
        (entry,) = (tmp_path / "cache").iterdir()
        os.utime(entry, (0, 0))
        with opened(path, "other.bin") as source:
            journal.entry(connection, source)
        assert not entry.exists()


@pytest.mark.parametrize("parts", [[(0, 10)], [(0, 3), (3, 10)], [(4, 6)], [(0, 6), (2, 5), (5, 10)], []])
def test_the_digest_of_the_whole_does_not_depend_on_the_parts_read(parts: list[tuple[int, int]]) -> None:
    content = b"0123456789"
    digest = RunningDigest(Body(io.BytesIO(content)))
    for start, end in parts:
        assert digest.of_part(start, end) == hashlib.sha256(content[start:end]).digest()
    assert digest.of_whole() == hashlib.sha256(content).hexdigest()
