from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import ClientDisconnect

from shared.adapters.memory import MemoryBlobs
from shared.errors import UnavailableError
from shared.files.file import FileStatus
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, body_of
from tests.unit.web.shelf import Shelf, answer, sent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TAG = f'"{SHA256}"'


async def full_shelf(**changes: Any) -> Shelf:
    shelf = Shelf()
    await shelf.put(CONTENT, **({"sha256": SHA256} | changes))
    return shelf


async def test_the_whole_file_is_sent_with_all_that_is_known_of_it() -> None:
    shelf = await full_shelf()
    response = await shelf.read()
    assert response.status_code == 200
    assert await sent(response) == CONTENT
    assert dict(response.headers) == {
        "etag": TAG,
        "last-modified": "Sun, 01 Mar 2026 11:59:59 GMT",
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "content-length": str(len(CONTENT)),
        "content-type": "application/pdf",
        "content-disposition": "attachment; filename=\"resume.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf",
        "repr-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }


async def test_a_range_is_sent_with_its_place_in_the_whole() -> None:
    shelf = await full_shelf()
    response = await shelf.read(headers={"range": "bytes=1000-1999", "if-range": TAG})
    assert (response.status_code, await sent(response)) == (206, CONTENT[1000:2000])
    assert response.headers["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert response.headers["content-length"] == "1000"


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-1,5-6"},
        {"range": "lines=1-2"},
        {"range": "bytes=0-1", "if-range": '"old"'},
        {"range": "bytes=0-1", "if-range": "Sun, 01 Mar 2026 11:59:59 GMT"},
    ],
)
async def test_a_range_that_cannot_be_served_is_the_whole(headers: dict[str, str]) -> None:
    shelf = await full_shelf()
    response = await shelf.read(headers=headers)
    assert (response.status_code, await sent(response)) == (200, CONTENT)


async def test_a_range_beyond_the_end_is_refused_with_the_size() -> None:
    shelf = await full_shelf()
    response = await shelf.read(headers={"range": f"bytes={len(CONTENT)}-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert body_of(response)["type"] == "/api/problems/range-not-satisfiable"


async def test_head_tells_the_size_and_reads_nothing() -> None:
    shelf = await full_shelf()
    del shelf.blobs.contents[f"{sample.OWNER}/{sample.FILE_ID}"]
    response = await shelf.read(method="HEAD", headers={"range": "bytes=0-1"})
    assert (response.status_code, response.headers["content-length"]) == (200, str(len(CONTENT)))


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"if-none-match": TAG}, 304), ({"if-none-match": '"old"'}, 200), ({"if-match": '"old"'}, 412)],
)
async def test_conditions_are_honoured(headers: dict[str, str], status: int) -> None:
    shelf = await full_shelf()
    response = await shelf.read(headers=headers)
    assert response.status_code == status
    if status == 304:
        assert response.headers["etag"] == TAG
        assert await sent(response) == b""


async def test_an_empty_file_is_sent_as_one() -> None:
    shelf = Shelf()
    await shelf.put(b"")
    response = await shelf.read()
    assert (response.status_code, response.headers["content-length"], await sent(response)) == (200, "0", b"")


@pytest.mark.parametrize("status", [FileStatus.REJECTED, FileStatus.DELETED])
async def test_only_published_files_have_content(status: FileStatus) -> None:
    shelf = await full_shelf(status=status)
    assert (await shelf.read()).status_code == 404


async def test_another_owner_has_no_such_file() -> None:
    shelf = await full_shelf()
    assert (await shelf.read(owner="f" * 32)).status_code == 404


