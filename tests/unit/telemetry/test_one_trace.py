"""One file's trace through the whole application, over memory adapters."""

from __future__ import annotations

import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.responses import StreamingResponse

from shared.adapters.memory import MemorySender, MemoryUrlSigner
from shared.adapters.memory_telemetry import MemoryTelemetry
from shared.errors import DeadLetterError, UnavailableError
from shared.notifications.channels.attempt import position_of
from shared.ports import HttpAnswer
from shared.telemetry.recorder import Telemetry
from shared.telemetry.spans import SpanKind, current
from shared.telemetry.trace_context import TraceContext
from shared.web.call import Front
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import Portal, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shared.ports import QueueMessage
    from shared.telemetry.recorder import Export

CLIENT = TraceContext("1" * 32, "2" * 16)
HOOK = b'{"channel":"webhook","target":"https://127.0.0.1/hooks/secret-path","events":["file.stored"]}'


class Followed:
    """The application and what it tells; answers of the receiver in their order."""

    def __init__(self, *answers: int) -> None:
        self.sink = MemoryTelemetry()
        self.sender = MemorySender(*(HttpAnswer(status) for status in answers))
        self.portal = Portal(telemetry=Telemetry(self.sink), sender=self.sender, url_signer=MemoryUrlSigner())

    async def upload(self, **headers: Any) -> Any:
        await self.portal.subscribe(HOOK)
        self.sink.exports.clear()
        file = body_of(await self.portal.upload(b"ring", x_correlation_id="order-4711", **headers))
        (name,) = self.portal.blobs.contents
        await self.portal.app.announce(name)
        return file

    async def deliver(self) -> QueueMessage:
        message = self.portal.queue.messages.pop(0)
        await self.portal.app.deliver(message.body, enqueued_at=None)
        return message

    def part(self, name: str, number: int = 0) -> Export:
        return [export for export in self.sink.exports if export.spans and export.spans[0].name == name][
            number
        ]


async def test_from_the_request_to_the_attempt_each_is_the_childs_parent() -> None:
    app = Followed(200)
    file = await app.upload(traceparent="00-" + CLIENT.trace_id + "-" + CLIENT.span_id + "-00")
    message = await app.deliver()

    post, announce, deliver = (app.part(n) for n in ("POST /api/v1/files", "announce", "deliver"))
    assert {export.trace_id for export in app.sink.exports} == {CLIENT.trace_id}
    assert post.parent_id == CLIENT.span_id
    assert announce.parent_id == post.spans[0].span_id
    assert deliver.parent_id == announce.spans[0].span_id
    assert message.properties["traceparent"] == announce.spans[0].context.traceparent
    (_, webhook) = deliver.spans
    assert (webhook.name, webhook.target, webhook.failed) == ("Webhook", "127.0.0.1", False)
    ((_, sent, _),) = app.sender.posts
    assert sent["traceparent"] == TraceContext(CLIENT.trace_id, webhook.span_id).traceparent
    for export in (post, announce, deliver):
        assert export.spans[0].attributes["file_id"] == file["id"]
        assert export.spans[0].attributes["correlation_id"] == "order-4711"


async def test_the_wide_events_and_measurements_of_a_file() -> None:
    app = Followed(200)
    file = await app.upload()
    await app.deliver()

    events = {happening.name: happening.fields for happening in app.sink.happenings}
    assert set(events) == {"dropbell.request", "dropbell.file.announced", "dropbell.delivery.attempt"}
    assert all(fields["file_id"] == file["id"] for fields in events.values())
    assert all(fields["trace_id"] == file["trace_id"] for fields in events.values())
    attempt = events["dropbell.delivery.attempt"]
    assert (
        attempt.items()
        >= {"outcome": "delivered", "channel": "webhook", "attempt": 1, "status_code": 200}.items()
    )
    assert attempt["since_accepted_ms"] == 0, "the clock stands still"
    measured = app.sink.measured
    measured.pop("dropbell.signing_keys.lookups")
    assert measured == {
        "dropbell.files.accepted": [1],
        "dropbell.bytes.accepted": [4],
        "dropbell.time_to_announced": [0],
        "dropbell.time_to_delivered": [0],
        "dropbell.delivery.attempts": [1],
    }


async def test_an_event_that_comes_twice_measures_once() -> None:
    app = Followed()
    await app.upload()
    (name,) = app.portal.blobs.contents
    await app.portal.app.announce(name)
    assert app.sink.measured["dropbell.time_to_announced"] == [0]
    assert app.sink.measured["dropbell.files.accepted"] == [1]


