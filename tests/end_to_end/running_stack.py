"""The whole stack, started by its own command, and a client's view of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent.parent
START_TIMEOUT_SECONDS = 60
HTTP_TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.05


@dataclass
class RunningStack:
    """A started stack; ``addresses`` is its ready file."""

    process: subprocess.Popen[str]
    ready_file: Path

    @property
    def addresses(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ready_file.read_text())
        return told

    def url(self, path: str) -> str:
        return f"{self.addresses['api']}/api/v1{path}"

    def token(self, **wish: Any) -> str:
        issuer = urlsplit(self.addresses["issuer"])
        answer = requests.post(
            f"{issuer.scheme}://{issuer.netloc}/local/tokens", json=wish, timeout=HTTP_TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def headers(self, user: str = "alice", **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(user=user)}", **more}

    def upload(self, content: bytes, *, user: str = "alice", **headers: str) -> requests.Response:
        return requests.post(
            self.url("/files"),
            data=content,
            headers=self.headers(user, **{name.replace("_", "-"): value for name, value in headers.items()}),
            timeout=HTTP_TIMEOUT_SECONDS,
        )

    def get(self, path: str, *, user: str = "alice") -> requests.Response:
        return requests.get(self.url(path), headers=self.headers(user), timeout=HTTP_TIMEOUT_SECONDS)

    def subscribe(self, hook: str, *, user: str = "alice") -> Mapping[str, Any]:
        """Tell the inbox's ``/hooks/<hook>`` of the user's files, and tell the inbox the secret.

        Files of earlier tests are announced by then, so that the hook is not told of them.
        """
        wait_until(
            lambda: not self.get("/files?status=stored", user=user).json()["items"], timeout_seconds=30
        )
        answer = requests.post(
            self.url("/subscriptions"),
            json={
                "channel": "webhook",
                "target": f"{self.addresses['inbox']}/hooks/{hook}",
                "events": ["file.stored"],
            },
            headers=self.headers(user),
            timeout=HTTP_TIMEOUT_SECONDS,
        )
        assert answer.status_code == 201, answer.text
        self.inbox("post", "/secrets", json={"path": f"/hooks/{hook}", "secret": answer.json()["secret"]})
        made: Mapping[str, Any] = answer.json()
        return made

    def inbox(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = requests.request(
            method, self.addresses["inbox"] + path, timeout=HTTP_TIMEOUT_SECONDS, **options
        )
        answer.raise_for_status()
        return answer

    def messages(self, hook: str, *, count: int = 1, timeout_seconds: float = 15) -> list[dict[str, Any]]:
        """What arrived at ``/hooks/<hook>``, once there are ``count`` of them."""
        query = f"channel=webhook&path=/hooks/{hook}&count={count}&timeout_seconds={timeout_seconds:g}"
        items: list[dict[str, Any]] = self.inbox("get", f"/messages/wait?{query}").json()["items"]
        return items

    def settled_delivery(
        self, file_id: str, subscription_id: str, *, user: str = "alice", timeout_seconds: float = 20
    ) -> dict[str, Any]:
        """The file's delivery to that subscription, once every delivery of the file is settled."""

        def is_settled() -> bool:
            answer = self.get(f"/files/{file_id}", user=user)
            # While a worker is being started again, the host itself answers.
            return answer.ok and bool(answer.json()["status"] == "settled")

        wait_until(is_settled, timeout_seconds=timeout_seconds)
        deliveries: list[dict[str, Any]] = self.get(f"/files/{file_id}/deliveries", user=user).json()["items"]
        (found,) = [each for each in deliveries if each["subscription_id"] == subscription_id]
        return found


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout_seconds} s"
        time.sleep(POLL_SECONDS)


@contextmanager
def running_stack(folder: Path, *arguments: str, **environment: str) -> Iterator[RunningStack]:
    """Start the stack, wait until it is ready, stop it as Ctrl-C does and insist on a clean end."""
    ready_file = folder / "ready.json"
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "local", "up", "--ready-file", str(ready_file), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not ready_file.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the stack was not ready in time"
            time.sleep(POLL_SECONDS)
        yield RunningStack(process, ready_file)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        assert "Traceback" not in output
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
