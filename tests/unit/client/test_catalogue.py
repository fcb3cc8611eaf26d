"""Finding, changing, deleting and sharing files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from dropbell import files, share_links
from dropbell.errors import InputError, ProblemError, UnexpectedAnswerError
from tests.unit.client.fake_api import FILE_ID, file_json

if TYPE_CHECKING:
    from dropbell.connection import Connection
    from dropbell.file import File
    from tests.unit.client.fake_api import FakeApi


@pytest.fixture
def file(connection: Connection, api: FakeApi) -> File:
    return files.show(connection, api.catalogue.add("a.txt", "text/plain", b"ring"))


@pytest.mark.parametrize("bad_id", ["", "..", "a/b", "a?b"])
def test_what_is_no_id_never_becomes_a_path(connection: Connection, api: FakeApi, bad_id: str) -> None:
    for act in (
        lambda: files.delete(connection, bad_id),
        lambda: share_links.share(connection, bad_id, timedelta(hours=1)),
        lambda: list(share_links.shares(connection, bad_id)),
        lambda: share_links.unshare(connection, FILE_ID, bad_id),
    ):
        with pytest.raises(InputError, match="is not a"):
            act()
    assert api.received == []


def test_a_change_by_someone_else_is_not_overwritten(connection: Connection, file: File) -> None:
    files.edit(connection, file, {"name": "theirs.txt"})
    with pytest.raises(ProblemError, match="changed by someone else meanwhile; read it again") as caught:
        files.edit(connection, file, {"name": "mine.txt"})
    assert caught.value.status == 412
    assert files.show(connection, file.id).name == "theirs.txt"


def test_a_file_changed_by_someone_else_is_not_deleted(connection: Connection, file: File) -> None:
    files.edit(connection, file, {"name": "theirs.txt"})
    with pytest.raises(ProblemError, match="changed by someone else meanwhile; look at it again"):
        files.delete(connection, file.id, unchanged_since=file)
    files.delete(connection, file.id)
    with pytest.raises(ProblemError, match="no such file"):
        files.show(connection, file.id)


def test_without_an_etag_there_is_no_change(connection: Connection, api: FakeApi) -> None:
    nameless = files.File.from_json(file_json(etag=None))
    with pytest.raises(UnexpectedAnswerError, match="no ETag"):
        files.edit(connection, nameless, {"name": "x"})
    assert api.received == []


def test_a_merge_patch_sets_and_removes(connection: Connection, api: FakeApi, file: File) -> None:
    file = files.edit(connection, file, {"name": "b.txt", "labels": {"project": "apollo", "old": "x"}})
    file = files.edit(connection, file, {"labels": {"old": None}})
    assert (file.name, file.labels) == ("b.txt", {"project": "apollo"})
    assert api.received[-1].headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(api.received[-1].body) == {"labels": {"old": None}}


def test_purging_is_asked_for_by_name(connection: Connection, api: FakeApi, file: File) -> None:
    files.delete(connection, file.id, purge=True, unchanged_since=file)
    assert api.received[-1].query == "purge=true"
    assert api.received[-1].headers["If-Match"] == file.etag


@pytest.mark.parametrize(
    ("limit", "count", "pages"), [(None, 250, 3), (5, 5, 1), (100, 100, 1), (101, 101, 2)]
)
def test_files_are_found_page_by_page_and_not_further_than_wanted(
    connection: Connection, api: FakeApi, limit: int | None, count: int, pages: int
) -> None:
    for number in range(250):
        api.catalogue.add(f"{number}.txt", "text/plain", b"")
    found = list(files.find(connection, limit=limit))
    assert [file.name for file in found] == [f"{249 - number}.txt" for number in range(count)]
    assert len(api.received) == pages


def test_every_page_is_asked_for_with_the_same_filter(connection: Connection, api: FakeApi) -> None:
    for number in range(101):
        api.catalogue.add(f"ring & bell {number}", "text/plain", b"")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    which = files.Filter("stored", "text/plain", "ring & bell", moment, moment + timedelta(days=1))
    assert len(list(files.find(connection, which))) == 101
    queries = [parse_qs(request.query) for request in api.received]
    assert queries[1].pop("cursor") == ["100"]
    assert queries == 2 * [
        {
            "limit": ["100"],
            "status": ["stored"],
            "content_type": ["text/plain"],
            "name_prefix": ["ring & bell"],
            "created_after": ["2026-01-02T03:04:05Z"],
            "created_before": ["2026-01-03T03:04:05Z"],
        }
    ]


def test_a_link_is_made_listed_and_revoked(connection: Connection, file: File) -> None:
    before = datetime.now(UTC)
    link = share_links.share(connection, file.id, timedelta(hours=2))
    assert link.expires_at is not None
    assert timedelta(0) <= link.expires_at - before - timedelta(hours=2) < timedelta(minutes=1)
    assert list(share_links.shares(connection, file.id)) == [link]
    share_links.unshare(connection, file.id, link.id)
    assert list(share_links.shares(connection, file.id)) == []
    with pytest.raises(ProblemError, match="no such link"):
        share_links.unshare(connection, file.id, link.id)


def test_a_link_does_not_show_itself_by_accident(connection: Connection, file: File) -> None:
    link = share_links.share(connection, file.id, timedelta(hours=2))
    assert link.url == "https://dropbell.example/s/0"
    assert "https://" not in repr(link)
