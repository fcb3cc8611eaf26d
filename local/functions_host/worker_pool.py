"""Keeps the wanted number of worker processes running."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.functions_host.functions import AppIndex, index_from_worker
from local.functions_host.worker_process import WorkerLostError, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

HOST_VERSION = "4.1040.100"


@dataclass(frozen=True)
class RestartPolicy:
    """When a worker that ended is started again, and when that is given up.

    The Functions host allows three failures per process in a window and waits 5 to 10 s in between. Here
    a worker that had been serving comes back at once, since tests kill workers on purpose; one that fails
    to start is given up after three attempts, as there.
    """

    delays_seconds: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
    """Wait before the n-th restart in the window; the last one repeats."""
    window_seconds: float = 60.0
    failed_starts_per_process: int = 3
    ends_per_process: int = 40

    def delay_seconds(self, ends_in_window: int) -> float:
        """The wait before the next start, after ``ends_in_window`` (1 or more) recent ends."""
        return self.delays_seconds[min(ends_in_window, len(self.delays_seconds)) - 1]


class NoWorkerError(Exception):
    """No worker could take the call in time."""


class WorkerPool:
    """Runs ``count`` workers and hands them out in turn. The first one says which functions the app has."""

    def __init__(
        self,
        start_process: Callable[[], Awaitable[WorkerProcess]],
        *,
        count: int = 1,
        policy: RestartPolicy | None = None,
        init_seconds: float = 60.0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._start_process = start_process
        self._count = count
        self._policy = policy or RestartPolicy()
        self._init_seconds = init_seconds
        self._on_change = on_change
        self._ready: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._turn = itertools.count()
        self._changed = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()
        self.index: asyncio.Future[AppIndex] = asyncio.get_running_loop().create_future()
        """The app's functions, once the first worker has indexed them."""
        self.given_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Set to the reason when the workers cannot be kept running."""

    def start(self) -> None:
        """Start all workers in the background."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that can take calls."""
        return [worker.pid for worker in self._ready]

    async def pick(self, timeout_seconds: float = 30.0) -> WorkerProcess:
        """The next ready worker in turn; waits while all of them restart.

        Raises:
            NoWorkerError: none became ready in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    alive = [worker for worker in self._ready if worker.is_alive]
                    if alive:
                        return alive[next(self._turn) % len(alive)]
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise NoWorkerError(f"No worker process was ready within {timeout_seconds:g} s.") from error

    async def stop(self) -> None:
        """End all workers and wait for them."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._all))
        self._note_change()

    async def _keep(self) -> None:
        ends: deque[float] = deque()
        failed_starts = 0
        now = asyncio.get_running_loop().time
        while True:
            # One at a time: a worker picks a free port for its HTTP server and binds it only later, so two
            # that start together could pick the same one.
            async with self._starting:
                worker = await self._start_one()
            if worker is None:
                failed_starts += 1
            else:
                failed_starts = 0
                await worker.exited.wait()
                self._forget(worker)
                logger.error("Worker process %d has ended and is being replaced.", worker.pid)
            ends.append(now())
            while ends[0] < now() - self._policy.window_seconds:
                ends.popleft()
            if (
                failed_starts >= self._policy.failed_starts_per_process
                or len(ends) >= self._policy.ends_per_process
            ):
                self._give_up(
                    f"Worker processes ended {len(ends)} times in {self._policy.window_seconds:g} s."
                )
                return
            await asyncio.sleep(self._policy.delay_seconds(len(ends)))

    async def _start_one(self) -> WorkerProcess | None:
        worker = await self._start_process()
        self._all.append(worker)
        try:
            async with asyncio.timeout(self._init_seconds):
                index = await _initialise(worker)
        except (WorkerLostError, TimeoutError) as error:
            logger.error("Worker process %d did not start: %s", worker.pid, str(error) or "it took too long")  # noqa: TRY400 - the sentence says it all
            await worker.stop("it did not start")
            self._all.remove(worker)
            return None
        except asyncio.CancelledError:
            worker.kill("the host stops")
            raise
        if not self.index.done():
            self.index.set_result(index)
        self._ready.append(worker)
        self._note_change()
        return worker

    def _forget(self, worker: WorkerProcess) -> None:
        with contextlib.suppress(ValueError):
            self._ready.remove(worker)
            self._all.remove(worker)
        self._note_change()

    def _give_up(self, why: str) -> None:
        if not self.given_up.done():
            self.given_up.set_result(why)
        if not self.index.done():
            self.index.set_result(AppIndex(functions=(), error=why))

    def _note_change(self) -> None:
        self._changed.set()
        self._on_change()


async def _initialise(worker: WorkerProcess) -> AppIndex:
    """Let the worker import the app; afterwards it can take invocations."""
    started: dict[str, Any] = await worker.call({"type": "init", "host_version": HOST_VERSION})
    if not _succeeded(started):
        return index_from_worker(started, [])
    listed = await worker.call({"type": "functions"})
    functions = listed.get("function_metadata_results") or []
    for function in functions:
        await worker.call({"type": "load", "function_id": function["function_id"]})
    worker.http_uri = (started.get("capabilities") or {}).get("HttpUri")
    if worker.http_uri is not None and not await worker.http_is_listening():
        raise WorkerLostError(f"its HTTP server at {worker.http_uri} does not listen")
    return index_from_worker(started, functions)


def _succeeded(answer: dict[str, Any]) -> bool:
    return bool((answer.get("result") or {}).get("status") == 1)
