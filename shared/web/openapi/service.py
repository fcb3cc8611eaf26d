"""The operations about the service itself, which need no token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.web.openapi.bodies import HTML, JSON, HealthBody, ProblemPage
from shared.web.openapi.operation import Answer, Operation, Parameter
from shared.web.openapi.parameters import IF_NONE_MATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = "Service"


_KEPT: Final = ("ETag", "Cache-Control")
_UNCHANGED: Final = Answer("Not changed since.", headers=_KEPT)

SERVICE_OPERATIONS: Final[Mapping[str, Operation]] = {
    "health": Operation(
        SERVICE,
        "Ask whether the service is up",
        {200: Answer("It can serve.", {JSON: HealthBody})},
        parameters=(Parameter("deep", "query", str, "`1` asks storage and the queue too.", example="1"),),
        problems=("unavailable",),
    ),
    "openapi": Operation(
        SERVICE,
        "Read this description as OpenAPI",
        {
            200: Answer("The OpenAPI 3.1 document.", {JSON: {"type": "object"}}, headers=_KEPT),
            304: _UNCHANGED,
        },
        parameters=(IF_NONE_MATCH,),
    ),
    "docs": Operation(
        SERVICE,
        "Read this description as a page",
        {
            200: Answer("The page.", {HTML: {"type": "string"}}, headers=(*_KEPT, "Content-Security-Policy")),
            304: _UNCHANGED,
        },
        parameters=(IF_NONE_MATCH,),
    ),
    "problem": Operation(
        SERVICE,
        "Read what a problem's type means",
        {
            200: Answer(
                "The explanation; a page for browsers, JSON for everybody else.",
                {JSON: ProblemPage, HTML: {"type": "string"}},
                headers=(*_KEPT, "Vary"),
            ),
            304: _UNCHANGED,
        },
        parameters=(IF_NONE_MATCH,),
        problems=("not-found",),
    ),
}
