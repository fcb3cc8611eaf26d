"""One HTTP request on its way through: correlation, trace, caller, answer, one wide event."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.requests import ClientDisconnect

from shared.errors import UnauthenticatedError, UploadIncompleteError
from shared.identity.challenge import with_scope
from shared.identity.owner import OWNER_HEADER, acting_owner, tenant_partition
from shared.identity.permissions import OPERATOR_ROLES, SCOPES, least_grant
from shared.identity.principal import require
from shared.telemetry.events import Event, record
from shared.telemetry.trace_context import TraceContext
from shared.web.problem import as_problem, problem_response
from shared.web.routes import check_open, permission_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

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
    tenant: str = ""
    """The partition of the owner's tenant."""

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


@dataclass(slots=True)
class _Visit:
    """What becomes known of a request while it is answered."""

    correlation_id: str
    trace: TraceContext
    caller: Principal | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Allowance(Protocol):
    """What a caller may still send."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields that tell the caller."""
        ...


class Limiter(Protocol):
    """Counts requests."""

    def take(self, key: str) -> Allowance:
        """Count a request of ``key``; raises RateLimitedError when there are too many."""
        ...


type Finish = Callable[[Request, Response], None]
"""Adds header fields to an answer, whatever it is."""


class Front:
    """What every route does before and after its own work."""

    def __init__(
        self, validator: TokenValidator, *, limiter: Limiter | None = None, finishes: Sequence[Finish] = ()
    ) -> None:
        self._validator = validator
        self._limiter = limiter
        self._finishes = finishes

    async def answer(
        self, route: str, request: Request, work: Callable[[Call], Awaitable[Response]]
    ) -> Response:
        """Authenticate, check what the route needs, do the work; turn every error into a problem."""

        async def authorised(visit: _Visit) -> Response:
            permission = permission_of(route)
            visit.caller = caller = await self._authenticated(request, permission)
            if self._limiter is not None:
                visit.headers = self._limiter.take(f"{caller.tenant_id}|{caller.object_id}").headers
            require(caller, permission)
            owner = acting_owner(caller, _single(request, OWNER_HEADER))
            tenant = tenant_partition(owner.tenant_id)
            return await work(
                Call(request, caller, owner.partition, visit.correlation_id, visit.trace, tenant)
            )

        return await self._answer(route, request, authorised)

    async def answer_open(
        self, route: str, request: Request, work: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Do the work of a route that needs no token; turn every error into a problem."""

        async def anybody(_visit: _Visit) -> Response:
            check_open(route)
            return await work(request)

        return await self._answer(route, request, anybody)

    async def _answer(
        self, route: str, request: Request, work: Callable[[_Visit], Awaitable[Response]]
    ) -> Response:
        started = time.perf_counter()
        correlation_id = correlation_id_of(request.headers.get(CORRELATION_HEADER))
        trace = (TraceContext.parse(request.headers.get("traceparent")) or TraceContext.start()).child()
        visit = _Visit(correlation_id, trace)
        reason = None
        level = logging.INFO
        try:
            response = await work(visit)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened, the client gets an answer
            problem = as_problem(error)
            reason = problem.reason or problem.code
            level = logging.ERROR if problem.status >= 500 else logging.WARNING
            response = problem_response(problem, correlation_id=correlation_id)
        response.headers[CORRELATION_HEADER] = correlation_id
        response.headers.setdefault("cache-control", "no-store")
        for name, value in visit.headers.items():
            response.headers.setdefault(name, value)
        for finish in self._finishes:
            finish(request, response)
        caller = visit.caller
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
