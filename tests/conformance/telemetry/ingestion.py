"""An Application Insights endpoint for tests: takes, refuses, or says nothing at all."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ingestion(ThreadingHTTPServer):
    """Keeps the envelopes that arrive. ``status`` other than 200 refuses them; ``silent`` answers nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.envelopes: list[dict[str, Any]] = []
        self.received_bytes = 0
        self.calls = 0
        self.status = 200
        self.silent = False
        self.released = threading.Event()

    @property
    def connection_string(self) -> str:
        address = f"http://127.0.0.1:{self.server_address[1]}/"
        return (
            "InstrumentationKey=00000000-0000-4000-8000-000000000000;"
            f"IngestionEndpoint={address};LiveEndpoint={address}"
        )

    def of_type(self, base_type: str) -> list[dict[str, Any]]:
        return [each for each in self.envelopes if each["data"]["baseType"] == base_type]


class _Handler(BaseHTTPRequestHandler):
    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.calls += 1
        self.server.received_bytes += len(body)
        if self.server.silent:
            self.server.released.wait(60)
            return
        items = json.loads(body)
        answer = b"{}"
        if self.server.status == 200:
            self.server.envelopes += items
            answer = json.dumps(
                {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
            ).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def ingestion() -> Iterator[Ingestion]:
    server = Ingestion()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
