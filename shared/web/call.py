"""One HTTP request on its way through: correlation, trace, caller, answer, one wide event."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from shared.errors import UploadIncompleteError
from shared.identity.principal import require
from shared.telemetry.events import Event, record
from shared.telemetry.trace_context import TraceContext
from shared.web.problem import as_problem, problem_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from shared.identity.permissions import Permission
    from shared.identity.principal import Principal
    from shared.identity.token import TokenValidator

CORRELATION_HEADER = "x-correlation-id"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller is known and may do what the route does."""

    request: Request
    caller: Principal
    correlation_id: str
    trace: TraceContext
    """This request's own span."""

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises UploadIncompleteError when the client stops in the middle."""
        try:
            async for chunk in self.request.stream():
                if chunk:
                    yield chunk
        except ClientDisconnect:
            raise UploadIncompleteError(
                "The connection ended before the body did; nothing was stored. Send it again."
            ) from None


class Front:
    """What every route does before and after its own work."""

    def __init__(self, validator: TokenValidator) -> None:
        self._validator = validator

    async def answer(
        self,
        route: str,
        request: Request,
        permission: Permission,
        work: Callable[[Call], Awaitable[Response]],
    ) -> Response:
        """Authenticate, check the permission, do the work; turn every error into a problem."""
        started = time.perf_counter()
        correlation_id = correlation_id_of(request.headers.get(CORRELATION_HEADER))
        trace = (TraceContext.parse(request.headers.get("traceparent")) or TraceContext.start()).child()
        reason = None
        level = logging.INFO
        try:
            caller = await self._validator.authenticate(request.headers.get("authorization"))
            require(caller, permission)
            response = await work(Call(request, caller, correlation_id, trace))
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened, the client gets an answer
            problem = as_problem(error)
            reason = problem.reason or problem.code
            level = logging.ERROR if problem.status >= 500 else logging.WARNING
            response = problem_response(problem, correlation_id=correlation_id)
        response.headers[CORRELATION_HEADER] = correlation_id
        response.headers.setdefault("cache-control", "no-store")
        record(
            Event.REQUEST,
            level=level,
            route=route,
            method=request.method,
            status_code=response.status_code,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            reason=reason,
            trace_id=trace.trace_id,
            correlation_id=correlation_id,
        )
        return response


def correlation_id_of(header: str | None) -> str:
    """The caller's correlation id when it is well formed, a new one otherwise."""
    return header if header and _CORRELATION_ID.fullmatch(header) else uuid.uuid4().hex
