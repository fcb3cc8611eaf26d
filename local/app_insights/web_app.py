"""Application Insights over HTTP: takes telemetry, answers what was sent, serves the page."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from local.app_insights import page
from local.app_insights.behaviour import BehaviourBook, BehaviourRequest
from local.app_insights.ingestion import MAX_BODY_BYTES, UnreadableBody, read_batch
from local.app_insights.queries import TraceQuery, read_identifiers
from local.app_insights.story import tell
from local.http_part import RequestsInProgress, problem, problems, read_body

if TYPE_CHECKING:
    from local.app_insights.telemetry import TelemetryStore, Trace

APP_ID = "00000000-0000-4000-8000-0000000000a1"
"""What an SDK is told that asks for the application's identifier."""

log = logging.getLogger(__name__)


def app_insights_app(store: TelemetryStore, behaviours: BehaviourBook) -> web.Application:
    """Return the application over ``store`` and ``behaviours``."""
    requests = RequestsInProgress()
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[requests.follow, problems])
    app.on_shutdown.append(requests.stop)
    ingestion, answers = _Ingestion(store, behaviours), _Answers(store)
    add = app.router
    # Exporters put the path after an endpoint that ends in a slash, and send two.
    add.add_post("/{slash:/?}{version:v2|v2.1}/track", ingestion.track)
    add.add_post("/{slash:/?}QuickPulseService.svc/{call:ping|post}", ingestion.live_metrics)
    add.add_get("/api/profiles/{key}/appId", ingestion.app_id)
    add.add_get("/behaviour", ingestion.show_behaviour)
    add.add_post("/behaviour", ingestion.set_behaviour)
    add.add_get("/health", answers.health)
    add.add_get("/api/traces", answers.traces)
    add.add_get("/api/traces/{trace_id}", answers.trace)
    add.add_get("/api/traces/{trace_id}/story", answers.story)
    add.add_get("/api/search", answers.search)
    add.add_get("/api/metrics", answers.metrics)
    add.add_get("/api/items", answers.items)
    add.add_get("/", page.show_list)
    add.add_get("/traces/{trace_id}", page.show_trace)
    add.add_get("/assets/{name}", page.show_asset)
    return app


class _Ingestion:
    """What exporters call."""

    def __init__(self, store: TelemetryStore, behaviours: BehaviourBook) -> None:
        self._store = store
        self._behaviours = behaviours

    async def track(self, request: web.Request) -> web.Response:
        """Keep one batch and say what was taken of it, or do what the behaviour says."""
        behaviour = self._behaviours.next()
        body = await request.read()  # aiohttp unpacks gzip and deflate, and bounds what comes out
        if behaviour.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(behaviour.delay_seconds)
        headers = {}
        if behaviour.retry_after_seconds is not None:
            headers["Retry-After"] = str(behaviour.retry_after_seconds)
        if behaviour.status is not None:
            return web.json_response(_refusal(behaviour.status), status=behaviour.status, headers=headers)
        try:
            batch = read_batch(body)
        except UnreadableBody as error:
            return web.json_response(_refusal(400, str(error)), status=400)
        self._store.add(batch.envelopes)
        if batch.errors:
            log.warning("%d of %d items are no telemetry", len(batch.errors), batch.received)
        return web.json_response(batch.to_json(), status=batch.status, headers=headers)

    async def live_metrics(self, _request: web.Request) -> web.Response:
        """Tell the live metrics of an SDK that nobody watches."""
        return web.json_response({}, headers={"x-ms-qps-subscribed": "false"})

    async def app_id(self, _request: web.Request) -> web.Response:
        return web.Response(text=APP_ID)

    async def show_behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(self._behaviours.to_json())

    async def set_behaviour(self, request: web.Request) -> web.Response:
        """Set how the next batches are answered, or take it back with ``{"reset": true}``."""
        self._behaviours.set(read_body(BehaviourRequest, await request.read()))
        return web.json_response(self._behaviours.to_json())


class _Answers:
    """What people, tests and the page ask."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "items": len(self._store)})

    async def traces(self, request: web.Request) -> web.Response:
        """The traces in one line each, newest first, and how many there are of each sort."""
        query = TraceQuery.read(request.query)
        found = query.candidates(self._store)
        shown = [trace for trace in found if query.takes(trace)]
        return web.json_response(
            {
                "items": [trace.summary.to_json() for trace in shown[: query.limit]],
                "matched": len(shown),
                "counts": {
                    "all": len(found),
                    "files": sum(trace.summary.is_of_a_file for trace in found),
                    "errors": sum(trace.summary.errors > 0 for trace in found),
                },
                "total": self._store.trace_count,
                "revision": self._store.revision,
            }
        )

    async def trace(self, request: web.Request) -> web.Response:
        """The envelopes of one trace as they were sent, by time; none when it is unknown."""
        trace = self._store.trace(request.match_info["trace_id"])
        in_order = sorted(trace.envelopes, key=lambda each: each.started_at) if trace else []
        return web.json_response({"items": [each.raw for each in in_order]})

    async def story(self, request: web.Request) -> web.Response:
        """One trace as the page draws it; 304 while nothing was added to it."""
        trace = self._store.trace(request.match_info["trace_id"])
        if trace is None:
            return problem(404, "Not Found", "No such trace was sent, or it was forgotten since.")
        etag = f'"{trace.revision}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.json_response(_story(trace), headers={"ETag": etag, "Cache-Control": "no-cache"})

    async def search(self, request: web.Request) -> web.Response:
        """The traces that carry every identifier of the query, newest first."""
        found = self._store.find(read_identifiers(request.query))
        return web.json_response({"trace_ids": [trace.id for trace in found]})

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [series.to_json() for series in self._store.metrics]})

    async def items(self, _request: web.Request) -> web.Response:
        """Every envelope that is kept, traced or not, in the order in which they came."""
        return web.json_response({"items": [envelope.raw for envelope in self._store]})


def _story(trace: Trace) -> dict[str, object]:
    return tell(trace.id, trace.envelopes).to_json() | {"summary": trace.summary.to_json()}


def _refusal(status: int, message: str = "Refused as asked for by POST /behaviour.") -> dict[str, object]:
    error = {"index": 0, "statusCode": status, "message": message}
    return {"itemsReceived": 1, "itemsAccepted": 0, "errors": [error]}
