"""The port that waits for a browser: what it takes and what it does not."""

from __future__ import annotations

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest

from dropbell.loopback_redirect import LoopbackRedirect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE = "the-state-of-this-sign-in"


@pytest.fixture
def redirect() -> Iterator[LoopbackRedirect]:
    with LoopbackRedirect() as redirect:
        yield redirect


@pytest.fixture
def send(redirect: LoopbackRedirect) -> Callable[..., int]:
    """Do what a browser does, while the redirect waits."""
    port = urlsplit(redirect.uri).port

    def send(method: str, body: bytes | None = None, **fields: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request(method, "/", urlencode(fields).encode() if body is None else body)
        response = connection.getresponse()
        assert b"You can close this page" in response.read()
        connection.close()
        return response.status

    return send


def test_it_is_a_port_of_this_machine_only(redirect: LoopbackRedirect) -> None:
    assert redirect._server.server_address[0] == "127.0.0.1"
    assert urlsplit(redirect.uri).hostname == "localhost"


def test_the_answer_with_the_right_state_is_taken(
    redirect: LoopbackRedirect, send: Callable[..., int]
) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(redirect.wait, STATE, 10)
        assert send("POST", state=STATE, code="the code", client_info="x") == 200
        assert waiting.result(5) == {"state": STATE, "code": "the code", "client_info": "x"}


def test_a_refusal_is_an_answer_too(redirect: LoopbackRedirect, send: Callable[..., int]) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(redirect.wait, STATE, 10)
        assert send("POST", state=STATE, error="access_denied") == 200
        assert waiting.result(5) == {"state": STATE, "error": "access_denied"}


def test_anything_else_is_refused_and_the_waiting_goes_on(
    redirect: LoopbackRedirect, send: Callable[..., int]
) -> None:
    port = urlsplit(redirect.uri).port
    assert port is not None
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(redirect.wait, STATE, 10)
        with socket.create_connection(("127.0.0.1", port)):  # a browser's connection in reserve
            assert send("GET") == 405
            assert send("POST") == 400
            assert send("POST", state="another", code="somebody else's code") == 400
            assert send("POST", code="without a state") == 400
            assert send("POST", state=STATE) == 400
            assert send("POST", body=b"\xff" * 100) == 400
            assert send("POST", body=b"&".join(b"a=%d" % n for n in range(100))) == 400
            assert not waiting.done()
            assert send("POST", state=STATE, code="the code") == 200
            assert waiting.result(5) == {"state": STATE, "code": "the code"}


@pytest.mark.parametrize("length", ["", "-1", "many", "9999999999"])
def test_a_length_that_is_none_is_not_waited_for(redirect: LoopbackRedirect, length: str) -> None:
    port = urlsplit(redirect.uri).port
    with ThreadPoolExecutor() as pool, socket.create_connection(("127.0.0.1", port or 0)) as browser:
        waiting = pool.submit(redirect.wait, STATE, 0.5)
        browser.settimeout(5)
        browser.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert browser.recv(12) == b"HTTP/1.0 400"
        assert waiting.result(5) is None


def test_nobody_is_waited_for_for_ever(redirect: LoopbackRedirect) -> None:
    assert redirect.wait(STATE, 0.05) is None