async def test_an_expired_file_has_no_content_before_any_sweep() -> None:
    shelf = await full_shelf(expires_at=sample.NOW)
    assert (await shelf.read()).status_code == 404


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/png", "inline"),
        ("Text/Plain; charset=utf-8", "inline"),
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/pdf", "attachment"),
    ],
)
async def test_only_harmless_types_are_shown_in_the_browser(content_type: str, kind: str) -> None:
    shelf = await full_shelf(content_type=content_type)
    response = await shelf.read("disposition=inline")
    assert response.headers["content-disposition"].startswith(f"{kind}; ")
    assert response.headers["content-type"] == content_type
    assert (await shelf.read()).headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ('a"; b="c.txt', "a_; b=_c.txt", "a%22%3B%20b%3D%22c.txt"),
        ("100%25.txt", "100_25.txt", "100%2525.txt"),
        ("Ølé ✓.txt", "_le _.txt", "%C3%98l%C3%A9%20%E2%9C%93.txt"),
        ("it's (1)*.txt", "it's (1)*.txt", "it%27s%20%281%29%2A.txt"),
    ],
)
async def test_no_name_breaks_out_of_its_header_field(name: str, plain: str, extended: str) -> None:
    shelf = await full_shelf(name=name)
    field = (await shelf.read()).headers["content-disposition"]
    assert field == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


async def test_a_redirect_leads_to_a_short_lived_url_that_answers_the_same() -> None:
    shelf = await full_shelf()
    response = await shelf.read("redirect=true")
    assert (response.status_code, response.headers["cache-control"]) == (302, "no-store")
    location = response.headers["location"]
    assert location.startswith(
        f"https://blobs.invalid/{sample.OWNER}/{sample.FILE_ID}?sp=r&se=2026-03-01T12%3A05"
    )
    assert "rsct=application%2Fpdf" in location
    assert "rscd=attachment%3B" in location


@pytest.mark.parametrize("query", ["redirect=yes", "disposition=page", "redirect=true&redirect=true"])
async def test_a_query_that_cannot_be_meant_is_refused_by_name(query: str) -> None:
    shelf = await full_shelf()
    problem = body_of(await shelf.read(query))
    assert problem["type"] == "/api/problems/invalid-query"
    assert query.partition("=")[0] in problem["detail"]


class FailingBlobs(MemoryBlobs):
    """Brings a number of pieces of a file and then fails; knows whether the read was ended."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self._pieces = pieces
        self.asked = 0
        self.ended = False

    async def read(
        self, name: str, *, offset_bytes: int = 0, size_bytes: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        try:
            for _ in range(self._pieces):
                self.asked += 1
                yield b"x" * 10
            raise UnavailableError("Blob Storage does not answer.")
        finally:
            self.ended = True


async def test_a_store_that_fails_at_once_is_a_clean_answer() -> None:
    shelf = Shelf(blobs=FailingBlobs(0))
    await shelf.put(CONTENT)
    assert (await shelf.read()).status_code == 503


async def test_a_store_that_fails_in_the_middle_breaks_the_connection() -> None:
    shelf = Shelf(blobs=FailingBlobs(3))
    await shelf.put(CONTENT)
    response = await shelf.read()
    assert response.status_code == 200
    with pytest.raises(UnavailableError):
        await sent(response)


async def test_nothing_is_read_ahead_of_a_slow_client_and_the_read_ends_with_it() -> None:
    blobs = FailingBlobs(100)
    shelf = Shelf(blobs=blobs)
    await shelf.put(CONTENT)
    response = await shelf.read()
    parts = 0

    async def send(message: Any) -> None:
        nonlocal parts
        if message["type"] == "http.response.body":
            parts += 1
            assert blobs.asked <= parts
            if parts == 5:
                raise OSError("the client is gone")

    with pytest.raises(ClientDisconnect):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, Client().receive, send)
    assert (parts, blobs.ended) == (5, True)


async def test_a_blob_that_is_not_there_is_no_file() -> None:
    shelf = await full_shelf()
    await shelf.blobs.delete(f"{sample.OWNER}/{sample.FILE_ID}")
    assert (await answer(shelf.content.get_content, file_id=sample.FILE_ID)).status_code == 404
