"""Uploading: bad input first, then what reaches the service."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest
from aiohttp import web

from dropbell import files
from dropbell.connection import BODY_TOKEN_SECONDS, Connection
from dropbell.errors import (
    ConnectionFailedError,
    DamagedContentError,
    InputError,
    ProblemError,
    UnexpectedAnswerError,
)
from tests.unit.client.fake_api import CORRELATION_ID, FILE_ID, TOKEN, FakeApi, file_json, peer, problem
from tests.unit.client.fake_uploads import dropped

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1024 * 1024


class RefreshingSignIn:
    """Has a stale token until it is told to get another."""

    def __init__(self) -> None:
        self.refreshes = 0
        self.wanted_seconds: list[float] = []

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
        self.refreshes += force_refresh
        self.wanted_seconds.append(lasting_seconds)
        return TOKEN if self.refreshes else "stale-token"


class FailingStream(io.BytesIO):
    """A file on a disk that fails."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_missing_file_is_refused_before_anything_is_sent(
    connection: Connection, api: FakeApi, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"nothing\.pdf cannot be read: No such file"):
        files.upload(connection, tmp_path / "nothing.pdf")
    assert api.received == []


def test_a_directory_is_refused(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        files.upload(connection, tmp_path)


def test_a_path_with_a_null_byte_is_refused(connection: Connection) -> None:
    with pytest.raises(InputError, match="is not a path"):
        files.upload(connection, "a\0b")


def test_a_failing_disk_is_not_reported_as_a_network_failure(connection: Connection, api: FakeApi) -> None:
    with pytest.raises(InputError, match="Reading failed after 0 bytes: Input/output error"):
        files.upload(connection, FailingStream(b"abc"), "a.bin")
    assert api.received == []


def test_a_file_that_becomes_shorter_while_it_is_sent_is_reported(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * MEBIBYTE)
    with pytest.raises(InputError, match="became shorter"):
        files.upload(connection, path, on_progress=lambda sent, total: os.truncate(path, 0))


def test_a_file_that_grows_is_sent_up_to_its_announced_length(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * MEBIBYTE)

    def grow(sent_bytes: int, total_bytes: int | None) -> None:
        with path.open("ab") as stream:
            stream.write(b"y" * 1000)

    assert files.upload(connection, path, on_progress=grow).size_bytes == MEBIBYTE


def test_a_text_stream_is_refused(connection: Connection) -> None:
    with pytest.raises(InputError, match="binary mode"):
        files.upload(connection, cast("BinaryIO", io.StringIO("text")), "a.txt")


def test_a_stream_without_a_name_is_refused(connection: Connection) -> None:
    with pytest.raises(InputError, match="needs a name"):
        files.upload(connection, io.BytesIO(b"abc"))


@pytest.mark.parametrize("content_type", ["text", "text/plain\r\nX-Evil: 1", "a b/c", "text/plain; x=\n"])
def test_a_content_type_that_is_none_is_refused(connection: Connection, content_type: str) -> None:
    with pytest.raises(InputError, match="is not a media type"):
        files.upload(connection, io.BytesIO(b"abc"), "a.txt", content_type)


@pytest.mark.parametrize("file_id", ["", ".", "..", "a/b", "a?b", "%2e"])
def test_what_is_no_file_id_never_becomes_a_path(connection: Connection, api: FakeApi, file_id: str) -> None:
    with pytest.raises(InputError, match="is not a file id"):
        files.show(connection, file_id)
    assert api.received == []


def test_an_empty_file_is_uploaded(connection: Connection, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    assert files.upload(connection, path).size_bytes == 0
    assert api.received[0].headers["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Grüße 🔔.pdf", "Gr%C3%BC%C3%9Fe%20%F0%9F%94%94.pdf"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ('a"\r\nX-Evil: 1', "a%22%0D%0AX-Evil%3A%201"),
        ("it's(1)*.txt", "it%27s%281%29%2A.txt"),
        ("not-utf8-\udcff", "not-utf8-%EF%BF%BD"),
    ],
)
def test_any_name_travels_encoded(connection: Connection, api: FakeApi, name: str, sent: str) -> None:
    files.upload(connection, io.BytesIO(b"abc"), name)
    assert api.received[0].headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{sent}"


def test_a_file_arrives_whole_with_its_length_type_and_trace(
    connection: Connection, api: FakeApi, tmp_path: Path
) -> None:
    content = os.urandom(3 * MEBIBYTE + 7)
    path = tmp_path / "report.pdf"
    path.write_bytes(content)
    told: list[tuple[int, int | None]] = []
    file = files.upload(connection, path, on_progress=lambda sent, total: told.append((sent, total)))
    request = api.received[0]
    assert request.body == content
    assert request.headers["Content-Length"] == str(len(content))
    assert request.headers["Content-Type"] == "application/pdf"
    assert request.headers["traceparent"].split("-")[1] == file.trace_id
    assert told[-1] == (len(content), len(content))
    assert [sent for sent, _ in told] == sorted({sent for sent, _ in told})
    assert file.name == "report.pdf"


def test_a_stream_is_sent_from_where_it_stands(connection: Connection, api: FakeApi) -> None:
    stream = io.BytesIO(b"header|content")
    stream.seek(7)
    files.upload(connection, stream, "a.bin")
    assert api.received[0].body == b"content"
    assert not stream.closed


def test_a_pipe_is_sent_chunked(connection: Connection, api: FakeApi) -> None:
    read_end, write_end = os.pipe()

    def write() -> None:
        with open(write_end, "wb") as stream:  # noqa: PTH123 - a file descriptor, not a path
            stream.write(b"x" * MEBIBYTE)

    writer = threading.Thread(target=write)
    writer.start()
    with open(read_end, "rb") as stream:  # noqa: PTH123 - a file descriptor, not a path
        files.upload(connection, stream, "a.bin")
    writer.join()
    assert api.received[0].headers["Transfer-Encoding"] == "chunked"
    assert api.received[0].body == b"x" * MEBIBYTE


def test_a_refusal_in_the_middle_of_the_body_is_understood(connection: Connection, api: FakeApi) -> None:
    async def too_large(request: web.Request) -> web.StreamResponse:
        await request.content.readexactly(1000)
        return problem(413, "Too large", "The file is larger than 1 MiB.")

    api.next_answers.append(too_large)
    with pytest.raises(ProblemError, match=r"larger than 1 MiB\.") as caught:
        files.upload(connection, io.BytesIO(bytes(32 * MEBIBYTE)), "big.bin")
    assert (caught.value.status, caught.value.title) == (413, "Too large")
    assert caught.value.correlation_id == CORRELATION_ID
    assert files.upload(connection, io.BytesIO(b"abc"), "small.bin").size_bytes == 3


def test_after_a_401_the_token_is_refreshed_and_the_whole_body_sent_again(api: FakeApi) -> None:
    sign_in = RefreshingSignIn()
    with Connection(api.url, sign_in) as connection:
        files.upload(connection, io.BytesIO(b"x" * MEBIBYTE), "a.bin")
    assert sign_in.refreshes == 1
    assert [len(request.body) for request in api.received] == [MEBIBYTE]


def test_a_401_in_the_middle_of_the_body_is_mended_as_well(api: FakeApi) -> None:
    refused: list[tuple[str, int]] = []

    async def token_ended(request: web.Request) -> web.StreamResponse:
        refused.append(peer(request))
        await request.content.readexactly(1000)
        return problem(401, "Token expired", "The token has expired.")

    api.next_answers.append(token_ended)
    sign_in = RefreshingSignIn()
    content = os.urandom(32 * MEBIBYTE)
    with Connection(api.url, sign_in) as connection:
        files.upload(connection, io.BytesIO(content), "big.bin")
    assert sign_in.refreshes == 1
    assert api.received[0].body == content
    assert api.received[0].peer not in refused  # that connection ends with the rest of the body unread


def test_a_token_must_last_where_a_body_is_streamed_and_only_there(api: FakeApi) -> None:
    sign_in = RefreshingSignIn()
    sign_in.refreshes = 1
    with Connection(api.url, sign_in) as connection:
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")
        files.show(connection, FILE_ID)
    assert sign_in.wanted_seconds == [BODY_TOKEN_SECONDS, 0]


def test_after_a_401_a_pipe_is_not_sent_again(api: FakeApi) -> None:
    sign_in = RefreshingSignIn()
    read_end, write_end = os.pipe()
    os.write(write_end, b"abc")
    os.close(write_end)
    with (
        Connection(api.url, sign_in) as connection,
        open(read_end, "rb") as stream,  # noqa: PTH123 - a file descriptor, not a path
        pytest.raises(ProblemError) as caught,
    ):
        files.upload(connection, stream, "a.bin")
    assert caught.value.status == 401
    assert sign_in.refreshes == 0


def test_a_second_401_is_the_answer(api: FakeApi) -> None:
    api.tokens.clear()
    sign_in = RefreshingSignIn()
    with Connection(api.url, sign_in) as connection, pytest.raises(ProblemError, match="token is not valid"):
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    assert sign_in.refreshes == 1


async def cut(request: web.Request) -> web.StreamResponse:
    """Take the file and break off in the middle of the answer."""
    await request.content.read()
    response = web.StreamResponse(status=201, headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"id": "01')
    return dropped(request)


def test_an_answer_that_is_always_cut_is_a_broken_connection(connection: Connection, api: FakeApi) -> None:
    api.next_answers.extend([cut] * 4)
    with pytest.raises(ConnectionFailedError, match="broke before the answer was complete"):
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    assert api.received == []


def test_after_a_lost_answer_the_file_is_sent_again_under_the_same_key(
    connection: Connection, api: FakeApi
) -> None:
    keys: list[str] = []

    async def note_key_and_cut(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers["Idempotency-Key"])
        return await cut(request)

    async def still_running(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return problem(409, "Conflict", "The first request is still running.")

    api.next_answers.extend([note_key_and_cut, still_running])
    files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    first, second = (request.headers["Idempotency-Key"] for request in api.received)
    assert first == keys[0]
    assert second != first


def test_a_pipe_is_not_sent_again_after_a_lost_answer(connection: Connection, api: FakeApi) -> None:
    api.next_answers.append(cut)
    read_end, write_end = os.pipe()
    os.write(write_end, b"abc")
    os.close(write_end)
    with (
        open(read_end, "rb") as stream,  # noqa: PTH123 - a file descriptor, not a path
        pytest.raises(ConnectionFailedError),
    ):
        files.upload(connection, stream, "a.bin")
    assert api.received == []


def test_a_conflict_at_the_first_attempt_is_the_answer(connection: Connection, api: FakeApi) -> None:
    async def conflict(request: web.Request) -> web.StreamResponse:
        return problem(409, "Conflict", "Somebody else uses this key.")

    api.next_answers.append(conflict)
    with pytest.raises(ProblemError, match="uses this key"):
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")


def test_the_service_can_verify_what_arrives(connection: Connection, api: FakeApi) -> None:
    files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    digest = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    assert api.received[0].headers["Repr-Digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size_bytes": 4}])
def test_a_stored_file_that_is_not_what_was_sent_is_an_error(
    connection: Connection, api: FakeApi, change: dict[str, object]
) -> None:
    async def damaged(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return web.json_response(file_json(**change), status=201)

    api.next_answers.append(damaged)
    with pytest.raises(DamagedContentError, match="is not what was sent"):
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")


@pytest.mark.parametrize(
    "body", [b"<html>a login page</html>", b"[]", b'{"id": 7}', b'{"id": "f", "name": "n"}', b"\xff\xfe\x00"]
)
def test_an_answer_that_is_no_file_is_refused(connection: Connection, api: FakeApi, body: bytes) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        await request.content.read()
        return web.Response(body=body, content_type="application/json")

    api.next_answers.append(other)
    with pytest.raises(UnexpectedAnswerError):
        files.upload(connection, io.BytesIO(b"abc"), "a.bin")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.pdf", "application/pdf"),
        ("a", "application/octet-stream"),
        ("a.csv.gz", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
    ],
)
def test_the_content_type_is_guessed_from_the_ending(name: str, content_type: str) -> None:
    assert files.guess_content_type(name) == content_type


def test_fields_of_a_newer_service_are_kept(connection: Connection, api: FakeApi) -> None:
    async def newer(request: web.Request) -> web.StreamResponse:
        return web.json_response(file_json(colour="red", sha256=None))

    api.next_answers.append(newer)
    file = files.show(connection, "f1")
    assert dict(file.extra) == {"colour": "red"}
    assert file.sha256 is None
