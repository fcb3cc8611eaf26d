"""The process as the local stack runs it."""

from __future__ import annotations

import base64
import json
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Inbox:
    process: subprocess.Popen[str]
    address: str
    smtp_port: int

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        request = urllib.request.Request(self.address + path, body, headers, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or b"null")

    def send_webhook(self, body: str) -> None:
        now = datetime.now(UTC)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
        }
        self.call("POST", "/hooks/demo", body.encode(), **headers)

    def stop(self) -> tuple[int, float]:
        """Ask the process to stop; returns its exit code and how long it took, in seconds."""
        start = time.monotonic()
        self.process.terminate()
        return self.process.wait(10), time.monotonic() - start


@contextmanager
def started(data_dir: Path | None = None) -> Iterator[Inbox]:
    command = [sys.executable, "-m", "local.inbox", "--port", "0", "--smtp-port", "0"]
    command += [] if data_dir is None else ["--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        words = process.stdout.readline().split()
        (address,) = [word.rstrip("/") for word in words if word.startswith("http://")]
        (smtp_port,) = [int(word.rpartition(":")[2]) for word in words if word.startswith("smtp://")]
        try:
            yield Inbox(process, address, smtp_port)
        finally:
            process.terminate()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with started() as inbox:
        yield inbox


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Dropbell <no-reply@dropbell.test>"
    message["To"] = "Alice <alice@example.org>"
    message["Subject"] = "Grüße"
    message.set_content("A file is there.")
    return message


def test_a_webhook_is_listed_and_verified_when_the_secret_becomes_known(inbox: Inbox) -> None:
    inbox.send_webhook('{"a": 1}')
    (item,) = inbox.call("GET", "/messages/wait?path=/hooks/demo&timeout_seconds=5")["items"]
    assert (item["json"], item["signature_verified"]) == ({"a": 1}, None)
    inbox.call("POST", "/secrets", json.dumps({"path": "/hooks/demo", "secret": SECRET}).encode())
    (item,) = inbox.call("GET", "/messages?channel=webhook")["items"]
    assert item["signature_verified"] is True


def test_an_email_is_taken_or_refused_as_ordered(inbox: Inbox) -> None:
    inbox.call("POST", "/behaviour", b'{"channel": "email", "status": 451, "count": 1}')
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port) as smtp:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            smtp.send_message(mail())
        assert refusal.value.smtp_code == 451
        assert smtp.send_message(mail()) == {}
    items = inbox.call("GET", "/messages?channel=email")["items"]
    assert [item["answered_status"] for item in items] == [451, 250]
    assert (items[0]["from"], items[0]["to"]) == ("Dropbell <no-reply@dropbell.test>", "alice@example.org")
    assert (items[0]["subject"], items[0]["text"]) == ("Grüße", "A file is there.\n")


def test_a_restart_keeps_what_arrived(tmp_path: Path) -> None:
    with started(tmp_path / "data") as inbox:
        inbox.send_webhook("{}")
        inbox.call("POST", "/secrets", json.dumps({"secret": SECRET}).encode())
        before = inbox.call("GET", "/messages")
        inbox.process.kill()
        inbox.process.wait()
    with started(tmp_path / "data") as inbox:
        assert inbox.call("GET", "/messages") == before
        assert before["items"][0]["signature_verified"] is True


def test_it_stops_at_once_whatever_is_still_open(inbox: Inbox) -> None:
    port = int(inbox.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as long_poll,
        socket.create_connection(("127.0.0.1", port)) as upload,
        smtplib.SMTP("127.0.0.1", inbox.smtp_port),
    ):
        long_poll.sendall(b"GET /messages/wait?timeout_seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        upload.sendall(b"POST /hooks/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nunfinished")
        inbox.call("GET", "/health")
        exit_code, seconds = inbox.stop()
    assert exit_code == 0
    assert seconds < 3