async def test_a_retry_stands_beside_the_first_attempt_and_is_linked_to_it() -> None:
    app = Followed(503, 200)
    await app.upload()
    await app.deliver()
    await app.deliver()

    first, second = app.part("deliver"), app.part("deliver", 1)
    assert first.trace_id == second.trace_id
    assert first.parent_id == second.parent_id
    assert first.spans[1].failed
    assert first.span_percent == 100
    assert second.spans[1].links == [TraceContext(first.trace_id, first.spans[1].span_id)]
    assert second.spans[1].span_id != first.spans[1].span_id
    levels = [h.level for h in app.sink.happenings if h.name == "dropbell.delivery.attempt"]
    assert levels == [logging.WARNING, logging.INFO]


async def test_what_is_given_up_is_counted_once_however_often_the_queue_brings_it() -> None:
    app = Followed(500, 500, 500)
    await app.upload()
    await app.deliver()
    await app.deliver()
    message = app.portal.queue.messages.pop(0)
    for _ in range(3):
        with pytest.raises(DeadLetterError):
            await app.portal.app.deliver(message.body, enqueued_at=None)

    assert app.sink.measured["dropbell.dead_letters"] == [1]
    repeats = [export for export in app.sink.exports if export.spans[0].name == "deliver"][3:]
    assert len(repeats) == 2
    assert not any(span.failed for export in repeats for span in export.spans)


async def test_a_redelivery_is_linked_to_the_request_and_to_the_attempt_before() -> None:
    app = Followed(200, 200)
    file = await app.upload()
    await app.deliver()
    listed = body_of(
        await app.portal.app.answer("list_deliveries", request(headers=bearer(), file_id=file["id"]))
    )
    (delivery,) = listed["items"]
    asked = await app.portal.app.answer(
        "redeliver", request("POST", headers=bearer(), delivery_id=delivery["id"])
    )
    assert asked.status_code == 202
    await app.deliver()

    ask = app.part("POST /api/v1/deliveries/{delivery_id}/redeliver")
    again = app.part("deliver", 1)
    assert again.trace_id == file["trace_id"] != ask.trace_id
    assert again.spans[0].links == [TraceContext(ask.trace_id, ask.spans[0].span_id)]
    assert again.spans[1].links == [position_of(file["trace_id"], delivery["id"], 1)]


async def test_a_message_of_the_version_before_is_a_child_of_the_file_itself() -> None:
    app = Followed(200)
    await app.upload()
    message = app.portal.queue.messages.pop(0)
    body = json.loads(message.body)
    assert body.pop("traceparent")
    assert body.pop("asked_by") is None
    await app.portal.app.deliver(json.dumps(body).encode(), enqueued_at=None)
    post, deliver = app.part("POST /api/v1/files"), app.part("deliver")
    assert deliver.parent_id == post.spans[0].span_id


async def test_an_unreadable_message_is_an_error_that_is_kept() -> None:
    app = Followed()
    app.portal.app.__dict__["telemetry"] = Telemetry(app.sink, sample_ratio=0)
    with pytest.raises(DeadLetterError):
        await app.portal.app.deliver(b"not ours, but a secret", enqueued_at=None)
    (export,) = app.sink.exports
    assert (export.spans[0].name, export.span_percent) == ("deliver", 100)
    assert [h.name for h in app.sink.happenings] == ["dropbell.message.unreadable"]
    assert app.sink.measured == {"dropbell.dead_letters": [1]}
    assert "secret" not in repr(app.sink.happenings)


async def test_the_sweep_tells_only_of_what_it_found() -> None:
    app = Followed(200)
    await app.upload()
    await app.deliver()
    app.sink.exports.clear()
    clock: Any = app.portal.app.clock
    await app.portal.app.sweep()
    clock.advance(3600)
    await app.portal.app.sweep()
    assert [export.spans for export in app.sink.exports if export.spans] == []


async def test_a_missed_event_is_a_finding_in_the_files_own_trace() -> None:
    app = Followed()
    await app.portal.subscribe(HOOK)
    file = body_of(await app.portal.upload(b"ring"))
    app.sink.exports.clear()
    clock: Any = app.portal.app.clock
    clock.advance(3600)
    await app.portal.app.sweep()
    assert app.sink.measured["dropbell.sweep.findings"] == [1]
    sweep = app.part("sweep announce")
    assert sweep.trace_id == file["trace_id"]
    assert "dropbell.event.missed" in [happening.name for happening, _ in sweep.happenings]


