from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from dropbell.connection import Connection
from dropbell.retrying import Backoff
from dropbell.sign_in import FixedToken
from tests.unit.client.fake_api import TOKEN, FakeApi, fake_api

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        yield api


NO_WAITING = Backoff(delays_seconds=(0.0,) * 3)


@pytest.fixture
def connection(api: FakeApi) -> Iterator[Connection]:
    """A connection that tries again three times, at once."""
    with Connection(api.url, FixedToken(TOKEN), timeout=(5, 5), backoff=NO_WAITING) as connection:
        yield connection


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
