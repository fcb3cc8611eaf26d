"""``make demo-dead-letters``: a receiver fails, its notifications become dead letters, an operator redrives.

In front of one's eyes: each step prints what the API says of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from standardwebhooks import Webhook, WebhookVerificationError

from local.up import Stack, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.up import Addresses

OWNER = "alice"
OPERATOR = "olga"
HOOK_PATH = "/hooks/demo-dead-letters"
FILES = 5
RETRY_SCHEDULE_SECONDS = "0.5,1"
"""Quicker than the service's own, which takes almost two days to give up."""
ATTEMPTS = 3
HTTP_TIMEOUT_SECONDS = 30
WAIT_SECONDS = 60
POLL_SECONDS = 0.2


class DemoError(Exception):
    """The demo did not show what it should; the message says what."""


async def run_demo_dead_letters() -> int:
    """Run the demo on a stack of its own; 0 only when every dead letter was delivered in the end."""
    os.environ["DROPBELL_RETRY_SCHEDULE_SECONDS"] = RETRY_SCHEDULE_SECONDS
    began = time.monotonic()
    _say("Starting the stack …")
    try:
        async with Stack() as stack:
            _say(f"All parts are healthy after {time.monotonic() - began:.1f} s.")
            await asyncio.to_thread(_show, _Api(stack.addresses))
    except (StackError, DemoError, requests.RequestException) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    _say("Done; everything is stopped.")
    return 0


class _Api:
    """The API as its users see it, and the inbox that plays the receiver."""

    def __init__(self, addresses: Addresses) -> None:
        self.inbox_url = addresses.inbox
        self._api_url = f"{addresses.api}/api/v1"
        issuer = urlsplit(addresses.issuer)
        self._tokens_url = f"{issuer.scheme}://{issuer.netloc}/local/tokens"
        self._tokens: dict[str, str] = {}

    def call(self, method: str, path: str, *, user: str, **options: Any) -> Mapping[str, Any]:
        """One request; raises DemoError for any answer but a good one."""
        if user not in self._tokens:
            answer = requests.post(self._tokens_url, json={"user": user}, timeout=HTTP_TIMEOUT_SECONDS)
            answer.raise_for_status()
            self._tokens[user] = answer.json()["access_token"]
        headers = {"authorization": f"Bearer {self._tokens[user]}", **options.pop("headers", {})}
        answer = requests.request(
            method, self._api_url + path, headers=headers, timeout=HTTP_TIMEOUT_SECONDS, **options
        )
        if not answer.ok:
            raise DemoError(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        told: Mapping[str, Any] = answer.json()
        return told

    def inbox(self, method: str, path: str, **options: Any) -> Any:
        """Ask the receiver."""
        answer = requests.request(method, self.inbox_url + path, timeout=HTTP_TIMEOUT_SECONDS, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _show(api: _Api) -> None:
    subscription = _subscribed(api)
    secret = subscription["secret"]
    api.inbox("POST", "/behaviour", json={"path": HOOK_PATH, "status": 500})
    _say(f"\n1. {OWNER}'s receiver {HOOK_PATH} is broken: it answers 500 to everything.")
    file_ids = [_uploaded(api, number) for number in range(1, FILES + 1)]
    _say(f"   {FILES} files are stored; each is announced, tried {ATTEMPTS} times, and given up.")

    letters = _letters_once_there_are(api, FILES)
    _say(f"\n2. {OPERATOR} looks at the dead letters:  GET /operations/dead-letters")
    for letter in letters:
        _say(f"   file {letter['file_id']}  {letter['attempts']} attempts  {letter['reason']}")

    api.inbox("POST", "/behaviour", json={"path": HOOK_PATH, "status": 200})
    _say("\n3. The receiver is repaired. First a dry run, then for real:")
    choice = {"filter": {"subscription_id": subscription["id"]}, "limit": 1000}
    for dry_run in (True, False):
        body = {**choice, "dry_run": dry_run}
        result = api.call("POST", "/operations/dead-letters/redrive", user=OPERATOR, json=body)
        counts = ", ".join(f"{name} {result[name]}" for name in ("matched", "redriven", "skipped"))
        _say(f"   redrive {'(dry run)' if dry_run else '         '}  {counts}")
        if (result["matched"], result["redriven"]) != (FILES, FILES):
            raise DemoError("the redrive did not take all of them")

    _say("\n4. What became of them:")
    for file_id in file_ids:
        delivery = _delivered(api, file_id)
        outcomes = " → ".join(
            str(attempt.get("status_code") or attempt["outcome"]) for attempt in delivery["attempts"]
        )
        _say(f"   file {file_id}  {delivery['status']}  attempts {outcomes}")
    _check(api, secret, file_ids)
    left = len(api.call("GET", "/operations/dead-letters", user=OPERATOR)["items"])
    if left:
        raise DemoError(f"{left} dead letters are left")
    _say("   Each file rang once, with a good signature; no dead letter is left.\n")


def _subscribed(api: _Api) -> Mapping[str, Any]:
    body = {"channel": "webhook", "target": api.inbox_url + HOOK_PATH, "events": ["file.stored"]}
    made = api.call("POST", "/subscriptions", user=OWNER, json=body)
    api.inbox("POST", "/secrets", json={"path": HOOK_PATH, "secret": made["secret"]})
    return made


def _uploaded(api: _Api, number: int) -> str:
    headers = {
        "content-type": "text/plain",
        "content-disposition": f'attachment; filename="ring-{number}.txt"',
    }
    file = api.call("POST", "/files", user=OWNER, data=b"ring %d\n" % number, headers=headers)
    return str(file["id"])


def _letters_once_there_are(api: _Api, count: int) -> Sequence[Mapping[str, Any]]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        items: Sequence[Mapping[str, Any]] = api.call("GET", "/operations/dead-letters", user=OPERATOR)[
            "items"
        ]
        if len(items) >= count:
            return items
        time.sleep(POLL_SECONDS)
    raise DemoError(f"there were no {count} dead letters within {WAIT_SECONDS} s")


def _delivered(api: _Api, file_id: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        (delivery,) = api.call("GET", f"/files/{file_id}/deliveries", user=OWNER)["items"]
        if delivery["status"] == "delivered":
            found: Mapping[str, Any] = delivery
            return found
        time.sleep(POLL_SECONDS)
    raise DemoError(f"the delivery of file {file_id} was not made within {WAIT_SECONDS} s")


def _check(api: _Api, secret: str, file_ids: Sequence[str]) -> None:
    """Each file was accepted once by the receiver, and its signature is good."""
    query = f"channel=webhook&path={HOOK_PATH}&count={(ATTEMPTS + 1) * FILES}&timeout_seconds=5"
    messages = api.inbox("GET", f"/messages/wait?{query}")["items"]
    accepted = [message for message in messages if message["answered_status"] == requests.codes.ok]
    try:
        events = [Webhook(secret).verify(message["body"], message["headers"]) for message in accepted]
    except WebhookVerificationError as error:
        raise DemoError(f"a webhook's signature is not good: {error}") from error
    if sorted(event["subject"] for event in events) != sorted(file_ids):
        raise DemoError("the receiver was not told of each file once")


def _say(line: str) -> None:
    print(line, flush=True)
