"""What every HTTP sender does, and how the real one guards itself against the receivers that users choose."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from local.entra.certificate import new_server_identity
from local.part import LOOPBACK
from shared.adapters.http import ANSWER_BODY_TIMEOUT_SECONDS, MAX_ANSWER_BYTES, GuardedHttp, _leads_to
from shared.adapters.memory import MemorySender
from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels.target_policy import Target, TargetPolicy
from shared.ports import ANSWER_START_BYTES, HttpAnswer
from tests.conformance.adapters.bare_server import answers, bare_server, cuts_off, drips, says
from tests.conformance.adapters.running_part import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.ports import HttpSender
    from tests.conformance.adapters.bare_server import Answering

HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}
BODY = b'{"hello":"world"}'
TIMEOUT_SECONDS = 5.0
SHORT_SECONDS = 0.4


class Addresses(AbstractResolver):
    """Every name has these addresses."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def sender_to(*hosts: str, resolver: Addresses | None = None) -> AsyncIterator[GuardedHttp]:
    sender = GuardedHttp(TargetPolicy(frozenset(hosts)), resolver)
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: HttpSender, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> HttpAnswer:
    return await sender.post(url, headers=HEADERS, body=BODY, timeout_seconds=timeout_seconds)


@pytest.fixture(params=["memory", "http"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[tuple[HttpSender, str]]:
    """A sender and an address that answers 503, with Retry-After and a few words."""
    if request.param == "memory":
        yield MemorySender(HttpAnswer(503, "7", b"busy")), "https://receiver.example/hook"
        return
    answering = answers(503, b"busy", Retry_After="7")
    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        yield sender, receiver.url()


async def test_what_the_receiver_answered_is_passed_on(backend: tuple[HttpSender, str]) -> None:
    sender, url = backend
    assert await post(sender, url) == HttpAnswer(503, "7", b"busy")


@pytest.fixture(params=["memory", "http"])
async def failing_backend(request: pytest.FixtureRequest) -> AsyncIterator[tuple[HttpSender, str]]:
    if request.param == "memory":
        yield (
            MemorySender(TargetFailedError("the target cannot be connected to")),
            "https://receiver.example/",
        )
        return
    async with sender_to(LOOPBACK) as sender:
        yield sender, f"http://{LOOPBACK}:{unused_port()}/"


async def test_a_refused_connection_is_a_failed_target(failing_backend: tuple[HttpSender, str]) -> None:
    sender, url = failing_backend
    with pytest.raises(TargetFailedError, match=r"^the target cannot be connected to$"):
        await post(sender, url)


async def test_what_is_posted_arrives_and_nothing_is_added() -> None:
    async with bare_server(answers(204)) as receiver, sender_to(LOOPBACK) as sender:
        await post(sender, receiver.url())
    (request,) = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert request.body == BODY
    assert request.headers == HEADERS | {
        "host": f"{LOOPBACK}:{receiver.port}",
        "content-length": str(len(BODY)),
    }


async def test_connections_are_used_again() -> None:
    async with bare_server(answers(200, b"thank you" * 1000)) as receiver, sender_to(LOOPBACK) as sender:
        for _ in range(5):
            await post(sender, receiver.url())
    assert receiver.connections == 1


async def test_many_slow_receivers_are_posted_to_at_once() -> None:
    everybody = asyncio.Barrier(120)

    async def together(writer: asyncio.StreamWriter) -> None:
        await everybody.wait()
        await answers(200)(writer)

    async with bare_server(together) as receiver, sender_to(LOOPBACK) as sender:
        await asyncio.gather(*(post(sender, receiver.url(), 3) for _ in range(everybody.parties)))


@pytest.mark.parametrize("location", ["/other", "http://169.254.169.254/latest/meta-data"])
async def test_redirects_are_not_followed(location: str) -> None:
    async with bare_server(answers(307, Location=location)) as receiver, sender_to(LOOPBACK) as sender:
        assert await post(sender, receiver.url()) == HttpAnswer(307)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("addresses", [[LOOPBACK], [LOOPBACK, "::1"], ["::ffff:127.0.0.1"], ["10.0.0.1"]])
async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    async with bare_server(answers(200)) as receiver, sender_to(resolver=Addresses(addresses)) as sender:
        with pytest.raises(TargetNotAllowedError, match=r"^the target's address is not a public one$"):
            await post(sender, receiver.url("hooks.example", "https"))
    assert receiver.connections == 0


async def test_the_name_localhost_is_not_connected_to() -> None:
    async with bare_server(answers(200)) as receiver, sender_to() as sender:
        with pytest.raises(TargetNotAllowedError):
            await post(sender, receiver.url("localhost", "https"))
    assert receiver.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host", [LOOPBACK, "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.0.0.1", "0", "127.0.0.1."]
)
async def test_no_spelling_of_a_private_address_is_connected_to(host: str, scheme: str) -> None:
    async with bare_server(answers(200)) as receiver, sender_to("receiver.example") as sender:
        with pytest.raises(TargetNotAllowedError):
            await post(sender, receiver.url(host, scheme))
    assert receiver.connections == 0


async def test_plain_http_needs_a_listed_host() -> None:
    async with bare_server(answers(200)) as receiver, sender_to() as sender:
        with pytest.raises(TargetNotAllowedError):
            await post(sender, receiver.url("localhost"))
    assert receiver.connections == 0


async def test_a_listed_name_may_lead_to_a_private_address() -> None:
    resolver = Addresses([LOOPBACK])
    async with bare_server(answers(200)) as receiver, sender_to("hooks.example", resolver=resolver) as sender:
        assert await post(sender, receiver.url("hooks.example")) == HttpAnswer(200)


async def test_a_listed_host_that_the_http_client_reads_as_another_is_guarded() -> None:
    wide = "\uff4cocalhost"  # the policy's parser keeps the wide l, the client's turns it into an l
    async with bare_server(answers(200)) as receiver, sender_to(wide) as sender:
        with pytest.raises(TargetNotAllowedError):
            await post(sender, receiver.url(wide))
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "url", ["http://\uff4cocalhost/", "http://localhost:81/", "http://xn--a/", "http://["]
)
def test_an_address_is_trusted_only_if_the_http_client_would_go_there_too(url: str) -> None:
    assert _leads_to(Target(url, "localhost", 80, allowed_by_name=True), "http://localhost/")
    host = "localhost" if "localhost" in url else "\uff4cocalhost"
    assert not _leads_to(Target(url, host, 80, allowed_by_name=True), url)


