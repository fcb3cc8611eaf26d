"""One part of the stack as a child process: started, watched until healthy, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from local.part import LOOPBACK, STOP_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.03
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
LOG_TAIL_LINES = 15


class StackError(Exception):
    """The stack cannot run; the message says which part failed and why."""


@dataclass(slots=True)
class PartProcess:
    """A part, by the command of the module that is it."""

    name: str
    arguments: Sequence[str]
    log_file: Path
    health_urls: Sequence[str] = ()
    """Answer 200 when the part is ready."""
    health_ports: Sequence[int] = ()
    """Take connections when the part is ready."""
    environment: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; its output goes to the log file."""
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, STOP_WITH_PARENT: "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C reaches the launcher only, which stops the parts in order
            )

    async def healthy(self, session: aiohttp.ClientSession) -> None:
        """Return when the part is ready; raises StackError when it ends or is not ready in time."""
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                for port in self.health_ports:
                    await self._until_connected(port)
                for url in self.health_urls:
                    await self._until_ok(session, url)
        except TimeoutError:
            raise self.failure(f"was not ready within {START_TIMEOUT_SECONDS:g} s") from None

    async def _until_connected(self, port: int) -> None:
        while True:
            self._check_running()
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                return

    async def _until_ok(self, session: aiohttp.ClientSession, url: str) -> None:
        while True:
            self._check_running()
            with suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(POLL_SECONDS)

    def _check_running(self) -> None:
        if self.process is not None and self.process.returncode is not None:
            raise self.failure(f"ended by itself with exit code {self.process.returncode}")

    def failure(self, what: str) -> StackError:
        """The error for this part, with the end of its log."""
        lines = self.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        told = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        return StackError(f"{self.name} {what}. Its last words:\n{told}")

    async def stop(self) -> None:
        """Ask the process to stop, and make it when it does not."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
