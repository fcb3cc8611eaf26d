"""The inbox over HTTP: receives webhooks, lists what arrived, takes orders for how to answer."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from local.inbox import page
from local.inbox.messages import Channel, Message, Webhook, collect_headers, printable, truncate_to_ms
from local.inbox.requests import (
    HOOKS,
    BadRequest,
    BehaviourRequest,
    SecretRequest,
    read_body,
    read_number,
    read_query,
    read_timeout_seconds,
)
from local.inbox.store import MAX_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.inbox.behaviour import BehaviourBook
    from local.inbox.store import MessageStore

MAX_BODY_BYTES = 1024 * 1024

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


def inbox_app(store: MessageStore, behaviours: BehaviourBook) -> web.Application:
    """Return the application over ``store`` and ``behaviours``."""
    requests = _RequestsInProgress()
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[requests.follow, problems])
    app.on_shutdown.append(requests.stop)
    handlers = _Handlers(store, behaviours)
    app.router.add_get("/", handlers.show_page)
    app.router.add_get("/health", handlers.health)
    app.router.add_get("/messages", handlers.list_messages)
    app.router.add_get("/messages/wait", handlers.wait_for_messages)
    app.router.add_delete("/messages", handlers.delete_messages)
    app.router.add_post("/secrets", handlers.add_secret)
    app.router.add_get("/behaviour", handlers.show_behaviour)
    app.router.add_post("/behaviour", handlers.set_behaviour)
    app.router.add_route("*", HOOKS + "{rest:.*}", handlers.receive)
    return app


class _RequestsInProgress:
    """Ends long polls, delayed answers and slow uploads when the server stops, which would wait for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A handler runs in a task.")
        self._tasks.add(task)
        try:
            return await handler(request)
        finally:
            self._tasks.discard(task)

    async def stop(self, _app: web.Application) -> None:
        for task in self._tasks:
            task.cancel()


class _Handlers:
    def __init__(self, store: MessageStore, behaviours: BehaviourBook) -> None:
        self._store = store
        self._behaviours = behaviours

    async def receive(self, request: web.Request) -> web.Response:
        """Keep one webhook, then answer as the behaviour says."""
        body = await request.read()
        answer = self._behaviours.next_answer(Channel.WEBHOOK, request.path)
        message = Webhook(
            id=str(uuid.uuid4()),
            received_at=truncate_to_ms(datetime.now(UTC)),
            method=request.method,
            path=printable(request.path),
            query=request.rel_url.raw_query_string,
            headers=collect_headers(request.headers.items()),
            body=body,
            answered_status=answer.status,
        )
        self._store.add(message)
        log.info("webhook received: id=%s bytes=%d answer=%d", message.id, len(body), answer.status)
        await asyncio.sleep(answer.delay_seconds)
        return web.json_response({"id": message.id}, status=answer.status, headers=answer.headers)

    async def list_messages(self, request: web.Request) -> web.Response:
        return web.json_response(_listing(self._store.find(read_query(request.query))))

    async def wait_for_messages(self, request: web.Request) -> web.Response:
        """Long poll: answer when ``count`` messages match, or with what there is at the time limit."""
        query = read_query(request.query)
        count = read_number(request.query, "count", minimum=1, maximum=MAX_MESSAGES, default=1) or 1
        if query.limit is not None and query.limit < count:
            raise BadRequest("'limit' must not be smaller than 'count'.")
        found = await self._store.wait_for(query, count, read_timeout_seconds(request.query))
        return web.json_response(_listing(found) | {"timed_out": len(found) < count})

    async def delete_messages(self, _request: web.Request) -> web.Response:
        self._store.clear()
        return web.Response(status=204)

    async def add_secret(self, request: web.Request) -> web.Response:
        asked = read_body(SecretRequest, await request.read())
        self._store.add_secret(asked.path, asked.secret)
        return web.Response(status=204)

    async def show_behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self._behaviours.to_json()})

    async def set_behaviour(self, request: web.Request) -> web.Response:
        """Set one behaviour, or take all back with ``{"reset": true}``; answers with those in force."""
        asked = read_body(BehaviourRequest, await request.read())
        if asked.reset:
            self._behaviours.reset()
        else:
            self._behaviours.set(asked.behaviour())
        return web.json_response({"items": self._behaviours.to_json()})

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "messages": len(self._store)})

    async def show_page(self, _request: web.Request) -> web.Response:
        return web.Response(
            # JSON may hold lone surrogates, which no encoding can carry.
            body=page.render(list(self._store), self._store.revision).encode(errors="replace"),
            charset="utf-8",
            content_type="text/html",
            headers={
                "Content-Security-Policy": page.CONTENT_SECURITY_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
            },
        )


def _listing(messages: list[Message]) -> dict[str, object]:
    return {"items": [message.to_json() for message in messages]}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as problem details (RFC 9457)."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _problem(400, "Bad Request", str(error))
    except web.HTTPRequestEntityTooLarge as error:
        # What is left of the body is not worth reading: close instead.
        response = _problem(413, error.reason, f"A body may have at most {MAX_BODY_BYTES} bytes.")
        response.force_close()
        return response
    except web.HTTPException as error:
        response = _problem(error.status, error.reason, f"{request.method} {request.path}: {error.reason}.")
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
        return response


def _problem(status: int, title: str, detail: str) -> web.Response:
    return web.Response(
        status=status,
        text=json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}),
        content_type="application/problem+json",
    )
