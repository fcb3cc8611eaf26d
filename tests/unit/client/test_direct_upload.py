"""Uploads around the service, straight into a storage."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell import files
from dropbell.connection import Connection
from dropbell.direct import MAX_BLOCKS, block_id, block_list, block_spans, upload_directly
from dropbell.errors import ConnectionFailedError, InputError, ProblemError, UnexpectedAnswerError
from dropbell.owner import Owner
from dropbell.sign_in import FixedToken
from dropbell.source import opened
from tests.unit.client.conftest import NO_WAITING
from tests.unit.client.fake_api import TOKEN, FakeApi
from tests.unit.client.fake_direct_uploads import SIGNATURE, refused
from tests.unit.client.fake_uploads import dropped

if TYPE_CHECKING:
    from dropbell.file import File

CONTENT = os.urandom(100_000)


def upload(connection: Connection, *, in_blocks: bool = False) -> File:
    with opened(io.BytesIO(CONTENT), "tower bell.wav") as source:
        max_single_bytes = 1000 if in_blocks else len(CONTENT)
        return upload_directly(connection, source, max_single_bytes=max_single_bytes, block_bytes=30_000)


async def expired(request: web.Request) -> web.StreamResponse:
    await request.content.read()
    return refused(403, "AuthenticationFailed")


async def busy(request: web.Request) -> web.StreamResponse:
    await request.content.read()
    return refused(503, "ServerBusy")


async def gone(request: web.Request) -> web.StreamResponse:
    return dropped(request)


def test_a_pipe_is_refused_before_anything_is_sent(connection: Connection, api: FakeApi) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with (
        open(read_end, "rb") as stream,  # noqa: PTH123 - a file descriptor, not a path
        pytest.raises(InputError, match="only once"),
    ):
        files.upload(connection, stream, "a.bin", way=files.Way.DIRECT)
    assert api.received == []


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_refusal_of_the_storage_is_told_with_its_code(
    connection: Connection, api: FakeApi, in_blocks: bool
) -> None:
    api.direct.next_storage_answers.append(expired)
    with pytest.raises(ProblemError, match=r"storage refused the upload: AuthenticationFailed\.") as caught:
        upload(connection, in_blocks=in_blocks)
    assert (caught.value.status, caught.value.correlation_id) == (403, "storage-request-1")


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_storage_that_fails_for_a_while_is_tried_again(
    connection: Connection, api: FakeApi, in_blocks: bool
) -> None:
    api.direct.next_storage_answers.extend([busy, gone, busy])
    assert upload(connection, in_blocks=in_blocks).sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert api.direct.blob == CONTENT


def test_a_storage_that_stays_away_is_told_in_the_end(connection: Connection, api: FakeApi) -> None:
    api.direct.next_storage_answers.extend([gone] * 4)
    with pytest.raises(ConnectionFailedError):
        upload(connection)


def test_a_blob_whose_receipt_was_lost_is_not_an_error(connection: Connection, api: FakeApi) -> None:
    async def lost(request: web.Request) -> web.StreamResponse:
        api.direct.blob = await request.content.read()
        return dropped(request)

    api.direct.next_storage_answers.append(lost)
    assert upload(connection).size_bytes == len(CONTENT)


def test_a_blob_that_was_there_before_is_an_error(connection: Connection, api: FakeApi) -> None:
    api.direct.blob = b"somebody else's"
    with pytest.raises(ProblemError, match="BlobAlreadyExists"):
        upload(connection)


@pytest.mark.parametrize(
    "change", [{"upload_url": "file:///etc/passwd"}, {"complete_url": "https://elsewhere/"}]
)
def test_a_ticket_that_leads_elsewhere_is_refused(
    connection: Connection, api: FakeApi, change: dict[str, str]
) -> None:
    async def ticket(request: web.Request) -> web.StreamResponse:
        good = {"id": "d", "upload_url": f"{api.url}/storage/x?sig=y", "method": "PUT", "headers": {}}
        return web.json_response(
            good | {"complete_url": "/api/v1/direct-uploads/d/complete"} | change, status=201
        )

    api.at["POST", 0] = ticket
    with pytest.raises(UnexpectedAnswerError, match="The service led to"):
        upload(connection)
    assert api.direct.storage_requests == []


def test_the_storage_sees_neither_token_nor_owner(api: FakeApi) -> None:
    with Connection(api.url, FixedToken(TOKEN), owner=Owner("t", "o"), backoff=NO_WAITING) as connection:
        upload(connection, in_blocks=True)
    assert len(api.direct.storage_requests) == 5
    for query, headers in api.direct.storage_requests:
        assert query.startswith(SIGNATURE)
        assert not {"Authorization", "Dropbell-Owner", "traceparent"} & set(headers)


def test_a_small_file_is_one_request_with_the_headers_that_were_told(
    connection: Connection, api: FakeApi
) -> None:
    file = upload(connection)
    ((_, headers),) = api.direct.storage_requests
    assert headers["x-ms-blob-type"] == "BlockBlob"
    assert headers["Content-Length"] == str(len(CONTENT))
    assert api.direct.wanted == {
        "name": "tower bell.wav",
        "content_type": "audio/x-wav",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert api.catalogue.files[file.id].content == CONTENT


def test_a_large_file_goes_in_blocks_that_are_listed_in_order(connection: Connection, api: FakeApi) -> None:
    upload(connection, in_blocks=True)
    assert [len(block) for block in api.direct.blocks.values()] == [30_000] * 3 + [10_000]
    assert api.direct.blob == CONTENT


@pytest.mark.parametrize("size_bytes", [1, 32, 33, 10**9, MAX_BLOCKS * 32 + 1])
def test_blocks_cover_everything_once_and_are_not_too_many(size_bytes: int) -> None:
    spans = block_spans(size_bytes, max(32, size_bytes // 100_000))
    assert len(spans) <= MAX_BLOCKS
    assert sum(length for _, length in spans) == size_bytes
    ends = [start + length for start, length in spans]
    assert [start for start, _ in spans] == [0, *ends[:-1]]


def test_block_ids_have_one_length_and_stand_in_order() -> None:
    ids = [block_id(number) for number in (0, 1, MAX_BLOCKS)]
    assert len({len(each) for each in ids}) == 1
    assert (
        block_list(2)
        .decode()
        .endswith(f"<BlockList><Latest>{ids[0]}</Latest><Latest>{ids[1]}</Latest></BlockList>")
    )
