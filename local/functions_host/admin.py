"""The host's own addresses under ``/admin``: state, list of functions, running one by hand."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from local.functions_host.functions import HTTP_TRIGGER
from local.functions_host.http_front import given_key
from local.functions_host.keys import AuthLevel
from local.functions_host.worker_pool import HOST_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.functions_host.functions import FunctionDefinition
    from local.functions_host.keys import HostKeys
    from local.functions_host.worker_pool import WorkerPool


class HostState(Protocol):
    """What the admin pages show of the host."""

    @property
    def name(self) -> str:
        """``Starting``, ``Running``, ``Error`` or ``Stopping``."""

    @property
    def errors(self) -> list[str]:
        """Why the app, or the host, does not work."""

    @property
    def functions(self) -> Mapping[str, FunctionDefinition]:
        """All indexed functions by name."""

    @property
    def function_errors(self) -> Mapping[str, str]:
        """Functions that do not run here, and why."""

    @property
    def disabled(self) -> frozenset[str]:
        """Functions that a setting switched off."""

    def poison(self) -> list[dict[str, Any]]:
        """Blob events that were given up."""


class Admin:
    """Answers ``/admin/…``; all but the ping takes the master key."""

    def __init__(
        self,
        state: HostState,
        pool: WorkerPool,
        keys: HostKeys | None,
        run_by_hand: Callable[[FunctionDefinition, str], Awaitable[object]],
    ) -> None:
        self._state = state
        self._pool = pool
        self._keys = keys
        self._run_by_hand = run_by_hand
        self._started = time.monotonic()
        self._running: set[asyncio.Task[object]] = set()

    async def __call__(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """Answer a request under ``admin``; none when the path is not one of these."""
        parts = path.rstrip("/").lower().split("/")
        if parts[0] != "admin":
            return None
        if parts[1:] == ["host", "ping"] and request.method in ("GET", "POST"):
            return web.Response()
        if self._keys is not None and not self._keys.allow(AuthLevel.ADMIN, given_key(request)):
            return web.Response(status=401)
        match request.method, parts[1:]:
            case "GET", ["host", "status"]:
                return web.json_response(self._status())
            case "GET", ["host", "poison"]:
                return web.json_response({"items": self._state.poison()})
            case "GET", ["functions"]:
                base = f"{request.scheme}://{request.host}"
                return web.json_response(
                    [self._describe(each, base) for each in self._state.functions.values()]
                )
            case method, ["functions", name, *rest]:
                return await self._function(request, method, name, rest)
        return None

    async def _function(
        self, request: web.BaseRequest, method: str, name: str, rest: list[str]
    ) -> web.StreamResponse | None:
        function = next((each for key, each in self._state.functions.items() if key.lower() == name), None)
        if function is None:
            return web.Response(status=404, text=f"There is no function '{name}'.")
        if method == "GET" and rest == ["status"]:
            error = self._state.function_errors.get(function.name)
            return web.json_response({"errors": [error]} if error else {})
        if rest:
            return None
        if method == "GET":
            return web.json_response(self._describe(function, f"{request.scheme}://{request.host}"))
        if method == "POST":
            return await self._run(request, function)
        return None

    async def _run(self, request: web.BaseRequest, function: FunctionDefinition) -> web.Response:
        error = self._state.function_errors.get(function.name)
        if error is None and function.trigger.type == HTTP_TRIGGER:
            error = f"Function '{function.name}' has an HTTP trigger: call its route instead."
        if error is not None:
            return web.Response(status=400, text=error)
        text = (await request.read()).decode("utf-8", "replace")
        try:
            document = json.loads(text) if text.strip() else {}
        except ValueError:
            return web.Response(status=400, text='The body must be JSON of the form {"input": "…"}.')
        given = document.get("input", "") if isinstance(document, dict) else ""
        content = given if isinstance(given, str) else json.dumps(given)
        task = asyncio.ensure_future(self._run_by_hand(function, content))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return web.Response(status=202)

    def _status(self) -> dict[str, Any]:
        return {
            "id": "local",
            "state": self._state.name,
            "version": HOST_VERSION,
            "versionDetails": HOST_VERSION,
            "processUptime": round((time.monotonic() - self._started) * 1000),
            "errors": self._state.errors,
            # Beyond Azure's answer: what scripts that kill and watch workers need.
            "hostPid": os.getpid(),
            "workerPids": self._pool.pids,
            "functionErrors": dict(self._state.function_errors),
        }

    def _describe(self, function: FunctionDefinition, base: str) -> dict[str, Any]:
        return {
            "name": function.name,
            "href": f"{base}/admin/functions/{function.name}",
            "language": "python",
            "isDisabled": function.name in self._state.disabled,
            "isDirect": True,
            "config": {
                "name": function.name,
                "scriptFile": function.script_file,
                "language": "python",
                "bindings": [dict(settings) for settings in function.raw_bindings],
            },
            "error": self._state.function_errors.get(function.name),
        }
