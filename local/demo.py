"""``make demo``: one real file from a signed-in client to a signed webhook, on this machine.

Everything the demo does as a client it does with the client package and over HTTP; the only part it plays
itself is the person who types the sign-in code into a browser.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from standardwebhooks import Webhook, WebhookVerificationError

from dropbell import files, subscriptions
from dropbell.connection import Connection
from dropbell.errors import DropbellError
from dropbell.progress import show_progress
from dropbell.sign_in import DeviceCode, DeviceCodeSignIn
from local.bell import write_bell
from local.part import stop_requested
from local.up import DIRECTORY, Stack, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dropbell.deliveries import Delivery
    from dropbell.files import File
    from local.up import Addresses

USER = "alice"
HOOK_PATH = "/hooks/demo"
WEBHOOK_TIMEOUT_SECONDS = 60
SETTLE_TIMEOUT_SECONDS = 15
HTTP_TIMEOUT_SECONDS = 70
STOPPED = "Done; everything is stopped, the picture too. To keep it all running: make demo STAY=1, or make up"


class DemoError(Exception):
    """The demo did not show what it should; the message says what."""


async def run_demo(*, stay: bool = False) -> int:
    """Run the demo on a stack of its own; 0 only when the webhook arrived and its signature is good.

    ``stay`` keeps the stack afterwards, until Ctrl-C, for who wants to look at the trace.
    """
    began = time.monotonic()
    _say("Starting the stack: Azurite, Service Bus, Entra ID, Event Grid, the Functions host, an inbox …")
    try:
        async with Stack() as stack:
            _say(f"All parts are healthy after {time.monotonic() - began:.1f} s.")
            await asyncio.to_thread(_main_job, stack.addresses)
            if stay:
                _say("The stack stays up to be looked at; Ctrl-C stops it.")
                await _watch_until_stopped(stack)
    except (StackError, DemoError, DropbellError, requests.RequestException) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    _say("Done; everything is stopped." if stay else STOPPED)
    return 0


async def _watch_until_stopped(stack: Stack) -> None:
    watching = asyncio.create_task(stack.watch())
    stopping = asyncio.create_task(stop_requested())
    await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if watching.done():
        await watching  # raises what ended it
    watching.cancel()


def _main_job(addresses: Addresses) -> None:
    connection = Connection(addresses.api, _signed_in(addresses))
    target = addresses.inbox + HOOK_PATH
    subscription = subscriptions.subscribe(connection, "webhook", target, ["file.stored"])
    secret = subscription.secret
    if secret is None:
        raise DemoError("the new subscription came without its signing secret")
    _tell_inbox(addresses, secret)
    _say(f"{USER} is signed in, and {target} is told of new files.")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bell.wav"
        write_bell(path)
        with show_progress(path.name) as on_progress:
            file = files.upload(connection, path, on_progress=on_progress)
        sent_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    _say(f"Accepted as file {file.id} ({file.size_bytes / 1e6:.1f} MB).")

    arrived = _arrived(addresses)
    _check(arrived, secret, file, sent_sha256)
    _say("The webhook arrived; its signature, its file id and the file's SHA-256 are as they should be.")
    file, delivery = _settled(connection, file.id)
    _print_timeline(file, delivery)
    _say(f"See it as a picture: {addresses.app_insights}/traces/{file.trace_id}")


def _signed_in(addresses: Addresses) -> DeviceCodeSignIn:
    """Sign in by device code, and play the person who confirms it in a browser."""

    def confirm(code: DeviceCode) -> None:
        answer = requests.post(
            code.verification_uri,
            data={"user_code": code.user_code, "user": USER},
            timeout=HTTP_TIMEOUT_SECONDS,
            verify=addresses.ca_file,
        )
        answer.raise_for_status()

    client = next(app for app in DIRECTORY["apps"] if app["name"] == "dropbell-cli")
    scopes = [f"{DIRECTORY['api']['app_id_uri']}/{scope}" for scope in DIRECTORY["api"]["scopes"]]
    sign_in = DeviceCodeSignIn(
        addresses.authority, client["client_id"], scopes, addresses.ca_file, show=confirm
    )
    sign_in.log_in()
    return sign_in


def _tell_inbox(addresses: Addresses, secret: str) -> None:
    requests.post(
        f"{addresses.inbox}/secrets",
        json={"path": HOOK_PATH, "secret": secret},
        timeout=HTTP_TIMEOUT_SECONDS,
    ).raise_for_status()


def _arrived(addresses: Addresses) -> Mapping[str, Any]:
    answer = requests.get(
        f"{addresses.inbox}/messages/wait",
        params={
            "channel": "webhook",
            "path": HOOK_PATH,
            "count": "1",
            "timeout_seconds": str(WEBHOOK_TIMEOUT_SECONDS),
        },
        timeout=HTTP_TIMEOUT_SECONDS,
    )
    answer.raise_for_status()
    items: Sequence[Mapping[str, Any]] = answer.json()["items"]
    if not items:
        raise DemoError(f"no webhook arrived within {WEBHOOK_TIMEOUT_SECONDS} s; see {addresses.logs}")
    return items[0]


def _check(arrived: Mapping[str, Any], secret: str, file: File, sent_sha256: str) -> None:
    try:
        event = Webhook(secret).verify(arrived["body"], arrived["headers"])
    except WebhookVerificationError as error:
        raise DemoError(f"the webhook's signature is not good: {error}") from error
    if not arrived["signature_verified"]:
        raise DemoError("the inbox does not take the webhook's signature for good")
    if (event["specversion"], event["type"]) != ("1.0", "dropbell.file.stored.v1"):
        raise DemoError("the webhook's body is not the CloudEvent it should be")
    if event["subject"] != file.id or event["data"]["file"]["sha256"] != sent_sha256:
        raise DemoError("the webhook tells of another file, or of other bytes, than were sent")


def _settled(connection: Connection, file_id: str) -> tuple[File, Delivery]:
    deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        file = files.show(connection, file_id)
        if file.status == "settled":
            return file, next(iter(files.deliveries(connection, file_id)))
        time.sleep(0.02)
    raise DemoError(f"the file was not settled within {SETTLE_TIMEOUT_SECONDS} s")


def _print_timeline(file: File, delivery: Delivery) -> None:
    attempt = delivery.attempts[-1]
    if file.created_at is None or attempt.started_at is None or attempt.duration_ms is None:
        raise DemoError("the file's story lacks a time")
    accepted_at = file.created_at
    delivered_ms = _after_ms(accepted_at, attempt.started_at) + attempt.duration_ms
    steps = {
        "accepted": 0.0,
        "stored": _after_ms(accepted_at, _time(file.extra["stored_at"])),
        "announced": _after_ms(accepted_at, _time(file.extra["announced_at"])),
        "queued": _after_ms(accepted_at, _time(delivery.extra["queued_at"])),
        "delivered": delivered_ms,
    }
    _say("")
    for step, after_ms in steps.items():
        _say(f"  {step:<10} {after_ms:7.0f} ms  {'━' * max(1, round(40 * after_ms / delivered_ms))}")
    _say(f"  trace      {file.trace_id}")
    _say("")


def _after_ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _time(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


def _say(line: str) -> None:
    print(line, flush=True)
