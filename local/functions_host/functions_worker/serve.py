"""Answers the host's requests with Microsoft's library until the channel ends."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import frames, log_records, protos, wire

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"


def main(channel_fd: int, app_dir: Path) -> None:
    """Run one app in this process; ends the process when the host closes the channel."""
    os.chdir(app_dir)
    packages = app_dir / ".python_packages" / "lib" / "site-packages"
    if packages.is_dir():
        sys.path.insert(0, str(packages))
    sys.path.insert(0, str(app_dir))
    asyncio.run(_serve(socket.socket(fileno=channel_fd), app_dir))


async def _serve(channel: socket.socket, app_dir: Path) -> None:
    # The library is imported here, after the app's own directories lead the path, as in Azure.
    import azure_functions_runtime as library

    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=2**20)

    def send(message: dict[str, Any]) -> None:
        if not writer.is_closing():
            writer.writelines(frames.encode(message))

    handler = log_records.ForwardingHandler(asyncio.get_running_loop(), send, library.invocation_id_cv)
    log_records.install(handler)
    library.start_threadpool_executor()
    worker = _Worker(library, app_dir)

    async def answer(call_id: int, request: dict[str, Any]) -> None:
        send({"type": "answer", "call_id": call_id, "answer": await worker.answer(request)})

    running: set[asyncio.Task[None]] = set()
    while True:
        try:
            message = await frames.read(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The host is gone or wants us gone. Whatever still runs has nobody to report to, and a thread
            # of the app could hold up an orderly exit for ever.
            os._exit(0)
        task = asyncio.create_task(answer(message["call_id"], message["request"]))
        running.add(task)
        task.add_done_callback(running.discard)


class _Worker:
    """Translates the host's requests into calls of the library."""

    def __init__(self, library: Any, app_dir: Path) -> None:
        self._library = library
        self._app_dir = str(app_dir)

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The library's response as a tree; an error that escapes the library becomes a failed result."""
        try:
            return await getattr(self, f"_{request['type']}")(request)  # type: ignore[no-any-return]  # untyped lookup
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the host must hear of every error of the app
            from azure_functions_runtime.utils.tracing import serialize_exception

            exception = wire.to_tree(serialize_exception(error, protos))
            return {"result": {"status": protos.StatusResult.Failure, "exception": exception}}

    async def _init(self, request: dict[str, Any]) -> dict[str, Any]:
        message = protos.WorkerInitRequest(
            host_version=request["host_version"], function_app_directory=self._app_dir
        )
        return await self._call("worker_init_request", message)

    async def _functions(self, _request: dict[str, Any]) -> dict[str, Any]:
        message = protos.FunctionsMetadataRequest(function_app_directory=self._app_dir)
        return await self._call("functions_metadata_request", message)

    async def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._call(
            "function_load_request", protos.FunctionLoadRequest(function_id=request["function_id"])
        )

    async def _invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        # Each request is answered in a task of its own, so this marks the log records of this invocation
        # only.
        self._library.invocation_id_cv.set(request["invocation_id"])
        return await self._call("invocation_request", wire.invocation(request))

    async def _call(self, name: str, message: Any) -> dict[str, Any]:
        envelope = SimpleNamespace(
            name=name,
            request=SimpleNamespace(**{name: message}),
            properties={"host": LOOPBACK, "protos": protos},
        )
        return wire.to_tree(await getattr(self._library, name)(envelope))  # type: ignore[no-any-return]  # untyped
