"""Traces such as Dropbell makes: an upload, its announcement, three deliveries of which two have trouble."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from tests.conformance.app_insights.sender import Sender, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.trace import Span

BLOB = {"az.namespace": "Microsoft.Storage", "peer.service": "blob"}
TABLE = {"db.system": "azure_table", "peer.service": "table"}
QUEUE = {
    "az.namespace": "Microsoft.ServiceBus",
    "messaging.system": "servicebus",
    "messaging.destination.name": "notifications",
    "server.address": "127.0.0.1",
}
FAILED = {
    500: "the receiver answered 500",
    503: "the receiver answered 503",
    410: "the receiver answered 410",
}


@dataclass
class FileStory:
    """One file, told to an exporter. Times are milliseconds since ``start``."""

    sender: Sender
    start: datetime
    file_id: str = ""
    correlation_id: str = ""
    trace_id: str = ""

    def __post_init__(self) -> None:
        self.file_id = self.file_id or str(uuid.uuid4())
        self.correlation_id = self.correlation_id or f"req-{uuid.uuid4().hex[:12]}"

    def at(self, ms: float) -> datetime:
        return self.start + timedelta(milliseconds=ms)

    def call(self, name: str, at_ms: float, ms: float, parent: Span, **options: Any) -> Span:
        kind = options.pop("kind", SpanKind.CLIENT)
        attributes = {"file_id": self.file_id, **options.pop("attributes", {})}
        return self.sender.span(
            name, kind, self.at(at_ms), ms, parent=parent, attributes=attributes, **options
        )

    def event(self, name: str, at_ms: float, span: Span, worker: int = 0, **properties: object) -> None:
        known = {
            "file_id": self.file_id,
            "correlation_id": self.correlation_id,
            "trace_id": trace_id_of(span),
            "level": "info",
        }
        self.sender.event(name, self.at(at_ms), span, {**known, **properties}, worker)

    def uploaded(self) -> Span:
        request = self.sender.span(
            "POST /api/v1/files",
            SpanKind.SERVER,
            self.start,
            86,
            attributes={
                "http.request.method": "POST",
                "http.route": "/api/v1/files",
                "url.scheme": "http",
                "url.path": "/api/v1/files",
                "server.address": "127.0.0.1",
                "http.response.status_code": 201,
                "file_id": self.file_id,
                "correlation_id": self.correlation_id,
            },
        )
        self.trace_id = trace_id_of(request)
        self.call("Table get", 3, 6, request, attributes=TABLE)
        self.call("Table apply", 11, 8, request, attributes=TABLE)
        for block in range(2):
            self.call("Blob stage", 21 + 17 * block, 15, request, attributes=BLOB)
        self.call("Blob create", 56, 12, request, attributes=BLOB)
        self.call("Table apply", 70, 9, request, attributes=TABLE)
        self.event(
            "dropbell.request",
            86,
            request,
            method="POST",
            route="/api/v1/files",
            status_code=201,
            duration_ms=86,
            size_bytes=3_145_728,
        )
        return request

    def announced(self, request: Span) -> list[Span]:
        """The announcement; returns the sending of each message."""
        announce = self.sender.span(
            "announce",
            SpanKind.CONSUMER,
            self.at(131),
            48,
            parent=request,
            attributes={"file_id": self.file_id},
            worker=1,
        )
        self.call("Table get", 133, 5, announce, attributes=TABLE, worker=1)
        self.call("Table query", 139, 7, announce, attributes=TABLE, worker=1)
        sent = [
            self.call(
                "Queue send",
                148 + 6 * number,
                5,
                announce,
                kind=SpanKind.PRODUCER,
                attributes=QUEUE,
                worker=1,
            )
            for number in range(3)
        ]
        self.call("Table apply", 167, 9, announce, attributes=TABLE, worker=1)
        self.event(
            "dropbell.file.announced",
            178,
            announce,
            worker=1,
            deliveries=3,
            since_accepted_ms=92,
            duration_ms=48,
        )
        return sent

    def attempt(
        self,
        at_ms: float,
        sent: Span,
        number: int,
        delivery_id: str,
        *,
        status: int = 200,
        channel: str = "webhook",
        earlier: Span | None = None,
        worker: int = 0,
        ms: float = 40,
    ) -> Span:
        """One attempt of a delivery."""
        failure = FAILED.get(status)
        deliver = self.sender.span(
            "deliver",
            SpanKind.CONSUMER,
            self.at(at_ms),
            ms,
            parent=sent,
            links=[earlier] if earlier else [],
            attributes={"file_id": self.file_id, "delivery_id": delivery_id},
            failure=failure,
            worker=worker,
        )
        self.call("Table apply", at_ms + 2, 6, deliver, attributes=TABLE, worker=worker)
        name = "Mail send" if channel == "email" else "POST hooks.example.org"
        sending = {} if channel == "email" else _posted("hooks.example.org", status)
        self.call(name, at_ms + 9, ms - 20, deliver, attributes=sending, failure=failure, worker=worker)
        self.call("Table apply", at_ms + ms - 9, 7, deliver, attributes=TABLE, worker=worker)
        outcome: dict[str, object] = {"outcome": "delivered", "since_accepted_ms": round(at_ms + ms)}
        if failure:
            outcome = {"outcome": "failed", "level": "warning", "reason": failure}
        self.event(
            "dropbell.delivery.attempt",
            at_ms + ms,
            deliver,
            worker=worker,
            delivery_id=delivery_id,
            subscription_id=f"sub-{delivery_id[:4]}",
            attempt=number,
            channel=channel,
            status_code="" if channel == "email" else status,
            duration_ms=round(ms - 20),
            **outcome,
        )
        return deliver

    def tell(self) -> FileStory:
        """A mail at once, a webhook at the third attempt, one given up and redriven a minute later."""
        mail, flaky, dead = (str(uuid.uuid4()) for _ in range(3))
        sent = self.announced(self.uploaded())
        self.attempt(190, sent[0], 1, mail, channel="email", ms=72)
        first = self.attempt(196, sent[1], 1, flaky, status=503, worker=1, ms=64)
        second = self.attempt(1270, sent[1], 2, flaky, status=503, earlier=first, worker=0)
        self.attempt(5310, sent[1], 3, flaky, earlier=second, worker=1, ms=38)
        lost = self.attempt(204, sent[2], 1, dead, status=500, worker=0, ms=52)
        lost = self.attempt(1262, sent[2], 2, dead, status=500, earlier=lost, worker=1, ms=45)
        lost = self.attempt(5296, sent[2], 3, dead, status=500, earlier=lost, worker=0, ms=44)
        self.attempt(64_200, sent[2], 4, dead, earlier=lost, worker=1, ms=41)
        return self


def _posted(host: str, status: int) -> dict[str, Any]:
    return {
        "http.request.method": "POST",
        "url.full": f"https://{host}/dropbell",
        "server.address": host,
        "http.response.status_code": status,
    }


def measure(sender: Sender, files: int) -> None:
    """The metrics of that many files."""
    meter = sender.meter
    meter.create_counter("dropbell.files.accepted").add(files)
    meter.create_counter("dropbell.bytes.accepted", unit="By").add(files * 3_145_728)
    attempts = meter.create_counter("dropbell.delivery.attempts")
    attempts.add(2 * files, {"outcome": "delivered", "channel": "webhook"})
    attempts.add(files, {"outcome": "delivered", "channel": "email"})
    attempts.add(5 * files, {"outcome": "failed", "channel": "webhook"})
    meter.create_counter("dropbell.dead_letters").add(files, {"cause": "exhausted"})
    announced = meter.create_histogram("dropbell.time_to_announced", unit="s")
    delivered = meter.create_histogram("dropbell.time_to_delivered", unit="s")
    for number in range(files):
        announced.record(0.08 + 0.01 * (number % 5))
        delivered.record(0.2 + 0.3 * (number % 7))


def many_spans(sender: Sender, start: datetime, count: int) -> str:
    """One trace with that many dependencies; returns its identifier."""
    story = FileStory(sender, start)
    request = sender.span("sweep", SpanKind.CONSUMER, start, 12 * count + 10)
    for number in range(count):
        name = ("Table query", "Blob delete", "Table apply")[number % 3]
        story.call(name, 5 + 12 * number, 10, request, attributes=BLOB if "Blob" in name else TABLE)
    return trace_id_of(request)