async def test_a_listed_host_and_port_opens_no_other_port() -> None:
    async with (
        bare_server(answers(200)) as listed,
        bare_server(answers(200)) as other,
        sender_to(f"localhost:{listed.port}") as sender,
    ):
        assert await post(sender, listed.url("localhost")) == HttpAnswer(200)
        with pytest.raises(TargetNotAllowedError):
            await post(sender, other.url("localhost"))
    assert other.connections == 0


async def test_a_listed_host_opens_no_connection_that_others_can_use() -> None:
    """The pools are apart: what is not listed cannot ride on a connection that was allowed by name."""
    async with bare_server(answers(200)) as receiver, sender_to(LOOPBACK) as sender:
        await post(sender, receiver.url())
        with pytest.raises(TargetNotAllowedError):
            await post(sender, receiver.url("localhost", "https"))
    assert receiver.connections == 1


SLOW: dict[str, Answering] = {
    "no answer": says(b""),
    "half a status line": says(b"HTTP/1.1 2"),
    "headers that drip": drips(b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n", every_seconds=0.1),
}


@pytest.mark.parametrize("answering", SLOW.values(), ids=SLOW.keys())
async def test_an_answer_that_does_not_come_is_not_waited_for(answering: Answering) -> None:
    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        started_seconds = time.monotonic()
        with pytest.raises(TargetFailedError, match="did not answer within"):
            await post(sender, receiver.url(), SHORT_SECONDS)
        assert time.monotonic() - started_seconds < SHORT_SECONDS + 0.5


async def test_an_address_where_nobody_takes_up_is_not_waited_for() -> None:
    with socket.socket() as deaf:
        deaf.bind((LOOPBACK, 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]  # what fits into the backlog
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, port))
        async with sender_to(LOOPBACK) as sender:
            with pytest.raises(TargetFailedError, match="did not answer within"):
                await post(sender, f"http://{LOOPBACK}:{port}/", SHORT_SECONDS)
        for filler in fillers:
            filler.close()


