"""What every source of JSON documents does, and that the real one fails in one way only."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from local.part import LOOPBACK
from shared.adapters.http import JSON_TIMEOUT_SECONDS, MAX_JSON_BYTES, HttpJson
from shared.adapters.memory import MemoryJson
from shared.errors import UnavailableError
from tests.conformance.adapters.bare_server import answers, bare_server, cuts_off, drips, says
from tests.conformance.adapters.running_part import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.ports import JsonSource
    from tests.conformance.adapters.bare_server import Answering

DOCUMENT = {"keys": [{"kid": "é", "n": 2**70}], "issuer": None}
RAW = json.dumps(DOCUMENT).encode()


@asynccontextmanager
async def http_json(timeout_seconds: float = JSON_TIMEOUT_SECONDS) -> AsyncIterator[HttpJson]:
    source = HttpJson(timeout_seconds)
    try:
        yield source
    finally:
        await source.close()


@pytest.fixture(params=["memory", "http"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[tuple[JsonSource, str]]:
    """A source, and where it has a document."""
    if request.param == "memory":
        yield MemoryJson({"https://issuer.example/keys": DOCUMENT}), "https://issuer.example/keys"
        return
    async with bare_server(answers(200, RAW)) as issuer, http_json() as source:
        yield source, issuer.url()


async def test_a_document_is_fetched_and_everybody_gets_their_own(backend: tuple[JsonSource, str]) -> None:
    source, url = backend
    first, second = await asyncio.gather(source.fetch_json(url), source.fetch_json(url))
    assert first == second == DOCUMENT
    assert isinstance(first, dict)
    first.clear()
    assert await source.fetch_json(url) == DOCUMENT


async def test_what_is_not_there_is_unavailable(backend: tuple[JsonSource, str]) -> None:
    source, _ = backend
    with pytest.raises(UnavailableError):
        await source.fetch_json(f"http://{LOOPBACK}:{unused_port()}/")


BAD: dict[str, Answering] = {
    "not found": answers(404, RAW),
    "an error": answers(500, RAW),
    "no content": answers(204),
    "redirect": answers(302, RAW, Location="/elsewhere"),
    "not JSON": answers(200, b"<html>"),
    "nothing": answers(200, b""),
    "half of it": answers(200, RAW[:-1]),
    "not Unicode": answers(200, b'"\xff\xfe\xfd"'),
    "nested too deeply": answers(200, b"[" * 500_000),
    "a number too long": answers(200, b"9" * 10_000),
    "too large": answers(200, b'"' + b"x" * MAX_JSON_BYTES + b'"'),
    "not the encoding it says": answers(200, RAW, Content_Encoding="gzip"),
    "cut off": cuts_off(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
    "closed": cuts_off(),
    "not HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "too large and never ending": drips(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b" " * 0x10000 + b"\r\n",
        every_seconds=0,
    ),
}


@pytest.mark.parametrize("answering", BAD.values(), ids=BAD.keys())
async def test_every_bad_answer_is_unavailable(answering: Answering) -> None:
    async with bare_server(answering) as issuer, http_json() as source:
        with pytest.raises(UnavailableError) as raised:
            await source.fetch_json(issuer.url())
        assert LOOPBACK not in raised.value.detail
        assert len(issuer.requests) <= 2  # aiohttp asks once more when a connection is closed on it


async def test_documents_that_never_come_are_not_waited_for() -> None:
    drip = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" ")
    async with bare_server(says(b"")) as silent, bare_server(drip) as dripping, http_json(0.4) as source:
        started_seconds = time.monotonic()
        results = await asyncio.gather(
            source.fetch_json(silent.url()), source.fetch_json(dripping.url()), return_exceptions=True
        )
        assert [type(result) for result in results] == [UnavailableError, UnavailableError]
        assert time.monotonic() - started_seconds < 1.5


async def test_a_document_of_the_largest_size_is_taken() -> None:
    largest = b'"' + b"x" * (MAX_JSON_BYTES - 2) + b'"'
    async with bare_server(answers(200, largest)) as issuer, http_json() as source:
        assert len(str(await source.fetch_json(issuer.url()))) == MAX_JSON_BYTES - 2


async def test_connections_are_used_again() -> None:
    async with bare_server(answers(200, RAW)) as issuer, http_json() as source:
        for _ in range(4):
            await source.fetch_json(issuer.url())
    assert issuer.connections == 1


async def test_it_can_be_used_after_it_was_closed() -> None:
    async with bare_server(answers(200, RAW)) as issuer, http_json() as source:
        await source.fetch_json(issuer.url())
        await source.close()
        assert await source.fetch_json(issuer.url()) == DOCUMENT


@pytest.mark.filterwarnings("error")
async def test_a_cancelled_request_leaves_nothing_open(caplog: pytest.LogCaptureFixture) -> None:
    async with bare_server(says(b"")) as issuer:
        async with http_json() as source:
            cancelled = asyncio.create_task(source.fetch_json(issuer.url()))
            async with asyncio.timeout(2):
                await issuer.asked.wait()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        async with asyncio.timeout(2):
            await issuer.disconnected.wait()
    gc.collect()
    assert caplog.records == []
