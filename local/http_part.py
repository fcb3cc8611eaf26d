"""What the parts that speak HTTP share: strictly read bodies, errors as problem details, a quick end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(ValueError):  # noqa: N818 - named after the HTTP status that it becomes
    """The request cannot be understood; the message says why in one sentence."""


class RequestBody(BaseModel):
    """A JSON body whose members are known and of the right type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def read_body[Body: RequestBody](model: type[Body], raw: bytes) -> Body:
    """Return ``raw`` as ``model``.

    Raises:
        BadRequest: It is not JSON, or a member is missing, unknown or wrong.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("The body must be a JSON object.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadRequest(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"'{where}': {what}." if where else f"{what}."


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as problem details (RFC 9457)."""
    try:
        return await handler(request)
    except BadRequest as error:
        return problem(400, "Bad Request", str(error))
    except web.RequestPayloadError:
        response = problem(400, "Bad Request", "The body is cut short, or not encoded as its headers say.")
        response.force_close()
        return response
    except web.HTTPRequestEntityTooLarge as error:
        # What is left of the body is not worth reading: close instead.
        response = problem(413, error.reason, f"A body may have at most {request.client_max_size} bytes.")
        response.force_close()
        return response
    except web.HTTPException as error:
        response = problem(error.status, error.reason, f"{request.method} {request.path}: {error.reason}.")
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
        return response


def problem(status: int, title: str, detail: str) -> web.Response:
    """An answer that says what is wrong."""
    return web.Response(
        status=status,
        text=json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}),
        content_type="application/problem+json",
    )


class RequestsInProgress:
    """Ends long polls, delayed answers and slow uploads when the server stops, which would wait for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A middleware: know of the request while it lasts."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A handler runs in a task.")
        self._tasks.add(task)
        try:
            return await handler(request)
        finally:
            self._tasks.discard(task)

    async def stop(self, _app: web.Application) -> None:
        """A shutdown signal: end what goes on."""
        for task in self._tasks:
            task.cancel()