ENDLESS: dict[str, Answering] = {
    "slow": drips(b"HTTP/1.1 202 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    "never ending": drips(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "until the connection closes": drips(b"HTTP/1.1 202 OK\r\n\r\n", b"x"),
    "announced and not sent": says(b"HTTP/1.1 202 OK\r\nContent-Length: 10\r\n\r\n"),
}


@pytest.mark.parametrize("answering", ENDLESS.values(), ids=ENDLESS.keys())
async def test_a_status_counts_whatever_becomes_of_the_body(answering: Answering) -> None:
    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        started_seconds = time.monotonic()
        answer = await post(sender, receiver.url(), SHORT_SECONDS)
        assert (answer.status_code, answer.body_start.strip(b"x")) == (202, b"")
        assert time.monotonic() - started_seconds < SHORT_SECONDS + 0.5
        async with asyncio.timeout(2):
            await receiver.disconnected.wait()


async def test_a_body_is_not_waited_for_as_long_as_an_answer() -> None:
    async with bare_server(ENDLESS["slow"]) as receiver, sender_to(LOOPBACK) as sender:
        started_seconds = time.monotonic()
        assert (await post(sender, receiver.url(), 30)).status_code == 202
        assert time.monotonic() - started_seconds < ANSWER_BODY_TIMEOUT_SECONDS + 0.5


async def test_a_huge_answer_is_not_read_whole() -> None:
    written_bytes = 0

    async def huge(writer: asyncio.StreamWriter) -> None:
        nonlocal written_bytes
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(1600):
            writer.write(chunk)
            await writer.drain()
            written_bytes += len(chunk)

    async with bare_server(huge) as receiver, sender_to(LOOPBACK) as sender:
        assert await post(sender, receiver.url()) == HttpAnswer(200, body_start=bytes(ANSWER_START_BYTES))
        async with asyncio.timeout(2):
            await receiver.disconnected.wait()
    assert MAX_ANSWER_BYTES <= written_bytes < 32 * 1024 * 1024  # the rest filled the buffers of both kernels


async def test_the_start_of_an_answer_that_comes_in_pieces_is_put_together() -> None:
    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for piece in (b"p", b"on", b"g"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    async with bare_server(in_pieces) as receiver, sender_to(LOOPBACK) as sender:
        assert await post(sender, receiver.url()) == HttpAnswer(200, body_start=b"pong")


async def test_a_compressed_answer_is_not_unpacked() -> None:
    answering = answers(200, b"this is not gzip", Content_Encoding="gzip")
    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        for _ in range(2):
            answer = await post(sender, receiver.url())
            assert answer == HttpAnswer(200, body_start=b"this is not gzip")
    assert receiver.connections == 1


NO_ANSWER: dict[str, tuple[Answering, str]] = {
    "closed": (cuts_off(), "the target closed the connection without an answer"),
    "half a status line": (cuts_off(b"HTTP/1.1 2"), "the target .*"),
    "half a head": (cuts_off(b"HTTP/1.1 200 OK\r\nContent-Le"), "the target .*"),
    "not HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "the target did not speak HTTP as it should"),
    "a huge head": (
        says(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000 + b"\r\n\r\n"),
        "the target did not speak HTTP as it should",
    ),
}


@pytest.mark.parametrize(("answering", "words"), NO_ANSWER.values(), ids=NO_ANSWER.keys())
async def test_what_is_no_answer_is_a_failed_target(answering: Answering, words: str) -> None:
    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        with pytest.raises(TargetFailedError, match=f"^{words}$") as raised:
            await post(sender, receiver.url())
        assert LOOPBACK not in str(raised.value)


async def test_a_certificate_that_proves_nothing_is_a_failed_target() -> None:
    words = "^the target's TLS certificate or handshake is not good$"
    identity = new_server_identity()
    async with bare_server(answers(200), identity.context) as receiver, sender_to("localhost") as sender:
        with pytest.raises(TargetFailedError, match=words):
            await post(sender, receiver.url("localhost", "https"))
        assert receiver.requests == []


async def test_a_receiver_that_does_not_speak_tls_is_a_failed_target() -> None:
    with socket.create_server((LOOPBACK, 0)) as plain:

        def answer_in_plain_text() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = asyncio.create_task(asyncio.to_thread(answer_in_plain_text))
        async with sender_to("localhost") as sender:
            with pytest.raises(TargetFailedError, match=r"^the target's TLS certificate or handshake"):
                await post(sender, f"https://localhost:{plain.getsockname()[1]}/hook")
        await answering


async def test_a_name_that_does_not_resolve_is_a_failed_target() -> None:
    async with sender_to() as sender:
        with pytest.raises(TargetFailedError, match=r"^the target's name does not resolve$"):
            await post(sender, "https://no-such-host.invalid/hook")


async def test_a_host_that_the_http_client_does_not_take_is_not_allowed() -> None:
    async with sender_to() as sender:
        with pytest.raises(TargetNotAllowedError, match=r"^the target's host is no name"):
            await post(sender, "https://8.8.8.8./hook")


async def test_a_listed_name_that_only_looks_like_an_international_one_does_not_resolve() -> None:
    async with sender_to("xn--a") as sender:
        with pytest.raises(TargetFailedError, match=r"^the target's name does not resolve$"):
            await post(sender, "https://xn--a/hook")


@given(
    st.from_regex(r"[a-z0-9_-]{1,12}(\.(xn--)?[a-z0-9_-]{1,12}){0,3}\.?", fullmatch=True),
    st.text(max_size=20),
    st.integers(1, 65535),
)
async def test_whatever_the_policy_lets_through_ends_in_an_answer_or_an_error_of_ours(
    host: str, path: str, port: int
) -> None:
    async with sender_to(resolver=Addresses([LOOPBACK])) as sender:
        with pytest.raises((TargetNotAllowedError, TargetFailedError)):
            await post(sender, f"https://{host}:{port}/{path}", SHORT_SECONDS)


async def test_a_cancelled_post_leaves_the_sender_usable() -> None:
    turns = iter([says(b""), answers(200)])

    async def answering(writer: asyncio.StreamWriter) -> None:
        await next(turns)(writer)

    async with bare_server(answering) as receiver, sender_to(LOOPBACK) as sender:
        cancelled = asyncio.create_task(post(sender, receiver.url()))
        async with asyncio.timeout(2):
            await receiver.asked.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await post(sender, receiver.url()) == HttpAnswer(200)
    assert receiver.connections == 2  # an answer to the first would have been taken for the second's
