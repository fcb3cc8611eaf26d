"""One receiver that hangs, beside others that do not: the others are told as if it were not there."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import requests

from tests.end_to_end.running_stack import (
    HTTP_TIMEOUT_SECONDS,
    ROOT,
    RunningStack,
    running_stack,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = json.loads((ROOT / "host.json").read_text())
SLOTS = int(HOST["extensions"]["serviceBus"]["maxConcurrentCalls"])
FILES = SLOTS + 8
"""More than can be under way at a time: were each slot taken by the one that hangs, the others would wait."""
HEALTHY = ("prompt", "brisk")
UPLOADS_AT_A_TIME = 4
ATTEMPT_TIMEOUT_SECONDS = 40
"""Longer than all that the test waits for, so no attempt that hangs ends before it is let go."""


class HangingReceiver(ThreadingHTTPServer):
    """Takes every request and answers none until it lets go."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hang)
        self.let_go = threading.Event()
        self.taken: list[str] = []
        """The id of each webhook that came."""
        self.answered: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Hang(BaseHTTPRequestHandler):
    server: HangingReceiver

    def do_POST(self) -> None:
        webhook_id = self.headers["webhook-id"]
        self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append(webhook_id)
        self.server.let_go.wait()
        self.server.answered.append(webhook_id)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def hanging_receiver() -> Iterator[HangingReceiver]:
    with HangingReceiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.let_go.set()
            receiver.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def patient_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("patient")
    with running_stack(folder, DROPBELL_DELIVERY_TIMEOUT_SECONDS=str(ATTEMPT_TIMEOUT_SECONDS)) as running:
        yield running


def test_the_others_are_told_while_one_hangs(patient_stack: RunningStack) -> None:
    stack = patient_stack
    with hanging_receiver() as hanging:
        answer = requests.post(
            stack.url("/subscriptions"),
            json={"channel": "webhook", "target": hanging.url, "events": ["file.stored"]},
            headers=stack.headers(),
            timeout=HTTP_TIMEOUT_SECONDS,
        )
        assert answer.status_code == 201, answer.text
        for hook in HEALTHY:
            stack.subscribe(hook)

        with ThreadPoolExecutor(UPLOADS_AT_A_TIME) as pool:
            answers = pool.map(lambda number: stack.upload(b"ring %d" % number), range(FILES))
            file_ids = {answer.json()["id"] for answer in answers}

        for hook in HEALTHY:
            told = stack.messages(hook, count=FILES, timeout_seconds=25)
            assert {message["json"]["subject"] for message in told} == file_ids
        assert hanging.taken  # and they wait still:
        assert not hanging.answered

        hanging.let_go.set()
        wait_until(lambda: len(hanging.answered) == FILES, timeout_seconds=30)
        assert {webhook_id.split("_")[0] for webhook_id in hanging.answered} == file_ids
