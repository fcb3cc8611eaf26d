"""Turning the names of targets into addresses, apart from everything else that waits for threads."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Callable

    type LookUp = Callable[..., list[tuple[Any, ...]]]

MAX_THREADS: Final = 64
"""Several for each delivery that an instance has under way: a look-up goes on for a while after the attempt
that wanted it has been given up."""


class TargetNames(AbstractResolver):
    """The system's resolver (``getaddrinfo``), in threads of its own.

    A name server that does not answer keeps a thread for as long as the system is patient. In the event
    loop's few threads, where the HTTP client looks names up otherwise, some such targets would hold up all
    others, and the connections to Azure with them.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo, *, max_threads: int = MAX_THREADS) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="target-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of ``host``; raises OSError when it has none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._look_up, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(endpoint[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, endpoint in found
        ]

    async def close(self) -> None:
        """Begin no more look-ups; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
