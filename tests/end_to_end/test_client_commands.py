"""The client against the whole stack: every way in, the catalogue, the way out."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dropbell import files
from dropbell.command_line import ExitCode, main
from dropbell.connection import Connection
from dropbell.errors import ProblemError
from dropbell.journal import Journal
from dropbell.resumable import upload_resumably
from dropbell.retrying import Backoff
from dropbell.sign_in import FixedToken
from dropbell.source import opened
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.running_stack import RunningStack

    Run = Callable[..., list[dict[str, Any]]]

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
PART_BYTES = 1024 * 1024


@pytest.fixture
def run(stack: RunningStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as Alice; gives the JSON that it printed, or the error."""
    environment = {
        "DROPBELL_API": stack.addresses["api"],
        "DROPBELL_TOKEN": stack.token(user="alice"),
        "DROPBELL_CONFIG_DIR": str(tmp_path / "config"),
        "DROPBELL_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run(*arguments: str, code: ExitCode = ExitCode.OK) -> list[dict[str, Any]]:
        ended = main([*arguments, "--json"], environment)
        output = capsys.readouterr()
        assert ended == code, output.err
        return [json.loads(line) for line in (output.out or output.err).splitlines()]

    return run


@pytest.fixture
def connection(stack: RunningStack) -> Iterator[Connection]:
    with Connection(stack.addresses["api"], FixedToken(stack.token(user="alice"))) as connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tower bell ✓.wav"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("way", ["--no-resumable", "--resumable", "--direct"])
def test_what_goes_in_comes_out(run: Run, path: Path, tmp_path: Path, way: str) -> None:
    (file,) = run("put", str(path), way, "--content-type", "audio/wav")
    assert (file["name"], file["content_type"], file["size_bytes"]) == (path.name, "audio/wav", len(CONTENT))
    (tmp_path / "out").mkdir()
    run("get", file["id"], "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / path.name).read_bytes() == CONTENT
    run("get", file["id"], "-o", str(tmp_path / "end"), "--range", "-100")
    assert (tmp_path / "end").read_bytes() == CONTENT[-100:]


def test_a_larger_file_goes_in_parts_by_itself(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(33 * 1024 * 1024))
    (file,) = run("put", str(path))
    assert file["size_bytes"] == path.stat().st_size


def test_an_upload_that_was_stopped_is_gone_on_with(
    connection: Connection, path: Path, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        """Ends the first upload in the middle of its second part."""

    def stop(sent_bytes: int, total_bytes: int | None) -> None:
        if sent_bytes > 1.5 * PART_BYTES:
            raise StoppedError

    told: list[int] = []
    journal = Journal(tmp_path / "cache")
    with opened(path, on_progress=stop) as source, pytest.raises(StoppedError):
        upload_resumably(connection, source, journal, part_bytes=PART_BYTES)
    with opened(path, on_progress=lambda sent, total: told.append(sent)) as source:
        file = upload_resumably(connection, source, journal, part_bytes=PART_BYTES)
    assert told[0] >= PART_BYTES
    assert file.size_bytes == len(CONTENT)


def test_a_token_that_ends_under_way_costs_nothing(stack: RunningStack, path: Path) -> None:
    class EndingSoon:
        """Its tokens are refused from the third request on, until it is told to get another."""

        def __init__(self) -> None:
            self.refreshes = 0
            self._calls = itertools.count()

        def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
            self.refreshes += force_refresh
            is_good = next(self._calls) < 2 or self.refreshes
            return stack.token(user="alice") if is_good else "ended"

    sign_in = EndingSoon()
    with (
        Connection(stack.addresses["api"], sign_in, backoff=Backoff((0.1,))) as connection,
        opened(path) as source,
    ):
        file = upload_resumably(connection, source, part_bytes=PART_BYTES)
    assert (file.size_bytes, sign_in.refreshes) == (len(CONTENT), 1)


def test_the_catalogue_by_command(run: Run, path: Path) -> None:
    (file,) = run("put", str(path), "--name", f"catalogue {os.urandom(4).hex()}")
    listed = run("ls", "--prefix", file["name"], "--since", "1h", "--type", file["content_type"])
    assert [each["id"] for each in listed] == [file["id"]]
    (edited,) = run("edit", file["id"], "--label", "project=apollo", "--expires-at", "7d")
    assert edited["labels"] == {"project": "apollo"}
    (edited,) = run("edit", file["id"], "--remove-label", "project", "--expires-at", "never")
    assert (edited["labels"], edited["expires_at"]) == ({}, None)
    run("rm", file["id"], "--if-unchanged")
    run("get", file["id"], code=ExitCode.REFUSED)
    assert [each["id"] for each in run("ls", "--status", "deleted", "--prefix", file["name"])] == [file["id"]]


def test_a_change_by_somebody_else_is_noticed(connection: Connection, path: Path) -> None:
    seen = files.upload(connection, path)
    files.edit(connection, seen, {"name": "theirs"})
    with pytest.raises(ProblemError, match="changed by someone else meanwhile"):
        files.edit(connection, seen, {"name": "mine"})
    with pytest.raises(ProblemError, match="changed by someone else meanwhile"):
        files.delete(connection, seen.id, unchanged_since=seen)


def test_a_share_link_works_until_it_is_revoked(run: Run, path: Path) -> None:
    (file,) = run("put", str(path))
    (link,) = run("share", file["id"], "--for", "1h")
    assert [each["id"] for each in run("shares", file["id"])] == [link["id"]]
    assert requests.get(link["url"], timeout=HTTP_TIMEOUT_SECONDS).content == CONTENT
    run("unshare", file["id"], link["id"])
    assert requests.get(link["url"], timeout=HTTP_TIMEOUT_SECONDS).status_code == 410
