from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import ProblemError
from shared.web.problem import problem_response
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of, request
from tests.unit.web.shelf import Shelf, answer, sent

if TYPE_CHECKING:
    from starlette.responses import Response

PREFIX = f"{sample.PUBLIC_URL}/api/v1/shared/"
JSON = {"content-type": "application/json"}


async def create(shelf: Shelf, body: bytes = b"", **how: Any) -> Response:
    asked = {"file_id": sample.FILE_ID, "headers": JSON} | how
    return await answer(shelf.links.create_share_link, "POST", body, **asked)


async def shared(shelf: Shelf, url: str, *, method: str = "GET", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return await shelf.links.serve(request(method, headers=named, token=url.removeprefix(PREFIX)))
    except ProblemError as error:
        return problem_response(error, correlation_id="correlation-3")


async def shelf_with_file() -> Shelf:
    shelf = Shelf()
    await shelf.put(b"hello")
    return shelf


async def test_a_link_is_answered_with_its_url_and_its_place() -> None:
    shelf = await shelf_with_file()
    response = await create(shelf, b'{"expires_in_seconds": 3600}')
    link = body_of(response)
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/files/{sample.FILE_ID}/share-links/{link['id']}"
    assert link["url"].startswith(PREFIX)
    assert link | {"id": "", "url": ""} == {
        "id": "",
        "url": "",
        "file_id": sample.FILE_ID,
        "created_at": "2026-03-01T12:00:00.000Z",
        "expires_at": "2026-03-01T13:00:00.000Z",
        "revoked_at": None,
    }


@pytest.mark.parametrize(
    ("body", "expires_at"),
    [
        (b"", "2026-03-02T12:00:00.000Z"),
        (b"{}", "2026-03-02T12:00:00.000Z"),
        (b'{"expires_at": "2026-03-01T15:00:00+02:00"}', "2026-03-01T13:00:00.000Z"),
    ],
)
async def test_how_long_a_link_holds(body: bytes, expires_at: str) -> None:
    assert body_of(await create(await shelf_with_file(), body))["expires_at"] == expires_at


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"expires": 1}',
        b'{"expires_at": "tomorrow"}',
        b'{"expires_at": 1900000000}',
        b'{"expires_at": "2026-03-01T11:00:00Z"}',
        b'{"expires_at": "2026-04-01T12:00:00Z"}',
        b'{"expires_at": "2026-03-01T13:00:00"}',
        b'{"expires_in_seconds": 0}',
        b'{"expires_in_seconds": 1.5}',
        b'{"expires_in_seconds": true}',
        b'{"expires_in_seconds": 2592001}',
        b'{"expires_in_seconds": 60, "expires_at": "2026-03-01T13:00:00Z"}',
    ],
)
async def test_a_wish_that_cannot_be_granted_makes_no_link(body: bytes) -> None:
    shelf = await shelf_with_file()
    response = await create(shelf, body)
    assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-body")
    assert not [key for _, key in shelf.memory.rows if key.startswith("share|")]


async def test_who_has_the_link_reads_the_file_like_its_owner() -> None:
    shelf = await shelf_with_file()
    url = body_of(await create(shelf))["url"]
    response = await shared(shelf, url)
    assert (response.status_code, await sent(response)) == (200, b"hello")
    assert response.headers["content-disposition"].startswith("attachment; ")
    assert response.headers["referrer-policy"] == "no-referrer"
    part = await shared(shelf, url, range="bytes=1-2")
    assert (part.status_code, await sent(part)) == (206, b"el")
    head = await shared(shelf, url, method="HEAD")
    assert (head.status_code, head.headers["content-length"]) == (200, "5")


async def test_a_link_is_listed_and_revoked() -> None:
    shelf = await shelf_with_file()
    old = body_of(await create(shelf))
    shelf.clock.advance(1)
    new = body_of(await create(shelf))
    here: dict[str, Any] = {"file_id": sample.FILE_ID}
    assert body_of(await answer(shelf.links.list_share_links, **here)) == {
        "items": [new, old],
        "next_cursor": None,
    }
    gone = await answer(shelf.links.delete_share_link, "DELETE", link_id=old["id"], **here)
    assert gone.status_code == 204
    listed = body_of(await answer(shelf.links.list_share_links, **here))["items"]
    assert [link["revoked_at"] for link in listed] == [None, "2026-03-01T12:00:01.000Z"]
    response = await shared(shelf, old["url"])
    assert (response.status_code, body_of(response)["type"]) == (410, "/api/problems/share-link-expired")
    assert (await shared(shelf, new["url"])).status_code == 200


async def test_a_link_that_was_made_up_is_not_found() -> None:
    assert (await shared(await shelf_with_file(), PREFIX + "A" * 86)).status_code == 404


async def test_another_owner_can_neither_make_nor_see_nor_revoke_links() -> None:
    shelf = await shelf_with_file()
    link = body_of(await create(shelf))
    theirs: dict[str, Any] = {"owner": "f" * 32, "file_id": sample.FILE_ID}
    assert (await create(shelf, **theirs)).status_code == 404
    assert (await answer(shelf.links.list_share_links, **theirs)).status_code == 404
    gone = await answer(shelf.links.delete_share_link, "DELETE", link_id=link["id"], **theirs)
    assert gone.status_code == 404
    assert (await shared(shelf, link["url"])).status_code == 200
