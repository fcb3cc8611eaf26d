"""tus 1.0 on the resource ``/uploads``."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.unit.identity import forge
from tests.unit.shared.portal import EVERYTHING
from tests.unit.web.uploads_api import (
    APPEND,
    CONTENT,
    TUS,
    Api,
    Headers,
    encoded,
    problem,
)


@pytest.fixture
def api() -> Api:
    return Api()


async def test_tus_from_the_beginning_to_the_end(api: Api) -> None:
    metadata = f"filename {encoded('Glöckchen ✓.wav'.encode())},filetype {encoded(b'audio/wav')},secret"
    where = await api.begin(upload_metadata=metadata)

    first = await api.send("PATCH", where, CONTENT[:5], upload_offset="0", **APPEND)
    state = await api.send("HEAD", where, **TUS)
    last = await api.send("PATCH", where, CONTENT[5:], upload_offset="5", **APPEND)
    after = await api.send("HEAD", where, **TUS)

    assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
    assert "upload-expires" in first.headers
    assert (state.status_code, state.headers["upload-length"]) == (200, str(len(CONTENT)))
    assert state.headers["upload-metadata"] == metadata
    assert state.headers["cache-control"] == "no-store"
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(CONTENT)))
    assert after.headers["dropbell-file-id"] == last.headers["dropbell-file-id"]
    assert all(answer.headers["tus-resumable"] == "1.0.0" for answer in (first, state, last, after))
    await api.assert_is_file(last, name="Glöckchen ✓.wav", content_type="audio/wav")


@pytest.mark.parametrize(
    "headers",
    [
        {**TUS},
        {"tus_resumable": "3.0.0"},
        {**TUS, "authorization": "Bearer nonsense"},
        {**APPEND, "upload_length": "99999"},
    ],
    ids=str,
)
async def test_errors_speak_tus_too(api: Api, headers: Headers) -> None:
    answer = await api.send("POST", **headers)
    assert answer.status_code >= 400
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_another_version_of_tus_is_told_the_right_one(api: Api) -> None:
    answer = await api.send("HEAD", await api.begin(), tus_resumable="0.2.2")
    assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")


async def test_an_empty_file_is_there_at_once(api: Api) -> None:
    answer = await api.send("POST", upload_length="0", **TUS)
    assert answer.headers["upload-offset"] == "0"
    await api.assert_is_file(answer, b"")


@pytest.mark.parametrize("sent", [5, len(CONTENT)])
async def test_first_bytes_with_the_creation(api: Api, sent: int) -> None:
    answer = await api.send("POST", "", CONTENT[:sent], **APPEND, upload_length=str(len(CONTENT)))
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(sent))
    if sent < len(CONTENT):
        where = answer.headers["location"]
        answer = await api.send("PATCH", where, CONTENT[sent:], upload_offset=str(sent), **APPEND)
    await api.assert_is_file(answer)


async def test_a_length_that_is_told_with_the_last_bytes(api: Api) -> None:
    answer = await api.send("POST", upload_defer_length="1", **TUS)
    where = answer.headers["location"]
    await api.send("PATCH", where, CONTENT[:5], upload_offset="0", **APPEND)
    state = await api.send("HEAD", where, **TUS)
    assert state.headers["upload-defer-length"] == "1"
    assert "upload-length" not in state.headers

    told = {**APPEND, "upload_offset": "5", "upload_length": str(len(CONTENT))}
    await api.assert_is_file(await api.send("PATCH", where, CONTENT[5:], **told))


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
async def test_a_wrong_checksum_and_then_the_right_one(api: Api, algorithm: str) -> None:
    where = await api.begin()
    right = f"{algorithm} {encoded(hashlib.new(algorithm, CONTENT).digest())}"
    answer = await api.send(
        "PATCH", where, b"ring the bill", upload_offset="0", upload_checksum=right, **APPEND
    )
    assert answer.status_code == 460
    assert await api.offset(where) == 0
    answer = await api.send("PATCH", where, CONTENT, upload_offset="0", upload_checksum=right, **APPEND)
    await api.assert_is_file(answer)


async def test_a_cut_request_counts_as_far_as_it_came(api: Api) -> None:
    where = await api.begin()
    cut = await api.send(
        "PATCH",
        where,
        CONTENT[:5],
        hangs_up=True,
        upload_offset="0",
        **APPEND,
        content_length=str(len(CONTENT)),
    )
    assert problem(cut) == "upload-incomplete"
    assert await api.offset(where) == 5


async def test_a_cut_request_with_a_checksum_does_not_count(api: Api) -> None:
    where = await api.begin()
    checksum = f"sha1 {encoded(hashlib.sha1(CONTENT).digest())}"
    given = {**APPEND, "upload_checksum": checksum, "content_length": str(len(CONTENT))}
    await api.send("PATCH", where, CONTENT[:5], hangs_up=True, upload_offset="0", **given)
    assert await api.offset(where) == 0


async def test_parts_become_one_file(api: Api) -> None:
    parts = []
    for piece in (CONTENT[:4], CONTENT[4:]):
        where = await api.begin(upload_concat="partial", upload_length=str(len(piece)))
        done = await api.send("PATCH", where, piece, upload_offset="0", **APPEND)
        assert "dropbell-file-id" not in done.headers
        state = await api.send("HEAD", where, **TUS)
        assert (state.headers["upload-concat"], state.headers["upload-offset"]) == (
            "partial",
            str(len(piece)),
        )
        parts.append(where)
    concat = f"final;https://dropbell.example{parts[0]} {parts[1]}"

    joined = await api.send(
        "POST", upload_concat=concat, upload_metadata=f"filename {encoded(b'bell')}", **TUS
    )

    assert joined.status_code == 201
    await api.assert_is_file(joined, name="bell")
    state = await api.send("HEAD", joined.headers["location"], **TUS)
    assert state.headers["upload-concat"] == concat
    assert state.headers["upload-offset"] == state.headers["upload-length"] == str(len(CONTENT))
    more = await api.send("PATCH", joined.headers["location"], b"x", upload_offset="13", **APPEND)
    assert more.status_code == 403
    for part in parts:
        assert (await api.send("HEAD", part, **TUS)).status_code in {404, 410}


async def test_unfinished_parts_cannot_be_joined(api: Api) -> None:
    part = await api.begin(upload_concat="partial")
    answer = await api.send("POST", upload_concat=f"final;{part}", **TUS)
    assert (answer.status_code, problem(answer)) == (400, "invalid-parts")


@pytest.mark.parametrize("sent", [0, 5, len(CONTENT)])
async def test_an_upload_that_was_given_up_is_gone(api: Api, sent: int) -> None:
    where = await api.begin()
    answer = await api.send("PATCH", where, CONTENT[:sent], upload_offset="0", **APPEND)
    assert (await api.send("DELETE", where, **TUS)).status_code == 204
    for method in ("HEAD", "DELETE", "PATCH"):
        gone = await api.send(method, where, upload_offset="0", **APPEND)
        assert gone.status_code in {404, 410}
    if sent == len(CONTENT):
        await api.assert_is_file(answer)  # it had become a file, which has a DELETE of its own


async def test_an_abandoned_upload_expires(api: Api) -> None:
    where = await api.begin()
    clock: Any = api.portal.app.clock
    expires_seconds = api.portal.app.uploads.policy.expires_seconds
    token = forge.token(
        forge.user_claims(scp=EVERYTHING, exp=forge.NOW_SECONDS + int(expires_seconds) + 3600)
    )
    for seconds, status in ((expires_seconds - 1, 200), (1, 410)):
        clock.advance(seconds)
        answer = await api.send("HEAD", where, authorization=f"Bearer {token}", **TUS)
        assert answer.status_code == status
    for method in ("PATCH", "DELETE"):
        answer = await api.send(method, where, upload_offset="0", authorization=f"Bearer {token}", **APPEND)
        assert (answer.status_code, problem(answer)) == (410, "upload-ended")


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
async def test_a_client_that_knows_no_patch_can_send_post(api: Api, method: str) -> None:
    where = await api.begin()
    answer = await api.send("POST", where, upload_offset="0", x_http_method_override=method, **APPEND)
    assert answer.status_code == (200 if method == "HEAD" else 204)
    assert (await api.send("HEAD", where, **TUS)).status_code == (404 if method == "DELETE" else 200)
