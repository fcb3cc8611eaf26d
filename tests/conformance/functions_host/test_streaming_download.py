"""Answers that stream: large ones, slow readers, clients that leave, workers that break off."""

from __future__ import annotations

import http.client
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import DEADLINE_SECONDS, read_head

if TYPE_CHECKING:
    from tests.conformance.functions_host.conftest import StartHost
    from tests.conformance.functions_host.running_host import RunningHost

MEBIBYTES = 300
PIECE_BYTES = 256 * 1024
MAX_GROWTH_MEBIBYTES = 30

FRAMING = pytest.mark.parametrize("framing", ["sized", "chunked"])


def peak_mebibytes(host: RunningHost) -> list[float]:
    """The highest resident size that the host and its workers ever had."""
    statuses = [Path(f"/proc/{pid}/status") for pid in (host.process.pid, *host.status["worker_pids"])]
    return [int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024 for status in statuses]


def growth_mebibytes(host: RunningHost, before: list[float]) -> float:
    return max(now - then for now, then in zip(peak_mebibytes(host), before, strict=True))


def narrow(host: RunningHost) -> socket.socket:
    """A connection that holds little of what has come and was not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(DEADLINE_SECONDS)
    connection.connect(("127.0.0.1", host.port))
    return connection


@FRAMING
def test_large_download_arrives_whole_and_memory_stays_flat(streaming: RunningHost, framing: str) -> None:
    streaming.request("GET", f"/api/download/1/{framing}")  # warm up
    before = peak_mebibytes(streaming)
    connection = http.client.HTTPConnection("127.0.0.1", streaming.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", f"/api/download/{MEBIBYTES}/{framing}")
    answer = connection.getresponse()
    size_bytes = 0
    while piece := answer.read(PIECE_BYTES):
        size_bytes += len(piece)
    connection.close()
    assert size_bytes == MEBIBYTES * 2**20
    assert answer.getheader("X-Kind") == "stream"
    assert (answer.getheader("Content-Length") is None) is (framing == "chunked")
    assert growth_mebibytes(streaming, before) < MAX_GROWTH_MEBIBYTES


@FRAMING
def test_slow_reader_holds_the_function_back_and_leaving_ends_it(start_host: StartHost, framing: str) -> None:
    host = start_host("streaming")
    host.request("GET", f"/api/download/1/{framing}")  # warm up
    sent = host.work_dir / "sent"
    host.wait(sent.exists, "the warm-up is over for the function, too")
    sent.unlink()
    before = peak_mebibytes(host)
    connection = narrow(host)
    connection.sendall(f"GET /api/download/{MEBIBYTES}/{framing} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b" 200 " in read_head(connection)
    for _ in range(10):
        assert connection.recv(1000)
        time.sleep(0.02)
    assert not sent.exists()
    assert growth_mebibytes(host, before) < MAX_GROWTH_MEBIBYTES
    connection.close()
    host.wait(sent.exists, "the function's answer is ended")
    assert int(sent.read_text()) < MEBIBYTES - 1
    assert host.request("GET", "/api/sized").status == 200


@FRAMING
@pytest.mark.parametrize("how", ["cut", "raises"])
def test_answer_that_breaks_off_does_not_look_complete(start_host: StartHost, how: str, framing: str) -> None:
    host = start_host("streaming")
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", f"/api/{how}/{framing}")
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    connection.close()
