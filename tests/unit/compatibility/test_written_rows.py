"""The rows that the application itself leaves behind are rows that the version before can read."""

from __future__ import annotations

import json
from contextlib import suppress

from shared.adapters.memory import MemorySender, MemoryTables
from shared.adapters.memory_dead_letters import MemoryDeadLetters
from shared.errors import DeadLetterError
from shared.files.quota import Quota, QuotaPolicy
from shared.notifications.letter import LetterFilter
from shared.ports import HttpAnswer
from tests.unit.compatibility.golden_files import KINDS, faults, kind_of
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import Portal, bearer
from tests.unit.web.uploads_api import APPEND, CONTENT, Api


async def test_every_row_that_a_life_of_the_service_leaves_is_one_that_the_version_before_reads() -> None:
    tables, dead = MemoryTables(), MemoryDeadLetters()
    api = Api()
    portal = api.portal = Portal(
        tables=tables,
        dead_letter_queue=dead,
        quota=Quota(tables, QuotaPolicy(max_files=10)),
        sender=MemorySender(*[HttpAnswer(500)] * 6),
        url_signer=None,
    )
    wish = {"channel": "webhook", "target": "http://127.0.0.1:9/hook", "events": ["file.stored"]}
    assert (await portal.subscribe(json.dumps(wish).encode())).status_code == 201

    stored = body_of(await portal.upload(b"one", content_type="text/plain", idempotency_key='"k-1"'))
    where = await api.begin()
    assert (await api.send("PATCH", where, CONTENT, upload_offset="0", **APPEND)).status_code == 204
    shared = await portal.app.answer(
        "create_share_link",
        request(
            "POST",
            headers=bearer() | {"content-type": "application/json"},
            client=Client((b"{}",)),
            file_id=stored["id"],
        ),
    )
    assert shared.status_code == 201
    for name in list(portal.blobs.contents):
        await portal.app.announce(name)
    for message in portal.queue.messages:  # each attempt that fails adds the next one's
        with suppress(DeadLetterError):
            await portal.app.deliver(message.body, enqueued_at=None)
    last = portal.queue.messages[-1]
    dead.add(last.message_id, last.body, enqueued_at=portal.app.clock.now())
    assert (await portal.app.dead_letters.redrive(LetterFilter(), by="tenant/olga")).done == 1

    rows = list(tables.rows.values())
    assert {kind_of(row) for row in rows} == set(KINDS)
    assert {row.row_key: faults(row) for row in rows if faults(row)} == {}
