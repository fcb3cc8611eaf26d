"""Errors as problem details (RFC 9457), the same shape on every route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from shared.errors import InternalError, ProblemError

if TYPE_CHECKING:
    from starlette.responses import Response

TYPE_PREFIX = "/api/problems/"
"""``type`` is this and the error's code: stable, to be compared as a string."""


class ProblemResponse(JSONResponse):
    """``application/problem+json``."""

    media_type = "application/problem+json"


def problem_response(
    error: ProblemError, *, correlation_id: str, extensions: dict[str, Any] | None = None
) -> Response:
    """The answer for ``error``; tells nothing but what the error's author wrote for the client."""
    return ProblemResponse(
        {
            "type": error.type_uri or TYPE_PREFIX + error.code,
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "correlation_id": correlation_id,
            **error.extensions,
            **(extensions or {}),
        },
        status_code=error.status,
        headers=error.headers,
    )


def as_problem(error: Exception) -> ProblemError:
    """What the client is told about any exception: its own problem, or an internal error without details."""
    if isinstance(error, ProblemError):
        return error
    return InternalError(
        "Something went wrong on our side. Quote the correlation id when you ask about it.",
        reason=f"{type(error).__name__} at {_place(error)}",
    )


def _place(error: Exception) -> str:
    """Module and line where it was raised; no values and no stack, which could hold a secret."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "unknown" if frame is None else f"{frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}"
