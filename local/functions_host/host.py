"""Puts the host together: starts the workers, listens for all triggers, drains and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from local.functions_host.admin import Admin
from local.functions_host.blob_queue import BlobQueue
from local.functions_host.blob_scan import BlobScan
from local.functions_host.blob_trigger import BlobTrigger
from local.functions_host.cors import CorsPolicy
from local.functions_host.functions import (
    BLOB_TRIGGER,
    HTTP_TRIGGER,
    SERVICE_BUS_TRIGGER,
    TIMER_TRIGGER,
    AppIndex,
    FunctionDefinition,
    FunctionError,
)
from local.functions_host.http_front import HttpFront
from local.functions_host.invocation import Invoker
from local.functions_host.service_bus_trigger import ServiceBusTrigger
from local.functions_host.timer_trigger import TimerTrigger
from local.functions_host.worker_pool import WorkerPool
from local.functions_host.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    from local.functions_host.console import Console
    from local.functions_host.host_json import HostConfig
    from local.functions_host.keys import HostKeys

DEFAULT_MAX_BODY_BYTES = 104_857_600
"""The Functions host's own limit; ``FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`` replaces it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostOptions:
    """All that a host is started with."""

    app_dir: Path
    port: int
    config: HostConfig
    environment: Mapping[str, str]
    """The worker's environment, and where bindings look up their settings."""
    keys: HostKeys | None
    """None means that nobody has to show a key."""
    cors: CorsPolicy = field(default_factory=CorsPolicy)
    worker_processes: int = 1
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    status_file: Path | None = None
    data_dir: Path | None = None
    drain_seconds: float = 10.0


class HostStartError(Exception):
    """The host cannot start; the sentence says why."""


class State(Enum):
    """Starting → Running or Error → Stopping."""

    STARTING = "Starting"
    RUNNING = "Running"
    ERROR = "Error"
    STOPPING = "Stopping"


_TRANSITIONS = {
    State.STARTING: {State.RUNNING, State.ERROR, State.STOPPING},
    State.RUNNING: {State.STOPPING},
    State.ERROR: {State.STOPPING},
    State.STOPPING: set[State](),
}


