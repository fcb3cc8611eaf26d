"""Web pages of other origins: which may call the API, and what their scripts may send and see.

The protocol is CORS (Fetch standard, fetch.spec.whatwg.org/#http-cors-protocol). No origin is allowed unless
it is listed. Credentials mode is never offered: callers prove themselves by bearer tokens, which no browser
adds by itself. The CORS of App Service must stay off beside this: it answers preflights first, and cannot let
scripts see response fields such as ``Upload-Offset``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from shared.errors import NotFoundError
from shared.web.routes import BASE_PATH, OPEN_ROUTES, ROUTES, WITH_HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request

    from shared.identity.allowed_origins import AllowedOrigins

PREFLIGHT_MAX_AGE_SECONDS: Final = 7200
"""How long browsers may remember a preflight; more than Chromium keeps anyway."""

EXPOSED_HEADERS: Final = (
    *("Accept", "Accept-Patch", "Accept-Ranges", "Allow", "Content-Digest", "Content-Disposition"),
    *("Content-Location", "Content-Range", "Dropbell-File-Id", "ETag", "Idempotent-Replayed", "Location"),
    *("RateLimit", "RateLimit-Policy", "Repr-Digest", "Retry-After", "Tus-Checksum-Algorithm"),
    *("Tus-Extension", "Tus-Max-Size", "Tus-Resumable", "Tus-Version", "Upload-Complete", "Upload-Concat"),
    *("Upload-Defer-Length", "Upload-Draft-Interop-Version", "Upload-Expires", "Upload-Incomplete"),
    *("Upload-Length", "Upload-Limit", "Upload-Metadata", "Upload-Offset", "Want-Content-Digest"),
    *("Want-Repr-Digest", "WWW-Authenticate", "X-Correlation-ID"),
)
"""Response fields that scripts may read, beside those that they always may."""
ALLOWED_HEADERS: Final = (
    *("Authorization", "Content-Digest", "Content-Disposition", "Content-Type", "Dropbell-Owner"),
    *("Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Range"),
    *("Last-Event-ID", "Repr-Digest", "Tus-Resumable", "Upload-Checksum", "Upload-Complete", "Upload-Concat"),
    *("Upload-Defer-Length", "Upload-Draft-Interop-Version", "Upload-Incomplete", "Upload-Length"),
    *("Upload-Metadata", "Upload-Offset", "Want-Repr-Digest", "X-Correlation-ID", "X-HTTP-Method-Override"),
    # Added by libraries: request ids of tus-js-client and others, traces of OpenTelemetry and App Insights.
    *("X-Requested-With", "X-Request-ID", "Request-Id", "Request-Context", "traceparent", "tracestate"),
    "baggage",
)
"""Request fields that scripts may set. ``*`` would not cover Authorization."""

_PREFLIGHT_VARY: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class CrossOrigin:
    """What answers say to pages of other origins.

    Args:
        origins: Who may call.
        routes: Method and full path (``/api/v1/files/{file_id}``) of every route; a preflight is answered
            with the methods of the path that it asks for.
        options: By the beginning of a path, what makes the fields that ``OPTIONS`` tells there besides.
    """

    def __init__(
        self,
        origins: AllowedOrigins,
        routes: Iterable[tuple[str, str]],
        options: Mapping[str, Callable[[], Mapping[str, str]]] | None = None,
    ) -> None:
        self._origins = origins
        self._routes = [(method, _pattern(path)) for method, path in routes]
        self._options = dict(options or {})

    def headers_for(self, origin: str | None) -> Mapping[str, str]:
        """What an answer to a request with this ``Origin`` carries; nothing when no origin is allowed."""
        if not self._origins:
            return {}
        if origin is None or not self._origins.allow(origin):
            return {"vary": "Origin"}  # a cache must not hand this answer to those who may
        return {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": ", ".join(EXPOSED_HEADERS),
            "vary": "Origin",
        }

    def finish(self, request: Request, response: Response) -> None:
        """Add the fields to any answer; ``Vary`` is joined to what it says already."""
        _add(response, self.headers_for(request.headers.get("origin")))

    async def options(self, request: Request) -> Response:
        """``OPTIONS`` of any path: a browser's preflight, or a client that asks what it can do there.

        Raises NotFoundError for a path without a route.
        """
        path = request.url.path
        methods = self._methods(path)
        if not methods:
            raise NotFoundError("There is nothing at this address.")
        response = Response(status_code=204, headers={"allow": ", ".join(methods)})
        for beginning, headers in self._options.items():
            if path == beginning or path.startswith(f"{beginning.rstrip('/')}/"):
                _add(response, headers())
        wanted = request.headers.get("access-control-request-method")
        if wanted is not None and self._origins:
            _add(response, self._preflight(request.headers.get("origin"), methods))
        return response

    def _preflight(self, origin: str | None, methods: list[str]) -> Mapping[str, str]:
        if origin is None or not self._origins.allow(origin):
            return {"vary": _PREFLIGHT_VARY}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": ", ".join(ALLOWED_HEADERS),
            "access-control-max-age": str(PREFLIGHT_MAX_AGE_SECONDS),
            "vary": _PREFLIGHT_VARY,
        }

    def _methods(self, path: str) -> list[str]:
        """The methods of the path's own routes, and OPTIONS itself."""
        own = {method for method, pattern in self._routes if method != "OPTIONS" and pattern.fullmatch(path)}
        return sorted(own | {"OPTIONS"}) if own else []


def served() -> list[tuple[str, str]]:
    """Method and full path of every route of the API."""
    routes = [(route.name, route.method, BASE_PATH + route.path) for route in ROUTES]
    routes += [(route.name, route.method, route.path) for route in OPEN_ROUTES]
    return [
        *((method, path) for _, method, path in routes),
        *(("HEAD", path) for name, _, path in routes if name in WITH_HEAD),
    ]


def _add(response: Response, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name.lower() != "vary":
            response.headers[name] = value
            continue
        told = {field.strip().lower() for field in response.headers.get("vary", "").split(",")}
        for field in value.split(", "):
            if field.lower() not in told:
                response.headers.add_vary_header(field)


def _pattern(path: str) -> re.Pattern[str]:
    """What matches the paths of a route template, as the host matches them: in any case."""
    segments = []
    for segment in path.strip("/").split("/"):
        if segment.startswith("{*"):
            segments.append("(?:/.*)?")
        elif segment.startswith("{"):
            segments.append("/[^/]+")
        else:
            segments.append("/" + re.escape(segment))
    return re.compile("".join(segments) + "/?", re.IGNORECASE | re.DOTALL)
