"""Names that hang: the look-ups of the other targets, and of everything else, go on beside them."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Any

import pytest

from local.part import LOOPBACK
from shared.adapters.http import GuardedHttp
from shared.adapters.target_names import TargetNames
from shared.errors import TargetFailedError
from shared.notifications.channels.target_policy import TargetPolicy
from tests.conformance.adapters.bare_server import answers, bare_server

NAME = "hooks.example"
HANGING = min(32, (os.cpu_count() or 1) + 4) + 4
"""More than the threads that the event loop has for all else."""
MUCH_SECONDS = 10.0


class NameServer:
    """Knows one name; of every other one it says nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.hanging = asyncio.Semaphore(0)
        """Counts the look-ups that hang."""
        self._loop = asyncio.get_running_loop()

    def look_up(self, host: str, *rest: Any) -> list[tuple[Any, ...]]:
        if host != NAME:
            self._loop.call_soon_threadsafe(self.hanging.release)
            self.let_go.wait()
            raise socket.gaierror("nobody knows")
        return socket.getaddrinfo(LOOPBACK, *rest)


async def post(sender: GuardedHttp, url: str, *, timeout_seconds: float) -> int:
    answer = await sender.post(url, headers={}, body=b"{}", timeout_seconds=timeout_seconds)
    return answer.status_code


async def test_names_that_hang_hold_up_neither_other_targets_nor_the_event_loops_threads() -> None:
    names = NameServer()
    sender = GuardedHttp(TargetPolicy(frozenset({NAME})), TargetNames(names.look_up))
    async with bare_server(answers(204)) as receiver:
        stuck = [
            asyncio.create_task(post(sender, f"https://{number}.example/", timeout_seconds=MUCH_SECONDS))
            for number in range(HANGING)
        ]
        try:
            async with asyncio.timeout(MUCH_SECONDS / 2):
                for _ in range(HANGING):
                    await names.hanging.acquire()
                url = f"http://{NAME}:{receiver.port}/hook"
                assert await post(sender, url, timeout_seconds=MUCH_SECONDS) == 204
                assert await asyncio.to_thread(lambda: "free") == "free"
            assert not any(task.done() for task in stuck)
        finally:
            names.let_go.set()
            ended = await asyncio.gather(*stuck, return_exceptions=True)
            await sender.close()
    assert {str(error) for error in ended} == {"the target's name does not resolve"}


async def test_a_name_that_hangs_is_not_waited_for_beyond_the_limit() -> None:
    names = NameServer()
    sender = GuardedHttp(TargetPolicy(), TargetNames(names.look_up))
    try:
        with pytest.raises(TargetFailedError, match=r"^the target did not answer within 0\.2 s$"):
            await post(sender, "https://hangs.example/", timeout_seconds=0.2)
    finally:
        names.let_go.set()
        await sender.close()


async def test_the_systems_names_are_looked_up_with_all_their_addresses() -> None:
    names = TargetNames()
    try:
        found = await names.resolve("localhost", 8443, socket.AF_UNSPEC)
    finally:
        await names.close()
    expected = socket.getaddrinfo("localhost", 8443, type=socket.SOCK_STREAM)
    assert {(each["host"], each["port"], each["family"]) for each in found} == {
        (str(endpoint[0]), 8443, family) for family, _, _, _, endpoint in expected
    }
