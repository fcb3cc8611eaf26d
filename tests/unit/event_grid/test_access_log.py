from __future__ import annotations

import pytest

from local.event_grid.access_log import Api, BlobCreation, account_path, parse_line

ACCOUNT = "/devstoreaccount1"


def line(request: str, status: int = 201, user: str = "-") -> bytes:
    return f'127.0.0.1 - {user} [23/Nov/2026:21:52:00 +0000] "{request} HTTP/1.1" {status} -'.encode()


@pytest.mark.parametrize(
    ("request_line", "status", "container", "name", "api"),
    [
        ("PUT /devstoreaccount1/uploads/a.txt", 201, "uploads", "a.txt", Api.PUT_BLOB),
        ("PUT /devstoreaccount1/uploads/a.txt?comp=blocklist", 201, "uploads", "a.txt", Api.PUT_BLOCK_LIST),
        ("PUT /devstoreaccount1/uploads/copy", 202, "uploads", "copy", Api.COPY_BLOB),
        ("PUT /devstoreaccount1/$root/a", 201, "$root", "a", Api.PUT_BLOB),
        (
            "PUT /devstoreaccount1/uploads/a%20b/%C3%BC%2541%3Fx&y%23z",
            201,
            "uploads",
            "a b/ü%41?x&y#z",
            Api.PUT_BLOB,
        ),
        ("PUT /devstoreaccount1/uploads/q%22uo%0A", 201, "uploads", 'q"uo\n', Api.PUT_BLOB),
        ("PUT /devstoreaccount1/uploads/folder//x%252Fy/", 201, "uploads", "folder//x%2Fy/", Api.PUT_BLOB),
        ("PUT /devstoreaccount1/uploads/comp=block", 201, "uploads", "comp=block", Api.PUT_BLOB),
        (
            "PUT /devstoreaccount1/uploads/a?sv=2026-06-06&sp=cw&sig=comp%3Dblock%26x",
            201,
            "uploads",
            "a",
            Api.PUT_BLOB,
        ),
        (
            "PUT /devstoreaccount1/uploads/a?sig=x&comp=blocklist&sv=1",
            201,
            "uploads",
            "a",
            Api.PUT_BLOCK_LIST,
        ),
    ],
)
def test_a_creation_is_recognised(
    request_line: str, status: int, container: str, name: str, api: Api
) -> None:
    assert parse_line(line(request_line, status), ACCOUNT) == BlobCreation(container, name, api)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("PUT /devstoreaccount1/uploads?restype=container", 201),
        ("PUT /devstoreaccount1/uploads/x?restype=container", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=block&blockid=QUFB", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=metadata", 200),
        ("PUT /devstoreaccount1/uploads/a?comp=lease", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=appendblock", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=page", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=snapshot", 201),
        ("PUT /devstoreaccount1/uploads/a?comp=tags", 204),
        ("PUT /devstoreaccount1/uploads/a?comp=blocklist", 409),
        ("PUT /devstoreaccount1/uploads/a", 409),
        ("PUT /devstoreaccount1/uploads/a", 200),
        ("HEAD /devstoreaccount1/uploads/a", 200),
        ("POST /devstoreaccount1/uploads/a", 201),
        # The other services of Azurite: a queue, a message, a table's entity.
        ("PUT /devstoreaccount1/some-queue", 201),
        ("POST /devstoreaccount1/some-queue/messages", 201),
        ("PUT /devstoreaccount1/files(PartitionKey='p',RowKey='r')", 204),
        ("PUT /devstoreaccount1/uploads/", 201),
        ("PUT /otheraccount/uploads/a", 201),
        ("PUT /devstoreaccount10/uploads/a", 201),
        ("PUT /", 400),
    ],
)
def test_anything_else_is_no_creation(request_line: str, status: int) -> None:
    assert parse_line(line(request_line, status), ACCOUNT) is None


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"\xff\xfe\x00",
        b"Azurite Blob service is successfully listening at http://127.0.0.1:10000",
        line("PUT /devstoreaccount1/uploads/a")[:-20],
        b'PUT /devstoreaccount1/uploads/a HTTP/1.1" 201 -',
        line("PUT /devstoreaccount1/uploads/a") + b" and more",
        b'"' * 100_000,
    ],
)
def test_noise_is_no_creation(noise: bytes) -> None:
    assert parse_line(noise, ACCOUNT) is None


def test_the_account_may_be_in_the_host_name() -> None:
    assert account_path("http://devstoreaccount1.blob.localhost:10000/") == ""
    assert account_path("http://127.0.0.1:10000/devstoreaccount1/") == ACCOUNT
    assert parse_line(line("PUT /uploads/a"), "") == BlobCreation("uploads", "a", Api.PUT_BLOB)
