"""HTTP functions that stream, by the real command."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.functions_host.conftest import StartHost
    from tests.conformance.functions_host.running_host import RunningHost

MEBIBYTE = b"m" * 2**20


def resident_mebibytes(pid: int) -> float:
    """The highest resident size that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield MEBIBYTE


@pytest.mark.parametrize("chunked", [True, False])
def test_large_upload_arrives_whole_and_memory_stays_flat(streaming: RunningHost, *, chunked: bool) -> None:
    streaming.request("POST", "/api/upload", body=b"warm up")
    pids = [streaming.process.pid, *streaming.status["worker_pids"]]
    before = [resident_mebibytes(pid) for pid in pids]
    headers = {} if chunked else {"Content-Length": str(150 * 2**20)}
    seen = streaming.request("POST", "/api/upload", headers=headers, body=chunks(150)).json()
    expected = hashlib.sha256(MEBIBYTE * 150)
    assert (seen["size"], seen["sha256"]) == (150 * 2**20, expected.hexdigest())
    assert ("content-length" in seen["headers"]) is not chunked
    grown = [resident_mebibytes(pid) - old for pid, old in zip(pids, before, strict=True)]
    assert max(grown) < 30


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 100000\r\n\r\n0123456789",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n",
    ],
)
def test_client_that_leaves_in_mid_body_never_looks_complete(start_host: StartHost, head: bytes) -> None:
    host = start_host("streaming")
    connection = host.connect()
    connection.sendall(b"POST /api/upload HTTP/1.1\r\nHost: x\r\n" + head)
    host.wait_for_line("Executing 'Functions.upload'")
    time.sleep(0.1)  # so that the function has begun to read
    connection.close()
    host.wait((host.work_dir / "disconnected").exists, "the function sees the disconnect")
    assert (host.work_dir / "disconnected").read_text() == "10"
    assert not (host.work_dir / "completed").exists()


def test_broken_chunk_framing_never_looks_complete(start_host: StartHost) -> None:
    host = start_host("streaming")
    connection = host.connect()
    connection.sendall(
        b"POST /api/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"
    )
    host.wait_for_line("Executing 'Functions.upload'")
    connection.sendall(b"nonsense\r\n")
    time.sleep(0.1)
    connection.close()
    host.wait((host.work_dir / "disconnected").exists, "the function sees the disconnect")
    assert not (host.work_dir / "completed").exists()


def test_trailers_end_the_body_and_the_connection_goes_on(streaming: RunningHost) -> None:
    connection = streaming.connect()
    request = (
        b"POST /api/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"5\r\n01234\r\n0\r\nX-Sum: abc\r\n\r\n"
    )
    for _ in range(2):
        connection.sendall(request)
        head = read_head(connection)
        assert b" 200 " in head
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        assert b'"size":5' in connection.recv(length)
    connection.close()


def test_early_refusal_arrives_while_the_body_still_comes(streaming: RunningHost) -> None:
    connection = streaming.connect()
    connection.sendall(b"POST /api/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n" + MEBIBYTE)
    assert b" 413 " in read_head(connection)
    connection.close()


def test_early_refusal_needs_no_byte_of_the_body(streaming: RunningHost) -> None:
    connection = streaming.connect()
    connection.sendall(b"POST /api/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
    assert b" 413 " in read_head(connection)
    connection.close()


def test_client_that_waits_for_continue_is_refused_before_it_sends(streaming: RunningHost) -> None:
    connection = streaming.connect()
    connection.sendall(
        b"POST /api/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert b" 413 " in read_head(connection)
    connection.close()


def test_client_that_waits_for_continue_gets_it_when_the_function_reads(streaming: RunningHost) -> None:
    connection = streaming.connect()
    connection.sendall(
        b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    )
    assert read_head(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"01234")
    assert b" 200 " in read_head(connection)
    connection.close()


def test_chunked_body_over_the_limit_is_413(start_host: StartHost) -> None:
    host = start_host("streaming", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1000")
    connection = host.connect()
    connection.sendall(
        b"POST /api/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n"
        + b"x" * 1500
        + b"\r\n"
    )
    assert b" 413 " in read_head(connection)
    connection.close()
    assert not (host.work_dir / "completed").exists()


def test_compressed_body_is_passed_on_as_it_is(streaming: RunningHost) -> None:
    content = gzip.compress(b"x" * 1000)
    seen = streaming.request("POST", "/api/upload", headers={"Content-Encoding": "gzip"}, body=content).json()
    assert seen["size"] == len(content)
    assert seen["headers"]["content-encoding"] == "gzip"


def test_hop_by_hop_headers_stop_at_the_host(streaming: RunningHost) -> None:
    headers = {"Connection": "X-Mine", "X-Mine": "private", "TE": "trailers", "X-Ms-Invocation-Id": "forged"}
    seen = streaming.request("POST", "/api/upload", headers=headers, body=b"x").json()["headers"]
    assert "x-mine" not in seen
    assert "te" not in seen
    assert seen["x-ms-invocation-id"] != "forged"
    answer = streaming.request("GET", "/api/sized")
    assert answer.header("X-Private") is None


def test_response_keeps_cookies_and_length(streaming: RunningHost) -> None:
    answer = streaming.request("GET", "/api/sized")
    assert [value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie"] == [
        "a=1",
        "b=2",
    ]
    assert answer.header("Content-Length") == "10"
    assert answer.body == b"0123456789"


def test_head_has_the_headers_and_no_body(streaming: RunningHost) -> None:
    answer = streaming.request("HEAD", "/api/sized")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "10", b"")


@pytest.mark.parametrize("code", [204, 304, 404, 503])
def test_status_comes_back_without_body(streaming: RunningHost, code: int) -> None:
    connection = streaming.connect()
    for _ in range(2):  # a second one on the same connection shows that the first one ended where it should
        connection.sendall(f"GET /api/status/{code} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert f" {code} ".encode() in read_head(connection)
    connection.close()


def test_catch_all_route_and_raw_target_arrive(streaming: RunningHost) -> None:
    seen = streaming.request("GET", "/api/files/a%20b/c%2Fd?x=%7E").json()
    assert seen == {"path": "a b/c%2Fd", "target": "/api/files/a%20b/c%2Fd"}


def test_failing_function_answers_500(streaming: RunningHost) -> None:
    assert streaming.request("GET", "/api/fails").status == 500
    assert "Exception: ValueError: it went wrong" in streaming.lines


def test_killed_worker_fails_the_request_at_once_and_the_next_one_works(start_host: StartHost) -> None:
    host = start_host("streaming")
    connection = host.connect()
    connection.sendall(b"GET /api/hang HTTP/1.1\r\nHost: x\r\n\r\n")
    host.wait_for_line("hanging")
    (pid,) = host.status["worker_pids"]
    os.kill(pid, signal.SIGKILL)
    assert b" 500 " in read_head(connection)
    connection.close()
    assert host.request("GET", "/api/sized").status == 200


def test_worker_whose_server_stopped_is_replaced_without_a_failed_request(start_host: StartHost) -> None:
    host = start_host("streaming")
    (pid,) = host.status["worker_pids"]
    os.kill(pid, signal.SIGTERM)  # Microsoft's library then stops its HTTP server and lives on
    time.sleep(0.3)
    assert host.request("GET", "/api/sized").status == 200
    host.wait(lambda: host.status["worker_pids"] not in ([], [pid]), "there is another worker")
