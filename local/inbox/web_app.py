"""The inbox over HTTP: receives webhooks, lists what arrived, takes orders for how to answer."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from local.http_part import BadRequest, RequestsInProgress, problems, read_body
from local.inbox import page
from local.inbox.messages import Channel, Message, Webhook, collect_headers, printable, truncate_to_ms
from local.inbox.requests import (
    HOOKS,
    BehaviourRequest,
    SecretRequest,
    read_number,
    read_query,
    read_timeout_seconds,
)
from local.inbox.store import MAX_MESSAGES

if TYPE_CHECKING:
    from local.inbox.behaviour import BehaviourBook
    from local.inbox.store import MessageStore

MAX_BODY_BYTES = 1024 * 1024

log = logging.getLogger(__name__)


def inbox_app(store: MessageStore, behaviours: BehaviourBook) -> web.Application:
    """Return the application over ``store`` and ``behaviours``."""
    requests = RequestsInProgress()
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