async def test_a_streamed_answer_is_told_of_when_the_last_byte_is_out() -> None:
    app = Followed()
    file = body_of(await app.portal.upload(b"some content"))
    app.sink.exports.clear()
    response = await app.portal.app.answer("get_content", request(headers=bearer(), file_id=file["id"]))
    assert isinstance(response, StreamingResponse)
    assert app.sink.exports == []
    assert (
        b"".join([chunk async for chunk in cast("AsyncIterator[bytes]", response.body_iterator)])
        == b"some content"
    )
    (event,) = app.sink.happenings
    assert event.fields.items() >= {"route": "get_content", "status_code": 200, "bytes_sent": 12}.items()
    assert current() is None


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_client_that_leaves_in_the_middle_is_told_of_too(taken: int) -> None:
    sink = MemoryTelemetry()
    closed = []

    async def content() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    async def stream(_: Any) -> StreamingResponse:
        return StreamingResponse(content())

    validator: Any = None
    response = await Front(validator, telemetry=Telemetry(sink)).answer_open("docs", request(), stream)
    assert isinstance(response, StreamingResponse)
    body: Any = response.body_iterator
    async with aclosing(body):
        for _ in range(taken):
            await anext(body)
    assert closed == [True] * taken, "what was never begun has nothing to let go of"
    (event,) = sink.happenings
    assert event.fields["bytes_sent"] == taken


async def test_content_that_breaks_off_is_a_failure_that_is_kept() -> None:
    sink = MemoryTelemetry()

    async def content() -> AsyncGenerator[bytes]:
        yield b"x"
        raise UnavailableError("Storage is gone.", reason="storage-gone")

    async def stream(_: Any) -> StreamingResponse:
        return StreamingResponse(content())

    front = Front(cast("Any", None), telemetry=Telemetry(sink, sample_ratio=0))
    body: Any = (await front.answer_open("docs", request(), stream)).body_iterator  # type: ignore[attr-defined]
    async with aclosing(body):
        assert await anext(body) == b"x"
        with pytest.raises(UnavailableError):
            await anext(body)
    (root,) = sink.spans
    assert root.failed
    (event,) = sink.happenings
    assert (event.level, event.fields["reason"], event.fields["bytes_sent"]) == (
        logging.ERROR,
        "storage-gone",
        1,
    )


async def test_a_request_that_fails_is_kept_and_tells_neither_token_nor_body() -> None:
    sink = MemoryTelemetry()
    portal = Portal(telemetry=Telemetry(sink, sample_ratio=0), tables=None)
    token = bearer()["authorization"]
    response = await portal.upload(b"planted-body", content_disposition="attachment; filename=planted-name")
    assert response.status_code == 500
    (export,) = sink.exports
    (root,) = export.spans
    assert (root.kind, root.failed, root.attributes["status_code"]) == (SpanKind.SERVER, True, 500)
    told = repr((export, [span.attributes for span in export.spans]))
    assert "planted" not in told
    assert token not in told


TUS = {"tus-resumable": "1.0.0"}


async def test_a_resumable_upload_is_one_trace_and_a_foreign_one_is_linked() -> None:
    app = Followed()

    async def ask(route: str, method: str, *parts: bytes, headers: dict[str, str], **ids: str) -> Any:
        client = Client(parts)
        asked = request(method, headers=bearer() | TUS | headers, client=client, **ids)
        return await app.portal.app.answer(route, asked)

    made = await ask("create_upload", "POST", headers={"upload-length": "4"})
    upload_id = made.headers["location"].rpartition("/")[2]
    step = {"content-type": "application/offset+octet-stream"}
    own = {"traceparent": CLIENT.traceparent}
    await ask("append_upload", "PATCH", b"ri", headers=step | {"upload-offset": "0"}, upload_id=upload_id)
    await ask("get_upload", "HEAD", headers=own, upload_id=upload_id)
    await ask("append_upload", "PATCH", b"ng", headers=step | {"upload-offset": "2"}, upload_id=upload_id)

    begun, first, look, last = app.sink.exports
    here = TraceContext(begun.trace_id, begun.spans[0].span_id)
    assert begun.parent_id is None
    for each in (first, last):
        assert (each.trace_id, each.parent_id) == (here.trace_id, here.span_id)
    assert (look.trace_id, look.spans[0].links) == (CLIENT.trace_id, [here])
    assert all(export.spans[0].attributes["file_id"] == upload_id for export in (first, look, last))
    file = body_of(await app.portal.app.answer("get_file", request(headers=bearer(), file_id=upload_id)))
    assert file["trace_id"] == here.trace_id
