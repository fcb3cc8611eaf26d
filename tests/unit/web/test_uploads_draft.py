"""The IETF draft on the resource ``/uploads``, in each of its revisions."""

from __future__ import annotations

import pytest

from shared.web.resumable_draft import MEDIA_TYPE as PARTIAL
from shared.web.resumable_draft import REVISIONS
from tests.unit.shared.asgi import body_of
from tests.unit.shared.portal import MAX_FILE_BYTES
from tests.unit.web.uploads_api import (
    APPEND,
    CONTENT,
    DRAFT,
    DRAFT_APPEND,
    TUS,
    Api,
    Headers,
    problem,
    sha256_field,
)


@pytest.fixture
def api() -> Api:
    return Api()


async def test_the_draft_from_the_beginning_to_the_end(api: Api) -> None:
    made = await api.send(
        "POST",
        "",
        CONTENT[:5],
        upload_complete="?0",
        upload_length=str(len(CONTENT)),
        content_type="audio/wav",
        content_disposition="inline; filename*=UTF-8''Gl%C3%B6ckchen.wav",
        **DRAFT,
    )
    where = made.headers["location"]
    kept = await api.send(
        "PATCH", where, CONTENT[5:9], upload_offset="5", upload_complete="?0", **DRAFT_APPEND
    )
    state = await api.send("HEAD", where)
    last = await api.send(
        "PATCH", where, CONTENT[9:], upload_offset="9", upload_complete="?1", **DRAFT_APPEND
    )
    after = await api.send("HEAD", where)

    assert (made.status_code, made.headers["upload-complete"], made.headers["upload-offset"]) == (
        201,
        "?0",
        "5",
    )
    assert made.headers["upload-limit"].startswith(f"max-size={MAX_FILE_BYTES}, max-age=")
    assert (kept.status_code, kept.headers["upload-complete"], kept.headers["upload-offset"]) == (
        204,
        "?0",
        "9",
    )
    assert (state.status_code, state.headers["upload-complete"]) == (204, "?0")
    assert state.headers["upload-length"] == str(len(CONTENT))
    assert state.headers["cache-control"] == "no-store"
    assert (last.status_code, last.headers["upload-complete"]) == (201, "?1")
    assert body_of(last)["id"] == last.headers["dropbell-file-id"] == after.headers["dropbell-file-id"]
    assert last.headers["content-location"] == f"/api/v1/files/{body_of(last)['id']}"
    assert after.headers["upload-complete"] == "?1"
    await api.assert_is_file(last, name="Glöckchen.wav", content_type="audio/wav")


@pytest.mark.parametrize("version", REVISIONS)
@pytest.mark.parametrize("content", [CONTENT, b""])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_whole_in_one_request(api: Api, version: int, content: bytes, chunked: bool) -> None:
    flag: Headers = {"upload_incomplete": "?0"} if version == 3 else {"upload_complete": "?1"}
    length: Headers = {"transfer_encoding": "chunked"} if chunked else {}
    answer = await api.send(
        "POST",
        "",
        content,
        upload_draft_interop_version=str(version),
        **flag,
        **length,
        content_type="text/css",
    )
    assert answer.status_code == 201
    assert answer.headers["upload-draft-interop-version"] == str(version)
    assert body_of(answer)["content_type"] == "text/css"
    await api.assert_is_file(answer, content)


@pytest.mark.parametrize("version", REVISIONS)
async def test_each_revision_goes_on_after_a_cut(api: Api, version: int) -> None:
    spoken: Headers = {"upload_draft_interop_version": str(version)}
    flag, partly, wholly = (
        ("upload_incomplete", "?1", "?0") if version == 3 else ("upload_complete", "?0", "?1")
    )
    final: Headers = {**spoken, flag: wholly} | ({"content_type": PARTIAL} if version >= 6 else {})
    first: Headers = {**spoken, flag: partly}
    made = await api.send("POST", **first)
    where = made.headers["location"]
    cut: Headers = {**final, "upload_offset": "0", "content_length": "13"}
    await api.send("PATCH", where, CONTENT[:5], hangs_up=True, **cut)
    state = await api.send("HEAD", where, **spoken)
    last = await api.send("PATCH", where, CONTENT[5:], upload_offset="5", **final)

    name = flag.replace("_", "-")
    assert made.headers[name] == state.headers[name] == partly
    assert (state.status_code, state.headers["upload-offset"]) == (204, "5")
    assert last.headers[name] == wholly
    await api.assert_is_file(last)


