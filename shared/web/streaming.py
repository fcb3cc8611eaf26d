"""HTTP streaming in the Functions Python worker, on the public base package of Microsoft's own extension.

With this module imported, the worker opens an HTTP server of its own and the Functions host proxies each
request to it, so that bodies stream in both directions. Every HTTP function of the app then gets a Starlette
``Request`` and returns a Starlette ``Response``.

The base package finds the extension by its classes' metaclasses; the classes below need no registration.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azurefunctions.extensions.base import (
    RequestSynchronizer,
    RequestTrackerMeta,
    ResponseLabels,
    ResponseTrackerMeta,
)
from azurefunctions.extensions.base import WebApp as BaseWebApp
from azurefunctions.extensions.base import WebServer as BaseWebServer
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    type Handler = Callable[[Request], Awaitable[Response]]

__all__ = ["Request", "Response", "WebApp", "WebServer"]

INVOCATION_ID_HEADER = "x-ms-invocation-id"


class _RouteParameters(RequestSynchronizer):  # type: ignore[misc]  # the base package ships no types
    """Puts the route parameters, which only the host knows, into the request."""

    def sync_route_params(self, request: Request, path_params: dict[str, Any]) -> None:
        request.path_params.clear()
        request.path_params.update(path_params)


class _RequestType(metaclass=RequestTrackerMeta):  # type: ignore[metaclass]  # as above
    request_type = Request
    synchronizer = _RouteParameters()


class _ResponseType(metaclass=ResponseTrackerMeta):  # type: ignore[metaclass]  # as above
    label = ResponseLabels.STANDARD
    response_type = Response


class WebApp(BaseWebApp):  # type: ignore[misc]  # the base package ships no types
    """The worker's inner web application: one catch-all route, set by the worker."""

    def route(
        self, func: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Take the worker's handler for every request."""
        self._handle = func
        return func

    def get_app(self) -> ASGIApp:
        """The ASGI application."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            scope.setdefault("path_params", {})
            request = Request(scope, receive, send)
            try:
                response = await self._handle(request)
                await response(scope, receive, send)
            finally:
                _forget(request.headers.get(INVOCATION_ID_HEADER))

        return app


class WebServer(BaseWebServer):  # type: ignore[misc]  # as above
    """Serves the inner application to the host."""

    async def serve(self) -> None:
        """Run until the worker ends. Started by the worker as a task on its event loop."""
        import uvicorn

        class Server(uvicorn.Server):
            """Leaves signals to the worker: taking them here would stop HTTP and leave the process behind."""

            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        config = uvicorn.Config(
            self.web_app,
            host=self.hostname,
            port=self.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        await Server(config).serve()


def _forget(invocation_id: str | None) -> None:
    """Drop the coordinator's entry of an answered request; the library itself keeps 2 kB of each for ever.

    Guarded: where the library's inside looks different, nothing happens and memory grows as it does without.
    """
    from azure_functions_runtime import http_v2

    entries = getattr(http_v2.http_coordinator, "_context_references", None)
    if isinstance(entries, dict):
        entries.pop(invocation_id, None)
