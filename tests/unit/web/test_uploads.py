"""The resource ``/uploads``: bad input first, then what both protocols have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.web.resumable_draft import MEDIA_TYPE as PARTIAL
from shared.web.tus import MEDIA_TYPE as OFFSET
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, request
from tests.unit.shared.portal import BOB, MAX_FILE_BYTES, bearer
from tests.unit.web.uploads_api import (
    APPEND,
    CONTENT,
    DRAFT,
    DRAFT_APPEND,
    SOMEBODY_S,
    TUS,
    Api,
    Headers,
    encoded,
    problem,
    sha256_field,
)

if TYPE_CHECKING:
    from starlette.types import Message


@pytest.fixture
def api() -> Api:
    return Api()


# Bad input


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"upload_length": "5"}, 400),
        ({"content_type": OFFSET, "upload_length": "5"}, 400),
        ({"tus_resumable": "0.2.2", "upload_length": "5"}, 412),
        ({**TUS}, 400),
        ({**TUS, "upload_length": "five"}, 400),
        ({**TUS, "upload_length": "5", "upload_metadata": "filename %%%"}, 400),
        ({**TUS, "upload_length": str(MAX_FILE_BYTES + 1)}, 413),
        ({**TUS, "upload_concat": "final;/uploads/x"}, 404),
        ({**TUS, "upload_concat": f"final;/api/v1/uploads/{SOMEBODY_S}"}, 404),
        ({**TUS, "upload_length": "5", "repr_digest": "sha-256=5"}, 400),
        ({"upload_draft_interop_version": "1", "upload_complete": "?0"}, 400),
        ({"upload_draft_interop_version": "99", "upload_complete": "?0"}, 400),
        ({**DRAFT}, 400),
        ({**DRAFT, "upload_complete": "yes"}, 400),
        ({**DRAFT, "upload_complete": "?0", "upload_length": str(MAX_FILE_BYTES + 1)}, 413),
        ({**DRAFT, "upload_complete": "?0", "content_type": "nonsense"}, 415),
        ({**DRAFT, "upload_complete": "?0", "content_type": "multipart/form-data; boundary=x"}, 415),
        ({**DRAFT, "upload_complete": "?0", "content_disposition": "inline; filename=a/b"}, 400),
    ],
    ids=str,
)
async def test_what_cannot_be_begun_leaves_nothing(api: Api, headers: Headers, status: int) -> None:
    answer = await api.send("POST", **headers)
    assert answer.status_code == status, bytes(answer.body)
    assert not [key for _, key in api.portal.tables.rows if key.startswith("upload|")]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 400, "invalid-request"),
        ({"content_type": OFFSET, "upload_offset": "0"}, 400, "invalid-request"),
        ({"tus_resumable": "2.0.0", "content_type": OFFSET, "upload_offset": "0"}, 412, None),
        ({**APPEND}, 400, "invalid-request"),
        ({**APPEND, "upload_offset": "-1"}, 400, "invalid-request"),
        ({**APPEND, "upload_offset": "1"}, 409, "offset-mismatch"),
        ({**TUS, "upload_offset": "0"}, 415, "unsupported-media-type"),
        ({**TUS, "upload_offset": "0", "content_type": PARTIAL}, 415, "unsupported-media-type"),
        ({**APPEND, "upload_offset": "0", "upload_length": "99"}, 400, "inconsistent-length"),
        ({**APPEND, "upload_offset": "0", "upload_checksum": "crc32 AAAA"}, 400, "invalid-request"),
        ({**APPEND, "upload_offset": "0", "upload_checksum": f"sha1 {encoded(b'x' * 20)}"}, 460, None),
        ({**APPEND, "upload_offset": "0", "content_digest": "sha-256=:AAAA:"}, 400, "invalid-digest"),
        ({**DRAFT_APPEND, "upload_complete": "?0"}, 400, "invalid-request"),
        ({**DRAFT_APPEND, "upload_offset": "0"}, 400, "invalid-request"),
        ({**DRAFT, "upload_offset": "0", "upload_complete": "?0"}, 415, "unsupported-media-type"),
        ({**DRAFT_APPEND, "upload_offset": "3", "upload_complete": "?0"}, 409, None),
        ({**DRAFT_APPEND, "upload_offset": "0", "upload_complete": "?1"}, 400, None),
        (
            {
                **DRAFT_APPEND,
                "upload_offset": "0",
                "upload_complete": "?0",
                "content_digest": sha256_field(b"x"),
            },
            422,
            "digest-mismatch",
        ),
    ],
    ids=str,
)
async def test_what_cannot_be_added_changes_nothing(
    api: Api, headers: Headers, status: int, kind: str | None
) -> None:
    where = await api.begin()
    answer = await api.send("PATCH", where, CONTENT[:5], **headers)
    assert answer.status_code == status, bytes(answer.body)
    assert kind is None or problem(answer) == kind
    assert await api.offset(where) == 0
    last = await api.send("PATCH", where, CONTENT, upload_offset="0", **APPEND)
    await api.assert_is_file(last)


@pytest.mark.parametrize("extra", [1, MAX_FILE_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
async def test_more_bytes_than_the_upload_has_are_refused(api: Api, extra: int, chunked: bool) -> None:
    where = await api.begin()
    length: Headers = {"transfer_encoding": "chunked"} if chunked else {}
    too_much = CONTENT + b"x" * extra
    by_tus = await api.send("PATCH", where, too_much, upload_offset="0", **APPEND, **length)
    assert by_tus.status_code == 413, bytes(by_tus.body)
    assert await api.offset(where) == 0

    by_draft = await api.send(
        "PATCH", where, too_much, upload_offset="0", upload_complete="?0", **DRAFT_APPEND, **length
    )
    assert by_draft.status_code == 413, bytes(by_draft.body)
    assert by_draft.headers["upload-limit"] == f"max-size={MAX_FILE_BYTES}"
    assert (await api.send("HEAD", where)).status_code == 404  # the draft has the upload invalid from now on


@pytest.mark.parametrize("where", [SOMEBODY_S, "nonsense", "..", "%2e", "x" * 300])
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
async def test_there_is_nothing_under_a_made_up_id(api: Api, method: str, where: str) -> None:
    for headers in ({**APPEND, "upload_offset": "0"}, {**DRAFT_APPEND, "upload_complete": "?0"}):
        answer = await api.send(method, where, **({"upload_offset": "0"} | headers))
        assert answer.status_code == 404
        assert "upload-offset" not in answer.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", TUS),
        ("HEAD", DRAFT),
        ("DELETE", TUS),
        ("PATCH", {**APPEND, "upload_offset": "0"}),
        ("PATCH", {**DRAFT_APPEND, "upload_offset": "0", "upload_complete": "?1"}),
        ("POST", {**APPEND, "upload_offset": "0", "x_http_method_override": "PATCH"}),
    ],
    ids=str,
)
async def test_somebody_else_s_upload_is_not_there(api: Api, method: str, headers: Headers) -> None:
    where = await api.begin()
    assert (await api.send(method, where, user=BOB, **headers)).status_code == 404
    last = await api.send("PATCH", where, CONTENT, upload_offset="0", **APPEND)
    await api.assert_is_file(last)


async def test_somebody_else_s_parts_cannot_be_joined(api: Api) -> None:
    part = await api.begin(upload_concat="partial")
    await api.send("PATCH", part, CONTENT, upload_offset="0", **APPEND)
    answer = await api.send("POST", user=BOB, upload_concat=f"final;{part}", **TUS)
    assert answer.status_code == 404


@pytest.mark.parametrize("override", ["", "GET", "PUT", "patch it"])
async def test_an_override_without_sense_is_refused(api: Api, override: str) -> None:
    where = await api.begin()
    answer = await api.send("POST", where, x_http_method_override=override, **TUS)
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [b"", b"x"])
async def test_an_upload_said_to_be_empty_has_no_bytes(api: Api, body: bytes) -> None:
    answer = await api.send(
        "POST", "", body, upload_length="0", transfer_encoding="chunked", content_type=OFFSET, **TUS
    )
    assert answer.status_code == (400 if body else 201)
    assert ("dropbell-file-id" in answer.headers) is (not body)


@pytest.mark.parametrize(
    "headers",
    [
        {"upload_checksum": f"sha1 {encoded(b'x' * 20)}"},
        {"upload_length": "3"},
        {"upload_metadata": f"filetype {encoded(b'image/png')}", "repr_digest": sha256_field(b"other")},
    ],
    ids=str,
)
async def test_an_upload_whose_address_nobody_learns_is_not_kept(api: Api, headers: Headers) -> None:
    given = {**APPEND, "upload_length": str(len(CONTENT))} | headers
    answer = await api.send("POST", "", CONTENT, **given)
    assert answer.status_code >= 400
    rows = [row for (_, key), row in api.portal.tables.rows.items() if key.startswith("upload|")]
    assert all(row.values["status"] == "rejected" for row in rows)


# Both


async def test_an_upload_begun_by_one_protocol_goes_on_by_the_other(api: Api) -> None:
    where = await api.begin()
    kept = await api.send(
        "PATCH", where, CONTENT[:5], upload_offset="0", upload_complete="?0", **DRAFT_APPEND
    )
    assert kept.headers["upload-offset"] == "5"
    await api.assert_is_file(await api.send("PATCH", where, CONTENT[5:], upload_offset="5", **APPEND))

    made = await api.send("POST", "", CONTENT[:5], upload_complete="?0", **DRAFT)
    where = made.headers["location"]
    state = await api.send("HEAD", where, **TUS)
    assert (state.headers["upload-offset"], state.headers["upload-defer-length"]) == ("5", "1")
    told = {**APPEND, "upload_offset": "5", "upload_length": str(len(CONTENT))}
    await api.assert_is_file(await api.send("PATCH", where, CONTENT[5:], **told))


async def test_a_new_token_in_the_middle_loses_no_byte(api: Api) -> None:
    where = await api.begin()
    await api.send("PATCH", where, CONTENT[:5], upload_offset="0", **APPEND)
    expired = forge.token(forge.user_claims(exp=forge.NOW_SECONDS - 3600))
    refused = await api.send(
        "PATCH", where, CONTENT[5:], upload_offset="5", authorization=f"Bearer {expired}", **APPEND
    )
    assert (refused.status_code, refused.headers["tus-resumable"]) == (401, "1.0.0")
    assert await api.offset(where) == 5
    await api.assert_is_file(await api.send("PATCH", where, CONTENT[5:], upload_offset="5", **APPEND))


class SlowClient(Client):
    """Sends its first part, and the others when it is let."""

    def __init__(self, *parts: bytes) -> None:
        super().__init__(parts)
        self.sent_first = asyncio.Event()
        self.go_on = asyncio.Event()

    async def receive(self) -> Message:
        if self.taken == 1:
            self.sent_first.set()
            await self.go_on.wait()
        return await super().receive()


async def test_a_slow_writer_is_overtaken_and_mixes_nothing_in(api: Api) -> None:
    where = await api.begin()
    slow = SlowClient(b"RING ", b"THE BELL")
    late = asyncio.create_task(
        api.send("PATCH", where, client=slow, upload_offset="0", content_length="13", **APPEND)
    )
    await slow.sent_first.wait()

    assert await api.offset(where) == 0
    won = await api.send("PATCH", where, CONTENT, upload_offset="0", **APPEND)
    slow.go_on.set()
    lost = await late

    assert (lost.status_code, problem(lost)) == (409, "upload-overtaken")
    await api.assert_is_file(won)


async def test_of_many_writers_at_one_offset_one_wins(api: Api) -> None:
    where = await api.begin()
    contents = [bytes([65 + number]) * len(CONTENT) for number in range(8)]
    answers = await asyncio.gather(
        *(api.send("PATCH", where, content, upload_offset="0", **APPEND) for content in contents)
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [204] + [409] * 7
    (winner,) = [index for index, answer in enumerate(answers) if answer.status_code == 204]
    await api.assert_is_file(answers[winner], contents[winner])


async def test_what_options_tells(api: Api) -> None:
    told = api.portal.app.upload_routes.options_headers()
    assert told["Upload-Limit"] == f"max-size={MAX_FILE_BYTES}"
    assert told["Tus-Max-Size"] == str(MAX_FILE_BYTES)
    assert told["Accept-Patch"] == f"{OFFSET}, {PARTIAL}"


async def test_other_routes_answer_without_these_fields(api: Api) -> None:
    answer = await api.portal.app.answer("get_file", request("GET", headers=bearer(), file_id=SOMEBODY_S))
    assert not [name for name in answer.headers if name.startswith(("tus-", "upload-"))]
