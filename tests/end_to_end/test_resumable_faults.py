"""Resumable uploads when two write at once, connections break, tokens expire and workers die."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
import requests

from tests.end_to_end.raw_upload import Uploader, encoded, staged_blocks
from tests.end_to_end.running_stack import wait_until
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.running_stack import RunningStack

SIZE_BYTES = 5 * MEBIBYTE
BLOCK_BYTES = 4 * MEBIBYTE
"""What the service stages at once."""
TENTHS = range(0, 100, 10)


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path, size_bytes=SIZE_BYTES)


@pytest.fixture
def alice(stack: RunningStack) -> Uploader:
    return Uploader(stack)


def begin(alice: Uploader, file: SentFile) -> str:
    name = encoded(file.path.name.encode())
    return alice.begin(len(file.content), upload_metadata=f"filename {name}")


def finish(stack: RunningStack, alice: Uploader, file: SentFile, url: str) -> None:
    at = alice.offset(url)
    last = alice.append(url, at, file.content[at:])
    assert last.status_code == 204, last.text
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])


def test_of_two_writers_at_one_offset_one_wins(stack: RunningStack, alice: Uploader, tmp_path: Path) -> None:
    contents = [SentFile(tmp_path, size_bytes=SIZE_BYTES) for _ in range(2)]
    url = begin(alice, contents[0])
    together = Barrier(2)

    def write(file: SentFile) -> requests.Response | None:
        together.wait()
        try:
            return alice.append(url, 0, file.content)
        except requests.ConnectionError:
            return None  # the service ended a request that had lost its right

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(write, contents))

    statuses = [answer.status_code if answer is not None else 409 for answer in answers]
    assert sorted(statuses) == [204, 409]
    winner = statuses.index(204)
    answer = answers[winner]
    assert answer is not None
    contents[winner].assert_arrived(stack, answer.headers["Dropbell-File-Id"])


@pytest.mark.parametrize("late_bytes", ["before the new writer", "after the new writer"])
def test_a_slow_writer_that_was_overtaken_mixes_nothing_in(
    stack: RunningStack, alice: Uploader, file: SentFile, late_bytes: str
) -> None:
    url = begin(alice, file)
    sent_bytes = BLOCK_BYTES + 100
    with alice.slow_append(url, 0, SIZE_BYTES) as slow:
        slow.send(file.content[:sent_bytes])
        wait_until(lambda: staged_blocks(stack, url) == 1, timeout_seconds=10)
        at = alice.offset(url)  # takes the right to write away
        assert at == BLOCK_BYTES
        other = bytes(SIZE_BYTES - sent_bytes)
        if late_bytes == "before the new writer":
            slow.send_if_let(other)
            assert slow.status() in {409, None}
        last = alice.append(url, at, file.content[at:])
        if late_bytes == "after the new writer":
            slow.send_if_let(other)
            assert slow.status() in {409, None}

    assert last.status_code == 204, last.text
    file.assert_arrived(stack, last.headers["Dropbell-File-Id"])


@pytest.mark.parametrize("percent", TENTHS)
def test_a_connection_cut_at_any_point_leaves_the_upload_resumable(
    stack: RunningStack, alice: Uploader, file: SentFile, percent: int
) -> None:
    url = begin(alice, file)
    sent_bytes = SIZE_BYTES * percent // 100
    with alice.slow_append(url, 0, SIZE_BYTES) as cut:
        cut.send(file.content[:sent_bytes])

    assert alice.offset(url) <= sent_bytes
    finish(stack, alice, file, url)


def test_an_upload_survives_ten_cuts(stack: RunningStack, alice: Uploader, file: SentFile) -> None:
    url = begin(alice, file)
    at = 0
    for percent in TENTHS:
        end = max(at, SIZE_BYTES * percent // 100)
        with alice.slow_append(url, at, SIZE_BYTES - at) as cut:
            cut.send(file.content[at:end])
        before, at = at, alice.offset(url)
        assert before <= at <= end
    finish(stack, alice, file, url)


def test_what_arrived_before_a_cut_is_kept_to_the_last_byte(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    url = begin(alice, file)
    sent_bytes = MEBIBYTE + 11
    with alice.slow_append(url, 0, SIZE_BYTES) as cut:
        cut.send(file.content[:sent_bytes])
        time.sleep(0.3)  # all of it is on its way to the worker
    # Asking at once would take the upload over before the worker has noticed.
    wait_until(lambda: staged_blocks(stack, url) == 1, timeout_seconds=10)

    assert alice.offset(url) == sent_bytes
    finish(stack, alice, file, url)


def test_a_token_that_expires_in_the_middle_loses_no_byte(
    stack: RunningStack, alice: Uploader, file: SentFile
) -> None:
    url = begin(alice, file)
    assert alice.append(url, 0, file.content[:MEBIBYTE]).status_code == 204
    alice.signed_in = {"authorization": f"Bearer {stack.token(user='alice', flaw='expired')}"}

    refused = alice.append(url, MEBIBYTE, file.content[MEBIBYTE:])

    assert (refused.status_code, refused.headers["Tus-Resumable"]) == (401, "1.0.0")
    renewed = Uploader(stack)
    assert renewed.offset(url) == MEBIBYTE
    finish(stack, renewed, file, url)


def test_a_request_under_way_outlives_its_token(stack: RunningStack, file: SentFile) -> None:
    alice = Uploader(stack)
    url = begin(alice, file)
    alice.signed_in = {"authorization": f"Bearer {stack.token(user='alice', lifetime_seconds=1)}"}
    with alice.slow_append(url, 0, SIZE_BYTES) as slow:
        slow.send(file.content[:MEBIBYTE])
        time.sleep(1.2)
        slow.send(file.content[MEBIBYTE:])
        assert slow.status() == 204
    assert Uploader(stack).offset(url) == SIZE_BYTES


def test_a_worker_killed_in_the_middle_of_a_request_loses_nothing_that_was_staged(
    stack: RunningStack, alice: Uploader, tmp_path: Path
) -> None:
    file = SentFile(tmp_path, size_bytes=7 * MEBIBYTE)
    url = begin(alice, file)
    assert alice.append(url, 0, file.content[:MEBIBYTE]).headers["Upload-Offset"] == str(MEBIBYTE)
    killed = stack.addresses["worker_pids"]
    with alice.slow_append(url, MEBIBYTE, 6 * MEBIBYTE) as lost:
        lost.send(file.content[MEBIBYTE : 6 * MEBIBYTE])
        wait_until(lambda: staged_blocks(stack, url) == 2, timeout_seconds=10)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        lost.send_if_let(file.content[6 * MEBIBYTE :])
        assert lost.status() not in {200, 201, 204}

    wait_until(lambda: not set(killed) & set(stack.addresses["worker_pids"]), timeout_seconds=20)
    # While a worker is being started again, the host itself answers.
    wait_until(lambda: alice.send("HEAD", url, tus_resumable="1.0.0").status_code == 200, timeout_seconds=20)
    assert alice.offset(url) == MEBIBYTE + BLOCK_BYTES
    finish(stack, alice, file, url)
