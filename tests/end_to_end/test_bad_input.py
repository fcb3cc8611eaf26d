"""Bad input is answered, not thrown; nothing half-stored is visible afterwards."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack


def assert_problem(answer: requests.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/api/problems/{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert "Traceback" not in answer.text


def blobs(stack: RunningStack) -> set[str]:
    """All that is stored, what is only staged included."""
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        listed = service.get_container_client("uploads").list_blobs(include=["uncommittedblobs"])
        return {blob.name for blob in listed}


@pytest.mark.parametrize(
    ("flaw", "code"),
    [
        ("expired", "token-expired"),
        ("not_yet_valid", "token-invalid"),
        ("wrong_issuer", "token-invalid"),
        ("wrong_audience", "token-invalid"),
        ("wrong_key", "token-invalid"),
        ("unsigned", "token-invalid"),
        ("unknown_kid", "token-invalid"),
        ("hs256_public_key", "token-invalid"),
        ("revoked_key", "token-invalid"),
        ("v1", "token-invalid"),
        ("graph", "token-invalid"),
        ("other_tenant", "token-invalid"),
        ("app_with_scopes", "token-invalid"),
        ("huge", "token-invalid"),
    ],
)
def test_a_token_that_proves_nothing_gets_401(stack: RunningStack, flaw: str, code: str) -> None:
    before = blobs(stack)

    answer = requests.post(
        stack.url("/files"),
        data=b"ring",
        headers={"authorization": f"Bearer {stack.token(user='alice', flaw=flaw)}"},
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert_problem(answer, 401, code)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert blobs(stack) == before


@pytest.mark.parametrize(
    ("characters", "status"), [(15_000, 401), (17_000, 401), (60_000, 401), (100_000, 431)]
)
def test_a_huge_token_is_refused_and_not_repeated(stack: RunningStack, characters: int, status: int) -> None:
    answer = requests.get(
        stack.url("/files/x"),
        headers={"authorization": f"Bearer {'planted' * (characters // 7)}.b.c"},
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert answer.status_code == status
    assert "planted" not in answer.text
    log = Path(stack.addresses["logs"]) / "functions_host.log"
    assert "planted" not in log.read_text()


@pytest.mark.parametrize("authorization", [None, "", "Basic YWxpY2U6cHc=", "Bearer"])
def test_no_token_gets_401_with_a_bare_challenge(stack: RunningStack, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = requests.post(stack.url("/files"), data=b"x", headers=headers, timeout=HTTP_TIMEOUT_SECONDS)

    assert_problem(answer, 401, "token-missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "error=" not in answer.headers["WWW-Authenticate"]


def test_a_token_without_the_scope_gets_403_and_the_scope_that_helps(stack: RunningStack) -> None:
    token = stack.token(user="alice", scopes=["Files.Read"])

    answer = requests.post(
        stack.url("/files"),
        data=b"x",
        headers={"authorization": f"Bearer {token}"},
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert_problem(answer, 403, "permission-missing")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert "Files.ReadWrite" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({}, b"", 400, "body-missing"),
        ({"content_type": "not a media type"}, b"x", 415, "unsupported-media-type"),
        ({"content_type": "multipart/form-data; boundary=x"}, b"--x--", 400, "invalid-form"),
        ({"content_disposition": 'attachment; filename="../../etc/passwd"'}, b"x", 400, "invalid-name"),
        ({"content_disposition": "attachment; filename*=UTF-8''..%2Fa.txt"}, b"x", 400, "invalid-name"),
        ({"content_disposition": 'attachment; filename="a\\\\b.txt"'}, b"x", 400, "invalid-name"),
        ({"content_disposition": f'attachment; filename="{"n" * 300}"'}, b"x", 400, "invalid-name"),
        ({}, bytes(64 * 1024 * 1024 + 1), 413, "too-large"),
    ],
    ids=["no body", "no type", "form", "path", "encoded path", "backslash", "long name", "too large"],
)
def test_bad_uploads(
    stack: RunningStack, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    before = blobs(stack)

    assert_problem(stack.upload(content, **headers), status, code)

    assert blobs(stack) == before


def test_a_chunked_body_over_the_limit_is_refused(stack: RunningStack) -> None:
    before = blobs(stack)

    answer = requests.post(
        stack.url("/files"),
        data=(bytes(1024 * 1024) for _ in range(66)),
        headers=stack.headers(),
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert_problem(answer, 413, "too-large")
    assert blobs(stack) == before


@pytest.mark.parametrize("framing", ["content-length: 12582912", "transfer-encoding: chunked"])
def test_a_body_cut_off_half_way_leaves_nothing(stack: RunningStack, framing: str) -> None:
    before = blobs(stack)
    address = urlsplit(stack.addresses["api"])
    head = (
        f"POST /api/v1/files HTTP/1.1\r\nhost: {address.netloc}\r\n{framing}\r\n"
        f"authorization: Bearer {stack.token(user='alice')}\r\n\r\n"
    )
    chunk = bytes(1024 * 1024)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as connection:
        connection.sendall(head.encode())
        for _ in range(6):
            if "chunked" in framing:
                connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            else:
                connection.sendall(chunk)

    time.sleep(
        1
    )  # nothing tells from outside that the server has noticed; a stored blob would be there by now
    assert blobs(stack) == before
    assert stack.upload(b"the service goes on").status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid-body"),
        (b"{", 400, "invalid-body"),
        (b'{"channel":"pigeon","target":"https://example.com/"}', 400, "invalid-body"),
        (b'{"channel":"webhook","target":"https://example.com/","events":[]}', 400, "invalid-body"),
        (b'{"channel":"webhook","target":"https://example.com/","surprise":1}', 400, "invalid-body"),
        (b'{"channel":"webhook","target":"http://example.com/"}', 400, "target-not-allowed"),
        (b'{"channel":"webhook","target":"https://169.254.169.254/"}', 400, "target-not-allowed"),
        (b'{"channel":"webhook","target":"https://[::ffff:10.0.0.1]/"}', 400, "target-not-allowed"),
        (b'{"channel":"webhook","target":"file:///etc/passwd"}', 400, "target-not-allowed"),
        (b'{"channel":"webhook","target":"' + b"x" * 70_000 + b'"}', 413, "too-large"),
    ],
)
def test_bad_subscriptions(stack: RunningStack, body: bytes, status: int, code: str) -> None:
    answer = requests.post(
        stack.url("/subscriptions"),
        data=body,
        headers=stack.headers(**{"content-type": "application/json"}),
        timeout=HTTP_TIMEOUT_SECONDS,
    )

    assert_problem(answer, status, code)


@pytest.mark.parametrize("file_id", ["no-such-id", "01a20a8e-c528-7c28-9c9e-05cc7d9c46bc", "..%2f..", "%00"])
def test_an_unknown_id_is_not_found(stack: RunningStack, file_id: str) -> None:
    answer = stack.get(f"/files/{file_id}")

    assert answer.status_code == 404
