"""Starts the real command for a sample app, and talks to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

APPS = Path(__file__).parent / "apps"
REPOSITORY = Path(__file__).parents[3]
MASTER_KEY = "the-master-key"
KEYS = {
    "master": MASTER_KEY,
    "functionKeys": {"default": "the-function-key"},
    "systemKeys": {"blobs_extension": "the-system-key"},
}
DEADLINE_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class RunningHost:
    """A host process. Its output goes to a file, so that it can never block on a full pipe."""

    app_dir: Path
    work_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        self.work_dir.mkdir(parents=True, exist_ok=True)
        keys_file = self.work_dir / "keys.json"
        keys_file.write_text(json.dumps(KEYS))
        command = [sys.executable, "-m", "local.functions_host", str(self.app_dir), "--port", "0"]
        command += ["--keys-file", str(keys_file), "--status-file", str(self._status_file), *self.arguments]
        self._status_file.unlink(missing_ok=True)
        with self._output_file.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - a command of our own
                command,
                cwd=REPOSITORY,
                env={**os.environ, "MARKS_DIR": str(self.work_dir), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait(lambda: self.status.get("state") in ("Running", "Error"), "it has indexed the app")
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def _status_file(self) -> Path:
        return self.work_dir / "status.json"

    @property
    def _output_file(self) -> Path:
        return self.work_dir / "output.txt"

    @property
    def status(self) -> dict[str, Any]:
        """What the status file says."""
        return json.loads(self._status_file.read_text()) if self._status_file.exists() else {}

    @property
    def port(self) -> int:
        return int(self.status["port"])

    @property
    def output(self) -> str:
        """All that the host has written."""
        return self._output_file.read_text()

    @property
    def lines(self) -> list[str]:
        """The output's lines without the time in front."""
        return [
            line.partition("] ")[2] if line.startswith("[2") else line for line in self.output.splitlines()
        ]

    @property
    def _last_lines(self) -> str:
        return "\n".join(self.output.splitlines()[-30:])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the host to stop; returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=DEADLINE_SECONDS)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until the condition holds; fails with the host's output when it does not in time."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert self.process.poll() is None, f"the host ended:\n{self._last_lines}"
            assert time.monotonic() < deadline, f"waited in vain until {what}:\n{self._last_lines}"
            time.sleep(0.02)

    def wait_for_line(self, text: str, times: int = 1) -> None:
        """Wait until the output has the text so many times."""
        self.wait(lambda: self.output.count(text) >= times, f"the output has {text!r} {times} times")

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """Send one request. A body without Content-Length is sent in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            # Without a Content-Length among the headers, the library sends an iterable in chunks.
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A raw connection, for requests that no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)


def read_head(connection: socket.socket) -> bytes:
    """Everything up to the end of the next response's headers."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(1)
        if not piece:
            break
        received += piece
    return received
