"""What one upload and one delivery cost, counted: the numbers from which ``docs/costs.md`` is made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.files import file as files
from tests.conformance.adapters.counted_service import CountedService
from tests.unit.shared.asgi import body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from local.azurite import StoragePorts

OPERATIONS = Path(__file__).parent.parent.parent.parent / "benches" / "operations.json"
CONTENT = b"ring the bell, " * 70_000
"""1 MiB and a little: what the prices are told for."""
LARGE = b"0123456789abcdef" * (1 << 20)
"""16 MiB: four blocks."""
JSON = {"content-type": "application/json"}
TUS = {"tus-resumable": "1.0.0"}
APPEND = TUS | {"content-type": "application/offset+octet-stream"}


DAY_SECONDS = 86_400
type Scenario = Callable[[CountedService], Awaitable[dict[str, int]]]


async def one_request(service: CountedService) -> dict[str, int]:
    await service.upload(CONTENT)
    return service.taken()


async def one_request_with_a_key(service: CountedService) -> dict[str, int]:
    await service.upload(CONTENT, idempotency_key='"key"')
    return service.taken()


async def one_large_request(service: CountedService) -> dict[str, int]:
    await service.upload(LARGE)
    return service.taken()


async def resumable(service: CountedService) -> dict[str, int]:
    length = str(len(CONTENT))
    made = await service.call("create_upload", "POST", expect=201, headers=TUS | {"upload-length": length})
    id_ = made.headers["location"].rpartition("/")[2]
    await service.call(
        "append_upload", "PATCH", CONTENT, expect=204, headers=APPEND | {"upload-offset": "0"}, upload_id=id_
    )
    return service.taken()


async def direct(service: CountedService) -> dict[str, int]:
    await _direct(service)
    return service.taken()


async def _direct(service: CountedService) -> Any:
    wish = {
        "name": "bell.txt",
        "content_type": "text/plain",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    told = body_of(
        await service.call(
            "create_direct_upload", "POST", json.dumps(wish).encode(), expect=201, headers=JSON
        )
    )
    await service.client_puts(told, CONTENT)
    await service.call("complete_direct_upload", "POST", expect=200, upload_id=told["id"])
    return told


async def event_of_a_clients_own_blob(service: CountedService) -> dict[str, int]:
    """It was published meanwhile, and its blob is gone."""
    told = await _direct(service)
    service.taken()
    service.counts["executions"] += 1
    await service.app.announce(files.incoming_blob_name(service.owner, told["id"]))
    return service.taken()


async def announced_to_nobody(service: CountedService) -> dict[str, int]:
    file = await service.upload(CONTENT)
    service.taken()
    await service.announce(file["id"])
    return service.taken()


async def announced_to_one(service: CountedService) -> dict[str, int]:
    await subscribed(service)
    return await announced_to_nobody(service)


async def failed_attempt(service: CountedService) -> dict[str, int]:
    service.sender.will_answer(503)
    await announced_to_one(service)
    await service.deliver(service.queue.messages[-1])
    return service.taken()


async def delivery(service: CountedService) -> dict[str, int]:
    await announced_to_one(service)
    await service.deliver(service.queue.messages[-1])
    return service.taken()


async def delivery_after_a_failure(service: CountedService) -> dict[str, int]:
    await failed_attempt(service)
    await service.deliver(service.queue.messages[-1])
    return service.taken()


async def sweep_with_nothing_due(service: CountedService) -> dict[str, int]:
    service.counts["executions"] += 1
    await service.app.sweep()
    return service.taken()


async def look_after_ten_minutes(service: CountedService) -> dict[str, int]:
    """What the sweep does for one file that was announced, beside what it does anyway."""
    await delivery(service)
    service.clock.advance(files.ANNOUNCE_SECONDS)
    return await _swept_beside(service)


async def forgetting_after_ninety_days(service: CountedService) -> dict[str, int]:
    await look_after_ten_minutes(service)
    service.clock.advance(service.app.settings.deliveries_keep_seconds + 2 * DAY_SECONDS)
    return await _swept_beside(service)


async def _swept_beside(service: CountedService) -> dict[str, int]:
    full, empty = await sweep_with_nothing_due(service), await sweep_with_nothing_due(service)
    return {name: count - empty.get(name, 0) for name, count in full.items() if count != empty.get(name, 0)}


async def subscribed(service: CountedService) -> None:
    wish = {"channel": "webhook", "target": "http://127.0.0.1:9/hook", "events": ["file.stored"]}
    await service.call("create_subscription", "POST", json.dumps(wish).encode(), expect=201, headers=JSON)


SCENARIOS: list[Scenario] = [
    one_request,
    one_request_with_a_key,
    one_large_request,
    resumable,
    direct,
    event_of_a_clients_own_blob,
    announced_to_nobody,
    announced_to_one,
    delivery,
    failed_attempt,
    delivery_after_a_failure,
    look_after_ten_minutes,
    forgetting_after_ninety_days,
    sweep_with_nothing_due,
]
NOTED: dict[str, dict[str, int]] = json.loads(OPERATIONS.read_text())


@pytest.fixture
async def service(storage: StoragePorts) -> AsyncIterator[CountedService]:
    """An application that is warm: its connections are open, and it knows the issuer's keys."""
    made = CountedService(storage)
    await made.call("list_files", "GET", expect=200)
    made.taken()
    yield made
    await made.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
async def test_what_is_counted_is_what_is_noted(service: CountedService, scenario: Scenario) -> None:
    """Where it differs, and ought to: note it, and have ``python -m benches.costs`` write the page anew."""
    assert await scenario(service) == NOTED[scenario.__name__]


def test_nothing_else_is_noted() -> None:
    assert list(NOTED) == [each.__name__ for each in SCENARIOS]