async def test_an_upload_is_not_complete_before_its_client_says_so(api: Api) -> None:
    made = await api.send("POST", upload_complete="?0", upload_length=str(len(CONTENT)), **DRAFT)
    where = made.headers["location"]
    kept = await api.send("PATCH", where, CONTENT, upload_offset="0", upload_complete="?0", **DRAFT_APPEND)
    assert (kept.headers["upload-complete"], kept.headers["upload-offset"]) == ("?0", str(len(CONTENT)))
    last = await api.send("PATCH", where, upload_offset="13", upload_complete="?1", **DRAFT_APPEND)
    assert last.headers["upload-complete"] == "?1"
    await api.assert_is_file(last)


async def test_the_last_answer_is_given_again_when_it_was_lost(api: Api) -> None:
    made = await api.send("POST", "", CONTENT, upload_complete="?1", **DRAFT)
    again = await api.send(
        "PATCH", made.headers["location"], upload_offset="13", upload_complete="?1", **DRAFT_APPEND
    )
    assert (again.status_code, again.headers["upload-complete"]) == (201, "?1")
    assert body_of(again) == body_of(made)


async def test_nothing_is_added_to_a_complete_upload(api: Api) -> None:
    where = (await api.send("POST", "", CONTENT, upload_complete="?1", **DRAFT)).headers["location"]
    by_draft = await api.send("PATCH", where, b"x", upload_offset="13", upload_complete="?1", **DRAFT_APPEND)
    by_tus = await api.send("PATCH", where, b"x", upload_offset="13", **APPEND)
    assert (by_draft.status_code, problem(by_draft)) == (400, "http-problem-types#inconsistent-upload-length")
    assert (by_tus.status_code, problem(by_tus)) == (409, "upload-complete")
    assert by_draft.headers["upload-offset"] == by_tus.headers["upload-offset"] == "13"


async def test_a_wrong_digest_of_the_whole_is_no_file(api: Api) -> None:
    given = {**DRAFT, "upload_complete": "?0", "repr_digest": sha256_field(b"another")}
    where = (await api.send("POST", **given)).headers["location"]
    last = await api.send("PATCH", where, CONTENT, upload_offset="0", upload_complete="?1", **DRAFT_APPEND)
    assert (last.status_code, problem(last)) == (422, "digest-mismatch")
    assert last.headers["upload-complete"] == "?1"  # to go on with the upload would not help
    assert (await api.send("HEAD", where)).status_code == 410
    assert (await api.send("HEAD", where, **TUS)).status_code == 410


async def test_a_wrong_digest_in_one_request_is_no_file(api: Api) -> None:
    wrong = sha256_field(b"another")
    answer = await api.send("POST", "", CONTENT, upload_complete="?1", repr_digest=wrong, **DRAFT)
    assert (answer.status_code, answer.headers["upload-complete"]) == (422, "?1")
    answer = await api.send("POST", "", CONTENT, upload_complete="?1", content_digest=wrong, **DRAFT)
    assert (answer.status_code, answer.headers["upload-complete"]) == (422, "?0")


async def test_the_right_digests_are_taken(api: Api) -> None:
    digest = sha256_field(CONTENT)
    made = await api.send(
        "POST", "", CONTENT, upload_complete="?1", repr_digest=digest, content_digest=digest, **DRAFT
    )
    await api.assert_is_file(made)
