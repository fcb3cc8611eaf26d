"""One worker process and the channel to it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.functions_host.functions_worker import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENTRY_POINT = Path(__file__).parent / "functions_worker" / "__main__.py"
HTTP_READY_SECONDS = 10.0
"""How long the worker's own HTTP server may take to listen after indexing."""
_HTTP_POLL_SECONDS = 0.01

logger = logging.getLogger(__name__)


class WorkerLostError(Exception):
    """The worker's process ended before it answered; what it was doing may be half done."""


class WorkerProcess:
    """A child process that runs the app. The channel's end is the process's end, both ways."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: socket.socket,
        on_log: Callable[[dict[str, Any]], None],
    ) -> None:
        self._process = process
        self._channel = channel
        self._on_log = on_log
        self._writer: asyncio.StreamWriter | None = None
        self._call_ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._why = ""
        self.http_uri: str | None = None
        """Where the worker serves HTTP itself, when the app streams; else none."""
        self.exited = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, app_dir: Path, environment: Mapping[str, str], on_log: Callable[[dict[str, Any]], None]
    ) -> WorkerProcess:
        """Start the process with this process's interpreter; ``app_dir`` becomes its working directory."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-u",  # what the app prints appears when it prints it
                str(ENTRY_POINT),
                str(theirs.fileno()),
                str(app_dir),
                pass_fds=[theirs.fileno()],
                env=dict(environment),
                cwd=app_dir,
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C in a terminal reaches the whole group; the host alone decides how its workers end.
                start_new_session=True,
            )
        worker = cls(process, ours, on_log)
        await worker._open()
        return worker

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the channel is open and nobody has decided to end the process."""
        return not self.exited.is_set() and not self._why

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer to one request.

        Raises:
            WorkerLostError: the process ended first.
        """
        if not self.is_alive or self._writer is None:
            raise WorkerLostError(self._loss())
        call_id = next(self._call_ids)
        answer = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        try:
            self._writer.writelines(frames.encode({"call_id": call_id, "request": request}))
            await self._writer.drain()
            return await answer  # type: ignore[no-any-return]  # frames carry JSON
        except ConnectionError as error:
            raise WorkerLostError(self._loss()) from error
        finally:
            self._waiting.pop(call_id, None)

    async def http_is_listening(self) -> bool:
        """Wait until the worker's HTTP server takes connections; false when it does not in time."""
        assert self.http_uri is not None  # noqa: S101 - asked only of a worker that announced one
        target = urlsplit(self.http_uri)
        deadline = asyncio.get_running_loop().time() + HTTP_READY_SECONDS
        while self.is_alive and asyncio.get_running_loop().time() < deadline:
            try:
                _, writer = await asyncio.open_connection(target.hostname, target.port)
            except OSError:
                await asyncio.sleep(_HTTP_POLL_SECONDS)
            else:
                writer.close()
                return True
        return False

    def kill(self, why: str) -> None:
        """End the process at once; every waiting call fails.

        The channel is closed first, then SIGKILL follows: on SIGTERM the library's HTTP server stops
        while the process lives on, half dead.
        """
        if not self._why:
            self._why = why
            if self._writer is not None:
                self._writer.close()
            if self._process.returncode is None:
                self._process.kill()
        self._fail_waiting()

    async def stop(self, why: str = "the host stops") -> None:
        """End the process and wait until it is gone."""
        self.kill(why)
        await self.exited.wait()

    async def _open(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=self._channel, limit=2**20)
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = await frames.read(reader)
                if message["type"] == "log":
                    self._on_log(message)
                elif (answer := self._waiting.get(message["call_id"])) and not answer.done():
                    answer.set_result(message["answer"])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (frames.FrameError, KeyError, TypeError) as error:
            self.kill(f"it sent a frame that cannot be read: {error}")
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._fail_waiting()
        if self._writer is not None:
            self._writer.close()
        self.exited.set()

    def _fail_waiting(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(WorkerLostError(self._loss()))

    def _loss(self) -> str:
        if self._why:
            return f"Worker process {self.pid} was ended: {self._why}."
        status = self._process.returncode
        return f"Worker process {self.pid} ended by itself" + (
            f" (status {status})." if status is not None else "."
        )