class Host:
    """One running host; also what the admin pages show of it."""

    def __init__(self, options: HostOptions, console: Console) -> None:
        self._options = options
        self._state = State.STARTING
        self._port = options.port
        self.errors: list[str] = []
        self.functions: dict[str, FunctionDefinition] = {}
        self.function_errors: dict[str, str] = {}
        self.disabled: frozenset[str] = frozenset()
        self._by_hand: dict[str, Callable[[str], Awaitable[object]]] = {}
        self._listeners: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._indexed = asyncio.Event()
        data_dir = options.data_dir
        self._queue = BlobQueue(data_dir / "blob-trigger" if data_dir else None)
        self._pool = WorkerPool(
            self._start_worker, count=options.worker_processes, on_change=self._write_status_file
        )
        self._console = console
        self._invoker = Invoker(self._pool, console, timeout_seconds=options.config.function_timeout_seconds)
        self._blobs = BlobTrigger(
            self._invoker, self._queue, options.config.blobs, options.environment, options.keys, self._stop
        )
        self._front = HttpFront(
            self._pool,
            self._invoker,
            keys=options.keys,
            cors=options.cors,
            route_prefix=options.config.route_prefix,
            max_body_bytes=options.max_body_bytes,
            own_paths=(Admin(self, self._pool, options.keys, self._run_by_hand), self._blobs.webhook),
            indexed=self._indexed,
        )

    @property
    def name(self) -> str:
        """The state's name, for the admin pages."""
        return self._state.value

    def poison(self) -> list[dict[str, Any]]:
        """Blob events that were given up."""
        return self._queue.poison()

    async def run(self, stop_requested: Coroutine[Any, Any, None]) -> int:
        """Run until asked to stop, or until the workers cannot be kept running; returns the exit status.

        Raises:
            HostStartError: the port cannot be listened on.
        """
        try:
            self._port = await self._front.start(self._options.port)
        except OSError as error:
            raise HostStartError(f"Port {self._options.port} cannot be used: {error.strerror}.") from error
        logger.info("Host listens on http://127.0.0.1:%d (process %d).", self._port, os.getpid())
        self._pool.start()
        self._write_status_file()
        stopping = asyncio.create_task(stop_requested)
        indexing = asyncio.create_task(self._start_functions())
        indexing.add_done_callback(_log_crash)
        try:
            giving_up = asyncio.ensure_future(self._pool.given_up)
            await asyncio.wait((stopping, giving_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            indexing.cancel()
        status = 0
        if self._pool.given_up.done():
            logger.error("%s The host stops.", self._pool.given_up.result())
            status = 1
        await self._drain()
        return status

    async def _start_functions(self) -> None:
        index = await self._pool.index
        try:
            self._take_index(index)
        finally:
            self._indexed.set()
        self._write_status_file()

    def _take_index(self, index: AppIndex) -> None:
        if index.error is not None:
            self.errors.append(index.error)
            self._move_to(State.ERROR)
            logger.error("The app could not be indexed; it has no functions.\nException: %s", index.error)
            return
        self._add_functions(index)
        self._move_to(State.RUNNING)

    def _add_functions(self, index: AppIndex) -> None:
        self.functions = {function.name: function for function in index.functions}
        self.disabled = frozenset(
            name
            for name in self.functions
            if self._options.environment.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1")
        )
        for function in index.functions:
            if function.name in self.disabled:
                logger.info("Function '%s' is disabled.", function.name)
                continue
            try:
                self._add_function(function)
            except FunctionError as error:
                self.function_errors[function.name] = str(error)
                logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
        if self._blobs.functions:
            self._listen(self._blobs.run())
        running = [
            name for name in self.functions if name not in self.function_errors and name not in self.disabled
        ]
        logger.info(
            "%d functions found, %d running: %s.",
            len(self.functions),
            len(running),
            ", ".join(running) or "none",
        )

    def _add_function(self, function: FunctionDefinition) -> None:
        function.check_supported()
        data_dir, environment = self._options.data_dir, self._options.environment
        match function.trigger.type:
            case kind if kind == HTTP_TRIGGER:
                self._front.add_function(function)
            case kind if kind == BLOB_TRIGGER:
                blob_function = self._blobs.add_function(function)
                self._by_hand[function.name] = lambda path: self._blobs.run_by_hand(function, path)
                if not blob_function.uses_event_grid:
                    receipts = data_dir / "blob-receipts" / f"{function.name}.json" if data_dir else None
                    self._listen(BlobScan(self._blobs, blob_function, receipts).run(self._stop))
            case kind if kind == SERVICE_BUS_TRIGGER:
                service_bus = ServiceBusTrigger(
                    function, self._invoker, self._options.config.service_bus, environment
                )
                self._by_hand[function.name] = service_bus.run_by_hand
                self._listen(service_bus.run(self._stop))
            case kind if kind == TIMER_TRIGGER:
                status = data_dir / "timers" / f"{function.name}.json" if data_dir else None
                timer = TimerTrigger(function, self._invoker, environment, status)
                self._by_hand[function.name] = timer.run_by_hand
                self._listen(timer.run(self._stop))

    def _listen(self, listener: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(listener)
        self._listeners.append(task)
        task.add_done_callback(_log_crash)

    async def _drain(self) -> None:
        """Stop taking work, let what runs finish for a while, then end the workers."""
        self._move_to(State.STOPPING)
        self._stop.set()
        await self._front.stop_listening()
        if self._invoker.activity.count:
            logger.info(
                "Stopping; %d runs get %g s to finish.",
                self._invoker.activity.count,
                self._options.drain_seconds,
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain_seconds):
                if self._listeners:
                    await asyncio.wait(self._listeners)
                await self._invoker.activity.idle()
                await self._front.activity.idle()
        for task in self._listeners:
            task.cancel()
        await self._pool.stop()
        await self._front.stop()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        if self._queue.unsettled_count and self._options.data_dir is None:
            logger.warning(
                "%d blob events were not worked on and are lost (no --data-dir).", self._queue.unsettled_count
            )
        logger.info("Host stopped.")

    async def _run_by_hand(self, function: FunctionDefinition, content: str) -> object:
        return await self._by_hand[function.name](content)

    async def _start_worker(self) -> WorkerProcess:
        return await WorkerProcess.start(self._options.app_dir, self._options.environment, self._on_log)

    def _on_log(self, record: dict[str, Any]) -> None:
        category = self._invoker.category(record.get("invocation_id"))
        self._console.write(int(record["level"]), category, str(record["message"]))

    def _move_to(self, state: State) -> None:
        if state in _TRANSITIONS[self._state]:
            self._state = state

    def _write_status_file(self) -> None:
        path = self._options.status_file
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.tmp")
        document = {
            "host_pid": os.getpid(),
            "worker_pids": self._pool.pids,
            "port": self._port,
            "state": self._state.value,
        }
        draft.write_text(json.dumps(document), encoding="utf-8")
        draft.replace(path)


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("A listener has ended and will not come back: %r", error, exc_info=error)
