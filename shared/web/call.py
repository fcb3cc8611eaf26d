"""One HTTP request on its way through: correlation, trace, caller, answer, one wide event."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from shared.errors import UnauthenticatedError, UploadIncompleteError
from shared.identity.challenge import with_scope
from shared.identity.owner import OWNER_HEADER, acting_owner, tenant_partition
from shared.identity.permissions import OPERATOR_ROLES, SCOPES, least_grant
from shared.identity.principal import require
from shared.telemetry.events import Event, record
from shared.telemetry.recorder import Telemetry
from shared.telemetry.spans import SpanKind, make_current
from shared.telemetry.trace_context import TraceContext
from shared.web.problem import as_problem, problem_response
from shared.web.routes import check_open, permission_of, template_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from shared.errors import ProblemError
    from shared.identity.permissions import Permission
    from shared.identity.principal import Principal
    from shared.identity.token import TokenValidator
    from shared.telemetry.spans import TracePart

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

    route: str
    method: str
    correlation_id: str
    part: TracePart
    started: float = field(default_factory=time.perf_counter)
    reason: str | None = None
    level: int = logging.INFO
    caller: Principal | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def went_wrong(self, error: Exception) -> ProblemError:
        """Note it; returns the problem that it is."""
        problem = as_problem(error)
        self.reason = problem.reason or problem.code
        self.level = logging.ERROR if problem.status >= 500 else logging.WARNING
        return problem


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
        self,
        validator: TokenValidator,
        *,
        limiter: Limiter | None = None,
        finishes: Sequence[Finish] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        self._validator = validator
        self._telemetry = telemetry or Telemetry()
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
                Call(request, caller, owner.partition, visit.correlation_id, visit.part.root.context, tenant)
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
        parent = TraceContext.parse(request.headers.get("traceparent"))
        name = f"{request.method} {template_of(route)}"
        part = self._telemetry.begin(name, SpanKind.SERVER, parent=parent)
        visit = _Visit(
            route, request.method, correlation_id_of(request.headers.get(CORRELATION_HEADER)), part
        )
        part.root.tell(correlation_id=visit.correlation_id)
        make_current(part.root)
        try:
            response = await work(visit)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened, the client gets an answer
            problem = visit.went_wrong(error)
            response = problem_response(problem, correlation_id=visit.correlation_id)
        except BaseException:
            visit.reason = "cancelled"
            self._leave(visit, status_code=None)
            raise
        response.headers[CORRELATION_HEADER] = visit.correlation_id
        response.headers.setdefault("cache-control", "no-store")
        for header, value in visit.headers.items():
            response.headers.setdefault(header, value)
        for finish in self._finishes:
            finish(request, response)
        if isinstance(response, StreamingResponse):
            content = cast("AsyncGenerator[bytes]", response.body_iterator)
            leave = partial(self._leave, visit, status_code=response.status_code)
            response.body_iterator = _Followed(content, visit, leave)
            make_current(None)
        else:
            self._leave(visit, status_code=response.status_code)
        return response

    def _leave(self, visit: _Visit, *, status_code: int | None, bytes_sent: int | None = None) -> None:
        """Tell of the request, and let go of it; once."""
        part, caller = visit.part, visit.caller
        if part.ended:
            return
        root = part.root
        root.failed = visit.level >= logging.ERROR
        root.tell(status_code=status_code, reason=visit.reason)
        file_id = root.attributes.get("file_id")
        record(
            Event.REQUEST,
            level=visit.level,
            route=visit.route,
            method=visit.method,
            status_code=status_code,
            duration_ms=round((time.perf_counter() - visit.started) * 1000, 1),
            reason=visit.reason,
            caller=caller.kind.value if caller else None,
            client_id=caller.client_id if caller else None,
            file_id=file_id,
            trace_id=part.trace_id,
            correlation_id=visit.correlation_id,
            bytes_sent=bytes_sent,
        )
        self._telemetry.finish(part)
        make_current(None)

    async def _authenticated(self, request: Request, permission: Permission) -> Principal:
        try:
            return await self._validator.authenticate(_single(request, "authorization"))
        except UnauthenticatedError as error:
            grant = least_grant(permission, SCOPES) or least_grant(permission, OPERATOR_ROLES)
            error.headers = with_scope(error.headers, grant)
            raise


class _Followed:
    """Content on its way; the request is over when the last of it is sent, or the client is gone.

    An object, not a generator: that one, closed before its first step, would do nothing at all.
    """

    def __init__(self, content: AsyncGenerator[bytes], visit: _Visit, leave: Callable[..., None]) -> None:
        self._content = content
        self._visit = visit
        self._leave = leave
        self._sent_bytes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        make_current(self._visit.part.root)
        try:
            chunk = await anext(self._content)
        except StopAsyncIteration:
            await self.aclose()
            raise
        except Exception as error:
            self._visit.went_wrong(error)  # too late for an answer; the client sees the content break off
            raise
        self._sent_bytes += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Let go of the content, and of the request."""
        make_current(self._visit.part.root)
        try:
            await self._content.aclose()
        finally:
            self._leave(bytes_sent=self._sent_bytes)


def _single(request: Request, name: str) -> str | None:
    """A header field; one sent more than once is joined, as HTTP reads it (RFC 9110 §5.3)."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def correlation_id_of(header: str | None) -> str:
    """The caller's correlation id when it is well formed, a new one otherwise."""
    return header if header and _CORRELATION_ID.fullmatch(header) else uuid.uuid4().hex
