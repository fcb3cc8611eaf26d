"""One HTTP request on its way through: correlation, trace, caller, answer, one wide event."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from shared.errors import UnauthenticatedError, UploadIncompleteError
from shared.identity.challenge import with_scope
from shared.identity.owner import OWNER_HEADER, acting_owner
from shared.identity.permissions import OPERATOR_ROLES, SCOPES, least_grant
from shared.identity.principal import require
from shared.telemetry.events import Event, record
from shared.telemetry.trace_context import TraceContext
from shared.web.problem import as_problem, problem_response
from shared.web.routes import permission_of

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
    owner: str
    """The partition to work on: the caller's own, or that of the owner whom an app acts for."""
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
        self, route: str, request: Request, work: Callable[[Call], Awaitable[Response]]
    ) -> Response:
        """Authenticate, check what the route needs, do the work; turn every error into a problem."""
        started = time.perf_counter()
        correlation_id = correlation_id_of(request.headers.get(CORRELATION_HEADER))
        trace = (TraceContext.parse(request.headers.get("traceparent")) or TraceContext.start()).child()
        caller: Principal | None = None
        reason = None
        level = logging.INFO
        try:
            permission = permission_of(route)
            caller = await self._authenticated(request, permission)
            require(caller, permission)
            owner = acting_owner(caller, _single(request, OWNER_HEADER))
            response = await work(Call(request, caller, owner.partition, correlation_id, trace))
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
            caller=caller.kind.value if caller else None,
            client_id=caller.client_id if caller else None,
            trace_id=trace.trace_id,
            correlation_id=correlation_id,
        )
        return response

    async def _authenticated(self, request: Request, permission: Permission) -> Principal:
        try:
            return await self._validator.authenticate(_single(request, "authorization"))
        except UnauthenticatedError as error:
            grant = least_grant(permission, SCOPES) or least_grant(permission, OPERATOR_ROLES)
            error.headers = with_scope(error.headers, grant)
            raise


def _single(request: Request, name: str) -> str | None:
    """A header field; one sent more than once is joined, as HTTP reads it (RFC 9110 §5.3)."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def correlation_id_of(header: str | None) -> str:
    """The caller's correlation id when it is well formed, a new one otherwise."""
    return header if header and _CORRELATION_ID.fullmatch(header) else uuid.uuid4().hex
