"""The API over memory adapters keeps what its OpenAPI document promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi import from_asgi, from_dict
from schemathesis.python.asgi import get_client
from starlette.applications import Starlette
from starlette.routing import Route as Path

from shared.adapters.memory import MemoryClock, MemoryUrlSigner
from shared.adapters.memory_dead_letters import MemoryDeadLetters
from shared.web.file_events import StreamPolicy
from shared.web.health import Health
from shared.web.openapi.document import NOT_DESCRIBED, build
from shared.web.routes import BASE_PATH, OPEN_ROUTES, ROUTES, WITH_HEAD
from tests.unit.shared.portal import Portal, bearer
from tests.unit.web.contract import EVERY_OPERATION, hold_to_document, made_things

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from schemathesis.schemas import BaseSchema
    from starlette.requests import Request
    from starlette.responses import Response

    from shared.web.routes import OpenRoute, Route

EXAMPLES = 10


def served(portal: Portal) -> Any:
    """What ``function_app.py`` binds, without the Functions host."""

    def bound(
        route: Route | OpenRoute, path: str, answer: Callable[[str, Request], Awaitable[Response]]
    ) -> Path:
        async def handle(request: Request) -> Response:
            return await answer(route.name, request)

        return Path(path, handle, methods=[route.method, *(["HEAD"] if route.name in WITH_HEAD else [])])

    app = portal.app
    without_front = {"health"}
    described = [route for route in OPEN_ROUTES if route.name not in NOT_DESCRIBED | without_front]
    return Starlette(
        routes=[
            Path("/api/health", app.health.answer),
            *(bound(route, route.path, app.answer_open) for route in described),
            *(bound(route, f"{BASE_PATH}{route.path}", app.answer) for route in ROUTES),
        ]
    )


def portal() -> Portal:
    return Portal(
        health=Health({}, MemoryClock()),
        url_signer=MemoryUrlSigner(),
        dead_letter_queue=MemoryDeadLetters(),
        stream_policy=StreamPolicy(longest_seconds=0.02),
    )


def hold(schema: BaseSchema, application: Any, method: str, path: str) -> None:
    with get_client(application) as client:
        known = made_things(client, bearer())
        hold_to_document(
            schema, method, path, examples=EXAMPLES, known=known, headers=bearer(), session=client
        )


@pytest.mark.parametrize(("method", "path"), EVERY_OPERATION)
def test_no_answer_is_undocumented(method: str, path: str) -> None:
    application = served(portal())
    hold(from_asgi("/api/openapi.json", application), application, method, path)


@pytest.mark.parametrize("status", ["200", "404"])
def test_an_undocumented_answer_is_noticed(status: str) -> None:
    path = f"{BASE_PATH}/files/{{file_id}}"
    lacking = build(public_url="http://testserver")
    del lacking["paths"][path]["get"]["responses"][status]
    with pytest.raises(FailureGroup, match="distinct failure"):
        hold(from_dict(lacking), served(portal()), "GET", path)
