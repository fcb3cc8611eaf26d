from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from shared.adapters.memory import MemoryUrlSigner
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import BOB, MAX_FILE_BYTES, Portal, bearer
from tests.unit.shared.sample import chunks

if TYPE_CHECKING:
    from starlette.responses import Response

CONTENT = b"ding dong"
WISH = {"name": "bell.txt", "content_type": "text/plain", "size_bytes": len(CONTENT)}


@pytest.fixture
def portal() -> Portal:
    return Portal(url_signer=MemoryUrlSigner())


async def ask(portal: Portal, wish: Any, **headers: str) -> Response:
    raw = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    fields = bearer() | {"content-type": "application/json"} | headers
    return await portal.app.answer(
        "create_direct_upload", request("POST", headers=fields, client=Client((raw,)))
    )


async def complete(portal: Portal, upload_id: str, headers: dict[str, str] | None = None) -> Response:
    return await portal.app.answer(
        "complete_direct_upload", request("POST", headers=headers or bearer(), upload_id=upload_id)
    )


async def write(portal: Portal, told: dict[str, Any]) -> None:
    """Put the content where the answer says."""
    name = unquote(urlsplit(told["upload_url"]).path.removeprefix("/"))
    await portal.blobs.create(name, chunks(CONTENT), content_type="x/y", metadata=dict)


@pytest.mark.parametrize(
    ("wish", "status", "problem"),
    [
        (b"", 400, "invalid-body"),
        (b"{", 400, "invalid-body"),
        ([], 400, "invalid-body"),
        ({}, 400, "invalid-body"),
        (WISH | {"size_bytes": 0}, 400, "invalid-body"),
        (WISH | {"size_bytes": "9"}, 400, "invalid-body"),
        (WISH | {"size_bytes": 9.5}, 400, "invalid-body"),
        (WISH | {"size_bytes": True}, 400, "invalid-body"),
        (WISH | {"sha256": "abc"}, 400, "invalid-body"),
        (WISH | {"sha256": "g" * 64}, 400, "invalid-body"),
        (WISH | {"sha256": "a" * 64 + "\n"}, 400, "invalid-body"),
        (WISH | {"unknown": 1}, 400, "invalid-body"),
        (WISH | {"name": ""}, 400, "invalid-body"),
        (WISH | {"name": "../etc/passwd"}, 400, "invalid-name"),
        (WISH | {"name": "ü" * 128}, 400, "invalid-name"),
        (WISH | {"size_bytes": MAX_FILE_BYTES + 1}, 413, "too-large"),
        (WISH | {"size_bytes": 10**300}, 413, "too-large"),
        (WISH | {"content_type": "nonsense"}, 415, "unsupported-media-type"),
        (WISH | {"content_type": "text/plain\r\nx: y"}, 415, "unsupported-media-type"),
    ],
)
async def test_a_wrong_wish_is_refused_by_name(portal: Portal, wish: Any, status: int, problem: str) -> None:
    response = await ask(portal, wish)

    assert (response.status_code, body_of(response)["type"]) == (status, f"/api/problems/{problem}")
    assert not portal.tables.rows


async def test_the_wish_must_be_json(portal: Portal) -> None:
    assert (await ask(portal, WISH, **{"content-type": "text/plain"})).status_code == 415


async def test_leave_needs_the_scope_to_write(portal: Portal) -> None:
    response = await portal.app.answer(
        "create_direct_upload", request("POST", headers=bearer(scopes="Files.Read"))
    )

    assert response.status_code == 403


async def test_the_answer_says_exactly_what_to_do_next(portal: Portal) -> None:
    response = await ask(portal, WISH)

    told = body_of(response)
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/files/{told['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert f"/{told['id']}?" in told["upload_url"]
    assert (told["method"], told["headers"]) == (
        "PUT",
        {"x-ms-blob-type": "BlockBlob", "Content-Type": "text/plain"},
    )
    assert told["complete_url"] == (f"https://dropbell.example/api/v1/direct-uploads/{told['id']}/complete")
    assert told["in_blocks"]["required"] is False
    assert told["in_blocks"]["block_url"] == told["upload_url"] + "&comp=block&blockid={block_id}"
    assert told["in_blocks"]["commit_url"] == told["upload_url"] + "&comp=blocklist"
    assert told["in_blocks"]["commit_headers"]["x-ms-blob-content-type"] == "text/plain"


async def test_complete_answers_the_file_as_it_is_read_later(portal: Portal) -> None:
    told = body_of(await ask(portal, WISH))
    upload_id = told["id"]
    assert (await complete(portal, upload_id)).status_code == 409
    await write(portal, told)

    response = await complete(portal, upload_id)

    assert response.status_code == 200
    assert body_of(response)["size_bytes"] == len(CONTENT)
    read = await portal.app.answer("get_file", request(headers=bearer(), file_id=upload_id))
    assert (body_of(response), response.headers["etag"]) == (body_of(read), read.headers["etag"])
    assert body_of(await complete(portal, upload_id)) == body_of(response)


async def test_nobody_else_can_complete_it_or_see_that_it_is_there(portal: Portal) -> None:
    told = body_of(await ask(portal, WISH))
    await write(portal, told)

    assert (await complete(portal, told["id"], bearer(user=BOB))).status_code == 404

    read = await portal.app.answer("get_file", request(headers=bearer(), file_id=told["id"]))
    assert read.status_code == 404


async def test_a_digest_in_capitals_is_the_same_digest(portal: Portal) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    told = body_of(await ask(portal, WISH | {"sha256": sha256.upper()}))
    await write(portal, told)

    assert body_of(await complete(portal, told["id"]))["sha256"] == sha256


async def test_another_digest_is_a_rejection_that_stays(portal: Portal) -> None:
    told = body_of(await ask(portal, WISH | {"sha256": "a" * 64}))
    await write(portal, told)

    for _ in range(2):
        response = await complete(portal, told["id"])
        assert (response.status_code, body_of(response)["type"]) == (422, "/api/problems/digest-mismatch")
