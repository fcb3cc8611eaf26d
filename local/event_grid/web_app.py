"""The topic over HTTP: readiness, recent events, and the means to make it misbehave."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from aiohttp import web
from pydantic import Field

from local.event_grid.topic import Misbehaviour
from local.http_part import RequestBody, problem, problems, read_body

if TYPE_CHECKING:
    from local.event_grid.topic import SystemTopic

MAX_DELAY_SECONDS = 600


class ReplayRequest(RequestBody):
    """``POST /replay``."""

    container: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]


class BehaviourRequest(RequestBody):
    """``POST /behaviour``: what is absent stays as it is."""

    duplicate: bool | None = None
    drop_next: Annotated[int, Field(ge=0)] | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] | None = None
    reset: bool = False


def topic_app(topic: SystemTopic) -> web.Application:
    """Return the application over ``topic``."""
    app = web.Application(middlewares=[problems])
    handlers = _Handlers(topic)
    app.router.add_get("/health", handlers.health)
    app.router.add_get("/events", handlers.events)
    app.router.add_post("/replay", handlers.replay)
    app.router.add_get("/behaviour", handlers.show_behaviour)
    app.router.add_post("/behaviour", handlers.set_behaviour)
    return app


class _Handlers:
    def __init__(self, topic: SystemTopic) -> None:
        self._topic = topic

    async def health(self, _request: web.Request) -> web.Response:
        """200 once every subscription is validated, else 503 with the reason."""
        reasons = self._topic.not_ready_because()
        if reasons:
            return problem(503, "Service Unavailable", " ".join(reasons))
        return web.json_response({"status": "ok"})

    async def events(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [record.to_json() for record in self._topic.recent]})

    async def replay(self, request: web.Request) -> web.Response:
        asked = read_body(ReplayRequest, await request.read())
        event = await self._topic.replay(asked.container, asked.name)
        if event is None:
            return problem(404, "Not Found", "There is no such blob, and no event about it.")
        return web.json_response({"event": event}, status=202)

    async def show_behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(dataclasses.asdict(self._topic.misbehaviour))

    async def set_behaviour(self, request: web.Request) -> web.Response:
        asked = read_body(BehaviourRequest, await request.read())
        base = Misbehaviour() if asked.reset else self._topic.misbehaviour
        changes = asked.model_dump(exclude={"reset"}, exclude_none=True)
        self._topic.misbehaviour = dataclasses.replace(base, **changes)
        return await self.show_behaviour(request)
