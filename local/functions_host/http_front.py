"""The host's HTTP server: which request goes where, who may send it, how big it may be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from local.functions_host.activity import Activity
from local.functions_host.functions import FunctionDefinition, FunctionError
from local.functions_host.http_body import BodyTooLargeError, RequestBody
from local.functions_host.http_classic import ClassicResponse, request_data, response_from
from local.functions_host.http_server import HttpServer
from local.functions_host.http_stream import (
    StreamProxy,
    WorkerHttpGoneError,
    end_to_end,
    origin_form,
)
from local.functions_host.invocation import Invocation, Outcome
from local.functions_host.keys import AuthLevel, HostKeys, parse_level
from local.functions_host.routes import RouteError, Router
from local.functions_host.worker_pool import NoWorkerError
from local.part import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.functions_host.cors import CorsPolicy
    from local.functions_host.invocation import Invoker
    from local.functions_host.worker_pool import WorkerPool
    from local.functions_host.worker_process import WorkerProcess

RESERVED_PREFIXES = ("admin", "runtime")
HOME_PAGE = "<!doctype html><title>Functions</title><h1>Your function app is up and running</h1>"
INDEXING_SECONDS = 60.0
"""How long a request waits for the app to be indexed after a start."""

logger = logging.getLogger(__name__)


class PathHandler(Protocol):
    """Answers the host's own addresses (``/admin/…``, ``/runtime/…``); none when it does not know one."""

    async def __call__(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """Answer a request whose path, without its leading slash, is ``path``."""


@dataclass(frozen=True)
class _HttpFunction:
    definition: FunctionDefinition
    level: AuthLevel


class HttpFront:
    """Routes requests to functions, and to the host's own addresses."""

    def __init__(
        self,
        pool: WorkerPool,
        invoker: Invoker,
        *,
        keys: HostKeys | None,
        cors: CorsPolicy,
        route_prefix: str,
        max_body_bytes: int,
        own_paths: Sequence[PathHandler],
        indexed: asyncio.Event,
    ) -> None:
        self._pool = pool
        self._invoker = invoker
        self._keys = keys
        self._cors = cors
        self._prefix = f"{route_prefix}/" if route_prefix else ""
        self._max_body_bytes = max_body_bytes
        self._own_paths = own_paths
        self._indexed = indexed
        self._router: Router[_HttpFunction] = Router()
        self._proxy: StreamProxy | None = None
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self.activity = Activity()
        """The requests under way, to the last byte of their answers."""
        self._background: set[asyncio.Task[Outcome]] = set()

    def add_function(self, function: FunctionDefinition) -> None:
        """Serve an HTTP function.

        Raises:
            FunctionError: its route or authorisation level cannot be used.
        """
        trigger = function.trigger
        route = f"{self._prefix}{trigger.text('route', function.name).strip('/')}"
        if route.partition("/")[0].lower() in RESERVED_PREFIXES:
            raise FunctionError(
                f"Function '{function.name}': the route '{route}' conflicts with a built-in route."
            )
        try:
            level = parse_level(trigger.text("authLevel"))
            self._router.add(route, trigger.settings.get("methods") or (), _HttpFunction(function, level))
        except (RouteError, ValueError) as error:
            raise FunctionError(f"Function '{function.name}': {error}") from error

    async def start(self, port: int) -> int:
        """Listen on loopback; returns the port (0 asks for a free one)."""
        self._proxy = StreamProxy()
        server = HttpServer(self._answer, auto_decompress=False)  # a proxy passes a body on as it is
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, LOOPBACK, port, backlog=1024)
        await self._site.start()
        return int(self._runner.addresses[0][1])

    async def stop_listening(self) -> None:
        """Take no new connections; requests under way go on."""
        if self._site is not None:
            await self._site.stop()

    async def stop(self) -> None:
        """Close all that is still open."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._proxy is not None:
            await self._proxy.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        with self.activity:
            return await self._answer_or_fail(request)

    async def _answer_or_fail(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if preflight := self._cors.preflight(request.method, request.headers):
                return web.Response(status=204, headers=preflight)
            response = await self._route(request)
        except BodyTooLargeError:
            response = web.Response(status=413, text="The request body is too large.")
        except web.HTTPException as error:
            response = error
        except Exception:
            logger.exception("The host failed on %s %s.", request.method, request.path)
            response = web.Response(status=500)
        if not response.prepared:
            response.headers.update(self._cors.headers(request.headers))
        return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = origin_form(request.raw_path).partition("?")[0].lstrip("/")
        is_own = path.partition("/")[0].lower() in RESERVED_PREFIXES
        is_home = not path and request.method in ("GET", "HEAD")
        if not is_home and not path.startswith("admin/host/"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._indexed.wait(), INDEXING_SECONDS)
        if is_own:
            for handler in self._own_paths:
                response = await handler(request, path)
                if response is not None:
                    return response
            return web.Response(status=404)
        found = self._router.find(request.method, path)
        if found is None:
            if is_home:
                return web.Response(text=HOME_PAGE, content_type="text/html")
            return web.Response(status=404)
        function, parameters = found
        if self._keys is not None and not self._keys.allow(function.level, given_key(request)):
            return web.Response(status=401)
        body = RequestBody(request, self._max_body_bytes)
        if body.is_over_limit:
            raise BodyTooLargeError
        return await self._run(request, function.definition, parameters, body)

    async def _run(
        self,
        request: web.BaseRequest,
        function: FunctionDefinition,
        parameters: dict[str, str],
        body: RequestBody,
    ) -> web.StreamResponse:
        try:
            worker = await self._pool.pick()
            if worker.http_uri is None:
                return await self._run_classic(request, worker, function, parameters, body)
            try:
                return await self._run_streaming(request, worker, function, parameters, body)
            except WorkerHttpGoneError:
                worker.kill("its HTTP server takes no connections any more")
            worker = await self._pool.pick()
            return await self._run_streaming(request, worker, function, parameters, body)
        except (NoWorkerError, WorkerHttpGoneError) as error:
            return web.Response(status=503, text=str(error))

    async def _run_streaming(
        self,
        request: web.BaseRequest,
        worker: WorkerProcess,
        function: FunctionDefinition,
        parameters: dict[str, str],
        body: RequestBody,
    ) -> web.StreamResponse:
        assert self._proxy is not None  # noqa: S101 - the server listens, so it was started
        invocation = _invocation(request, function, {"http": {"params": parameters}})
        return await self._proxy.forward(
            request, worker, invocation.id, lambda: self._start(worker, invocation), body
        )

    async def _run_classic(
        self,
        request: web.BaseRequest,
        worker: WorkerProcess,
        function: FunctionDefinition,
        parameters: dict[str, str],
        body: RequestBody,
    ) -> web.StreamResponse:
        content = b""
        if body.length:
            content = await body.read()
        elif body.is_expected:
            logger.warning(
                "Function '%s' gets no body: the Functions host drops chunked bodies unless the app streams.",
                function.name,
            )
        url = f"{request.scheme}://{request.host}{origin_form(request.raw_path)}"
        data = request_data(
            method=request.method,
            url=url,
            headers=request.headers.items(),
            parameters=parameters,
            body=content,
        )
        # The run is a task of its own: a function that has begun goes on when its client leaves.
        outcome = await asyncio.shield(self._start(worker, _invocation(request, function, data)))
        return _response(function, outcome)

    def _start(self, worker: WorkerProcess, invocation: Invocation) -> asyncio.Task[Outcome]:
        running = asyncio.create_task(self._invoker.run_on(worker, invocation))
        self._background.add(running)
        running.add_done_callback(self._background.discard)
        return running


def given_key(request: web.BaseRequest) -> str | None:
    """The key that the caller shows: header ``x-functions-key``, else query parameter ``code``."""
    return request.headers.get("x-functions-key") or request.query.get("code")


def _invocation(
    request: web.BaseRequest, function: FunctionDefinition, data: dict[str, object]
) -> Invocation:
    return Invocation(
        function=function,
        inputs={function.trigger.name: data},
        reason="This function was programmatically called via the host APIs.",
        trace_parent=request.headers.get("traceparent", ""),
        trace_state=request.headers.get("tracestate", ""),
    )


def _response(function: FunctionDefinition, outcome: Outcome) -> web.Response:
    if not outcome.succeeded:
        return web.Response(status=500)
    data = outcome.return_value or next(
        (
            outcome.outputs[binding.name]
            for binding in function.bindings
            if binding.type == "http" and binding.name in outcome.outputs
        ),
        None,
    )
    try:
        classic: ClassicResponse = response_from(data)
    except ValueError as error:
        logger.error("Function '%s': %s.", function.name, error)  # noqa: TRY400 - the sentence says it all
        return web.Response(status=500)
    headers = end_to_end(classic.headers)
    headers.popall("Content-Length", None)
    return web.Response(status=classic.status, headers=headers, body=classic.body)
