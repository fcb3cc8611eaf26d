"""Receivers that misbehave on purpose, over real sockets: each ends as docs/receivers.md says."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from local.part import LOOPBACK
from shared.adapters.clock import SystemClock
from shared.adapters.http import ANSWER_BODY_TIMEOUT_SECONDS, GuardedHttp
from shared.notifications.channels import Notification, Outcome, Verdict
from shared.notifications.channels.target_policy import TargetPolicy
from shared.notifications.channels.webhook import WebhookChannel
from tests.conformance.adapters.authority import Authority
from tests.conformance.adapters.bare_server import answers, bare_server, cuts_off, drips, says
from tests.conformance.adapters.running_part import unused_port
from tests.unit.shared import sample

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from tests.conformance.adapters.bare_server import Answering, BareServer

PAGE = Path(__file__).parents[3] / "docs" / "receivers.md"
LIMIT_SECONDS = 0.5
PATIENT_SECONDS = 5.0
"""For what ends by itself, on a machine that is busy with other things."""
NAME = "hooks.example"
PUBLIC = "93.184.215.14"
AUTHORITY = Authority()
ANOTHER_AUTHORITY = Authority()


ANSWERS_200 = answers(200)


class Receiver(Protocol):
    """One of the rows, played."""

    @property
    def limit_seconds(self) -> float: ...

    async def outcome(self) -> Outcome:
        """How a delivery to it ends."""
        ...


@dataclass(frozen=True)
class Row:
    """What the page says about one receiver."""

    attempt: str
    status: str
    detail: str
    then: str


def rows() -> Iterator[tuple[str, Row]]:
    table = PAGE.read_text().partition("| receiver | attempt |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        receiver, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        yield receiver, Row(*rest)


TABLE = dict(rows())


class Names(AbstractResolver):
    """Every name has the first address when it is first asked for, then the second, and so on."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self._addresses:
            raise OSError("no such name")
        found = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        numeric = socket.AI_NUMERICHOST
        return [
            ResolveResult(hostname=host, host=found, port=port, family=socket.AF_INET, proto=0, flags=numeric)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Silent(Names):
    """Nobody ever says where a name leads."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def deliver(
    url: str, limit_seconds: float, *, resolver: Names | None = None, listed: str | None = LOOPBACK
) -> Outcome:
    policy = TargetPolicy(frozenset({listed} if listed else ()))
    sender = GuardedHttp(policy, resolver, tls=AUTHORITY.trusting())
    try:
        return await deliver_by(sender, url, limit_seconds)
    finally:
        await sender.close()


async def deliver_by(sender: GuardedHttp, url: str, limit_seconds: float) -> Outcome:
    channel = WebhookChannel(sender, sample.SECRET_BOX, SystemClock())
    return await channel.deliver(
        Notification(
            sample.delivery().id,
            sample.subscription(target=url),
            sample.message().event,
            "correlation-1",
            sample.TRACEPARENT,
        ),
        timeout_seconds=limit_seconds,
    )


@dataclass(frozen=True)
class Plain:
    """A receiver that is reached by http under its address."""

    answering: Answering
    limit_seconds: float = PATIENT_SECONDS

    async def outcome(self) -> Outcome:
        async with bare_server(self.answering) as receiver:
            return await deliver(receiver.url(), self.limit_seconds)


@dataclass(frozen=True)
class Tls:
    """A receiver that is reached by https under its name."""

    shows: ssl.SSLContext | None
    """None: it speaks no TLS."""
    answering: Answering = ANSWERS_200
    limit_seconds: float = PATIENT_SECONDS

    async def outcome(self) -> Outcome:
        async with self.server() as port:
            url = f"https://{NAME}:{port}/hook"
            return await deliver(url, self.limit_seconds, resolver=Names(LOOPBACK), listed=NAME)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[int]:
        if self.shows is not None:
            async with bare_server(self.answering, self.shows) as receiver:
                yield receiver.port
            return

        async def says_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            with suppress(OSError):
                await self.answering(writer)
                writer.close()
                await writer.wait_closed()

        server = await asyncio.start_server(says_at_once, LOOPBACK, 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


@dataclass(frozen=True)
class Refusing:
    """Nobody listens."""

    limit_seconds: float = PATIENT_SECONDS

    async def outcome(self) -> Outcome:
        return await deliver(f"http://{LOOPBACK}:{unused_port()}/hook", self.limit_seconds)


@dataclass(frozen=True)
class Elsewhere:
    """A receiver that listens on loopback, under a name that nobody listed."""

    resolver: Names
    checked_before: bool = False
    limit_seconds: float = PATIENT_SECONDS

    async def outcome(self) -> Outcome:
        async with bare_server(answers(200)) as receiver:
            if self.checked_before:  # as one would who resolves the name, checks it and lets a client connect
                ((checked,),) = [[each["host"] for each in await self.resolver.resolve(NAME)]]
                assert checked == PUBLIC
            url = receiver.url(NAME, "https")
            ended = await deliver(url, self.limit_seconds, resolver=self.resolver, listed=None)
        assert receiver.connections == 0
        return ended


TEN_MB = b"x" * 10_000_000
RECEIVERS: dict[str, Receiver] = {
    "answers 204": Plain(answers(204)),
    "answers over TLS, with a good certificate": Tls(AUTHORITY.server(NAME)),
    "answers 200 and drips its body, a byte a second": Plain(
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", every_seconds=1)
    ),
    "answers 200 with 10 MB": Plain(answers(200, TEN_MB)),
    **{f"answers {status}": Plain(answers(status)) for status in (400, 401, 403, 404, 422, 429, 500, 410)},
    "answers 429 with Retry-After": Plain(answers(429, Retry_After="120")),
    "answers 503 with Retry-After": Plain(answers(503, Retry_After="120")),
    "redirects to http://169.254.169.254": Plain(answers(307, Location="http://169.254.169.254/latest")),
    "refuses the connection": Refusing(),
    "takes the connection and hangs": Plain(says(b""), LIMIT_SECONDS),
    "drips its header fields, a byte a second": Plain(
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", every_seconds=1), 2.2
    ),
    "closes the connection without an answer": Plain(cuts_off()),
    "does not speak HTTP": Plain(says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "does not speak TLS on its https port": Tls(None, answers(400)),
    "breaks the TLS handshake off": Tls(None, cuts_off(b"\x15\x03\x01\x00\x02\x02\x28")),
    "has a certificate for another name": Tls(AUTHORITY.server("another.example")),
    "has a certificate that has expired": Tls(AUTHORITY.server(NAME, ends_in=-dt.timedelta(minutes=1))),
    "has a certificate of an unknown authority": Tls(ANOTHER_AUTHORITY.server(NAME)),
    "has a name that does not resolve": Elsewhere(Names()),
    "has a name whose server does not answer": Elsewhere(Silent(), limit_seconds=LIMIT_SECONDS),
    "has a name that leads to a private address": Elsewhere(Names(LOOPBACK)),
    "has a name that leads elsewhere once it was checked": Elsewhere(
        Names(PUBLIC, LOOPBACK), checked_before=True
    ),
}


def told(outcome: Outcome) -> Row:
    """The outcome in the words of the page."""
    attempts = {Verdict.DELIVERED: "delivered", Verdict.TRY_AGAIN: "failed", Verdict.REJECTED: "rejected"}
    match outcome:
        case Outcome(verdict=Verdict.DELIVERED):
            then = "settled"
        case Outcome(verdict=Verdict.REJECTED):
            then = "given up" + (", and the subscription is disabled" if outcome.target_gone else "")
        case _:
            then = "tried again by the schedule"
            then += ", later if Retry-After says so" if outcome.retry_after_seconds == 120 else ""
    status = "" if outcome.status_code is None else str(outcome.status_code)
    return Row(attempts[outcome.verdict], status, outcome.detail, then)


def test_the_page_and_the_tests_tell_of_the_same_receivers() -> None:
    assert TABLE.keys() == RECEIVERS.keys()


@pytest.mark.parametrize("name", RECEIVERS)
async def test_a_delivery_ends_as_the_page_says(name: str) -> None:
    receiver, row = RECEIVERS[name], TABLE[name]
    started_seconds = time.monotonic()
    outcome = await receiver.outcome()
    took_seconds = time.monotonic() - started_seconds
    limit = f"{receiver.limit_seconds:g}"
    assert told(outcome) == Row(row.attempt, row.status, row.detail.replace("…", limit), row.then)
    assert took_seconds < receiver.limit_seconds + 1
    if row.attempt == "delivered":
        assert took_seconds < ANSWER_BODY_TIMEOUT_SECONDS + 2


async def test_receivers_that_hang_do_not_hold_up_the_others() -> None:
    """One client, many targets: a hundred that hang, and fifty that answer at once."""
    everybody = asyncio.Barrier(101)

    async def hangs(_: asyncio.StreamWriter) -> None:
        await everybody.wait()
        await asyncio.Event().wait()

    async with bare_server(hangs) as hanging, bare_server(answers(204)) as good:
        alone_seconds = await _time_of_deliveries(good)
        sender = GuardedHttp(TargetPolicy(frozenset({LOOPBACK})))
        stuck = [asyncio.create_task(deliver_by(sender, hanging.url(), 20)) for _ in range(100)]
        try:
            async with asyncio.timeout(10):
                await everybody.wait()
            beside_seconds = await _time_of_deliveries(good, sender)
        finally:
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            await sender.close()
    assert beside_seconds < alone_seconds * 3 + 1


async def _time_of_deliveries(good: BareServer, shared: GuardedHttp | None = None) -> float:
    sender = shared or GuardedHttp(TargetPolicy(frozenset({LOOPBACK})))
    started_seconds = time.monotonic()
    outcomes = await asyncio.gather(*(deliver_by(sender, good.url(), PATIENT_SECONDS) for _ in range(50)))
    took_seconds = time.monotonic() - started_seconds
    if shared is None:
        await sender.close()
    assert all(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)
    return took_seconds
