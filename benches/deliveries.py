"""Deliveries per second, beside a bare loop of the same SDK calls; and what one target that hangs changes.

Receiver, storage and broker are the same local programs for both, in one run. What Dropbell does besides: it
takes and announces the files, looks rows up, signs, and goes through the Functions host.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from benches.bare_loop import Post, bare_loop, broker
from local.up import ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.up import Addresses

FILES = 40
SUBSCRIPTIONS = 10
DELIVERIES = FILES * SUBSCRIPTIONS
WARM_UP_FILES = 2
UPLOADS_AT_A_TIME = 4
HOST = json.loads((ROOT / "host.json").read_text())
AT_A_TIME = int(HOST["extensions"]["serviceBus"]["maxConcurrentCalls"])
WAIT_SECONDS = 60
HANGS_SECONDS = 600
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=WAIT_SECONDS + 10)
USER = "alice"
HOOKS = tuple(f"/hooks/bench-{number}" for number in range(SUBSCRIPTIONS))
HANGING = "/hooks/bench-hangs"
BARE = "/hooks/bench-bare"
NOT_COPIED = frozenset({"host", "content-length", "connection"})


@dataclass(frozen=True)
class Measured:
    """How many of the deliveries to receivers that answer came, and how fast."""

    came: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Deliveries."""
        return self.came / self.seconds


@dataclass(frozen=True)
class Dropbell:
    """A running stack, as its user and its receivers see it."""

    session: aiohttp.ClientSession
    """Signed in."""
    addresses: Addresses

    async def subscribe(self, hook: str) -> None:
        """Have the hook told of files."""
        wish = {
            "channel": "webhook",
            "target": f"{self.addresses.inbox}{hook}",
            "events": ["file.stored"],
        }
        url = f"{self.addresses.api}/api/v1/subscriptions"
        async with self.session.post(url, json=wish) as answer:
            answer.raise_for_status()

    async def deliver(self, files: int) -> Measured:
        """Upload so many files; how fast all that answer were told of them."""
        async with self.session.delete(f"{self.addresses.inbox}/messages") as answer:
            answer.raise_for_status()
        slots = asyncio.Semaphore(UPLOADS_AT_A_TIME)
        await asyncio.gather(*(self._upload(slots) for _ in range(files)))
        came = [
            datetime.fromisoformat(message["received_at"])
            for hook in HOOKS
            for message in await self.messages(hook, files)
        ]
        return Measured(len(came), (max(came) - min(came)).total_seconds())

    async def messages(self, hook: str, count: int) -> list[dict[str, Any]]:
        """What came to the hook, once there is so much of it."""
        query = f"path={hook}&count={count}&timeout_seconds={WAIT_SECONDS}"
        async with self.session.get(f"{self.addresses.inbox}/messages/wait?{query}") as answer:
            answer.raise_for_status()
            items: list[dict[str, Any]] = (await answer.json())["items"]
            return items

    async def hang(self, hook: str) -> None:
        """Have the hook take requests and not answer them."""
        behaviour = {"path": hook, "delay_seconds": HANGS_SECONDS}
        async with self.session.post(f"{self.addresses.inbox}/behaviour", json=behaviour) as answer:
            answer.raise_for_status()

    async def _upload(self, slots: asyncio.Semaphore) -> None:
        async with slots, self.session.post(f"{self.addresses.api}/api/v1/files", data=b"ring") as answer:
            answer.raise_for_status()


async def run() -> int:
    """Measure and print; 1 when a delivery to a receiver that answers did not come."""
    async with Stack() as stack, aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as anonymous:
        headers = await _signed_in(anonymous, stack.addresses)
        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, headers=headers) as session:
            dropbell = Dropbell(session, stack.addresses)
            for hook in HOOKS:
                await dropbell.subscribe(hook)
            await dropbell.deliver(WARM_UP_FILES)
            (message, *_) = await dropbell.messages(HOOKS[0], 1)
            bare = await _bare(stack.addresses, message)
            alone = await dropbell.deliver(FILES)
            await dropbell.hang(HANGING)
            await dropbell.subscribe(HANGING)
            beside = await dropbell.deliver(FILES)
            workers = len(stack.worker_pids)
    _print(bare, alone, beside, workers)
    return 0 if alone.came == beside.came == DELIVERIES else 1


async def _signed_in(session: aiohttp.ClientSession, addresses: Addresses) -> Mapping[str, str]:
    issuer = urlsplit(addresses.issuer)
    url = f"{issuer.scheme}://{issuer.netloc}/local/tokens"
    async with session.post(url, json={"user": USER}) as answer:
        answer.raise_for_status()
        return {"authorization": f"Bearer {(await answer.json())['access_token']}"}


async def _bare(addresses: Addresses, message: Mapping[str, Any]) -> Measured:
    """The same request, as often, by the bare loop."""
    headers = {name: value for name, value in message["headers"].items() if name not in NOT_COPIED}
    post = Post(f"{addresses.inbox}{BARE}", headers, message["body"].encode())
    storage = addresses.storage_connection_string
    async with (
        broker(Path(addresses.logs)) as service_bus,
        bare_loop(storage, service_bus, post, at_a_time=AT_A_TIME) as loop,
    ):
        await loop.seconds(WARM_UP_FILES * SUBSCRIPTIONS)
        return Measured(DELIVERIES, await loop.seconds(DELIVERIES))


def _print(bare: Measured, alone: Measured, beside: Measured, workers: int) -> None:
    told = f"{DELIVERIES} deliveries ({FILES} files, {SUBSCRIPTIONS} receivers), {AT_A_TIME} at a time"
    print(f"{told}, {workers} worker{'s' * (workers > 1)}")
    print(f"{'':<32}{'/ second':>10}{'/ worker':>10}{'/ bare':>10}{'/ alone':>10}{'came':>7}")
    print(f"  {'bare loop of the SDK calls':<30}{bare.per_second:10.1f}")
    for name, each in (("Dropbell", alone), ("Dropbell, beside one that hangs", beside)):
        per_second = each.per_second
        ratios = f"{per_second / bare.per_second:10.2f}{per_second / alone.per_second:10.2f}"
        print(f"  {name:<31}{per_second:9.1f}{per_second / workers:10.1f}{ratios}{each.came:7}")
