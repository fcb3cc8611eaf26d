"""Blocks that are on their way to storage, a few at a time, so that memory stays bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from shared.errors import ProblemError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

BLOCKS_IN_FLIGHT = 3
"""Blocks being sent at the same time. With one being filled, and copies, an upload holds 28 MiB at most."""


class BlocksInFlight:
    """Sends blocks; leaving the context waits for all of them.

    Where the content is refused in the middle, too: whoever throws away what was staged must not have more of
    it arrive afterwards, as a request to storage can though it was cancelled. When storage fails, or when the
    whole is cancelled, nobody waits.
    """

    def __init__(self) -> None:
        self._tasks: deque[asyncio.Task[None]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def send(self, block: Coroutine[None, None, None]) -> None:
        """Begin to send a block, once there is room; raises what an earlier block has failed with."""
        try:
            if len(self._tasks) >= BLOCKS_IN_FLIGHT:
                await self._tasks[0]
                self._tasks.popleft()
        except BaseException:
            block.close()
            raise
        self._tasks.append(asyncio.create_task(block))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_refusal = isinstance(error, ProblemError) and not isinstance(error, UnavailableError)
        try:
            if error is None:
                await asyncio.gather(*self._tasks)
            elif is_refusal:
                await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
