"""What every route does before and after its own work."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryTables
from shared.errors import EntityChangedError, UnavailableError
from shared.telemetry.trace_context import TraceContext
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import Portal, bearer

if TYPE_CHECKING:
    from starlette.responses import Response

    from shared.ports import Entity

ROUTES = ["create_file", "get_file", "list_deliveries", "create_subscription", "get_subscription"]
IDS = {"file_id": "x", "subscription_id": "x"}


async def call(portal: Portal, route: str, headers: dict[str, str], client: Client | None = None) -> Response:
    response: Response = await portal.app.answer(
        route, request("POST", headers=headers, client=client, **IDS)
    )
    return response


@pytest.mark.parametrize("route", ROUTES)
async def test_without_a_token_nothing_is_read_of_the_request(route: str) -> None:
    client = Client((b"x" * 10_000,))
    portal = Portal()
    bad = {"content-length": "nonsense", "content-type": "nonsense", "content-disposition": "filename=../x"}
    response = await call(portal, route, bad, client)
    assert response.status_code == 401
    assert re.fullmatch('Bearer realm="dropbell", scope="[A-Za-z.]+"', response.headers["www-authenticate"])
    assert body_of(response)["type"] == "/api/problems/token-missing"
    assert client.taken == 0
    assert not portal.tables.rows


@pytest.mark.parametrize("route", ROUTES)
async def test_a_bad_token_is_challenged(route: str) -> None:
    expired = forge.token(forge.user_claims(exp=forge.NOW_SECONDS - 3600))
    response = await call(Portal(), route, {"authorization": f"Bearer {expired}"})
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert body_of(response)["type"] == "/api/problems/token-expired"


@pytest.mark.parametrize(
    ("route", "scopes", "helps"),
    [
        ("create_file", "Files.Read Subscriptions.Manage Deliveries.Read", "Files.ReadWrite"),
        ("get_file", "Subscriptions.Manage Deliveries.Read", "Files.Read"),
        ("list_deliveries", "Files.ReadWrite Subscriptions.Manage", "Deliveries.Read"),
        ("create_subscription", "Files.ReadWrite Deliveries.Read", "Subscriptions.Manage"),
        ("get_subscription", "Files.ReadWrite Deliveries.Read", "Subscriptions.Manage"),
    ],
)
async def test_each_route_asks_for_its_permission(route: str, scopes: str, helps: str) -> None:
    client = Client((b"x",))
    response = await call(Portal(), route, bearer(scopes=scopes), client)
    assert response.status_code == 403
    assert f'scope="{helps}"' in response.headers["www-authenticate"]
    assert client.taken == 0


async def test_an_issuer_that_does_not_answer_is_our_problem_not_the_callers() -> None:
    portal = Portal()
    portal.issuer.down = True
    response = await call(portal, "get_file", bearer())
    assert response.status_code == 503


@pytest.mark.parametrize("route", ROUTES)
async def test_a_problem_has_the_same_five_fields_on_every_route(route: str) -> None:
    response = await call(Portal(), route, {"x-correlation-id": "mine"})
    problem = body_of(response)
    assert response.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "correlation_id"}
    assert problem["status"] == response.status_code
    assert problem["correlation_id"] == response.headers["x-correlation-id"] == "mine"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("good", ["a", "A-b_c.9", "x" * 64])
async def test_a_good_correlation_id_is_kept(good: str) -> None:
    response = await Portal().upload(b"x", x_correlation_id=good)
    assert response.headers["x-correlation-id"] == body_of(response)["correlation_id"] == good


@pytest.mark.parametrize("bad", ["", " ", "x" * 65, "a b", "a\tb", "é", "a;b", '"a"', "a/b", "a\n"])
async def test_a_bad_correlation_id_is_replaced(bad: str) -> None:
    response = await Portal().upload(b"x", x_correlation_id=bad)
    assert len(response.headers["x-correlation-id"]) == 32
    assert response.headers["x-correlation-id"] == body_of(response)["correlation_id"]


@pytest.mark.parametrize(
    "traceparent",
    [f"00-{'1' * 32}-{'2' * 16}-00", f"00-{'1' * 32}-{'2' * 16}-01", f"42-{'1' * 32}-{'2' * 16}-01-x"],
)
async def test_the_callers_trace_goes_on_and_is_always_sampled(traceparent: str) -> None:
    portal = Portal()
    file = body_of(await portal.upload(b"x", traceparent=traceparent))
    assert file["trace_id"] == "1" * 32
    (blob,) = [await portal.blobs.properties(name) for name in portal.blobs.contents]
    assert blob is not None
    version, trace_id, span_id, flags = blob.metadata["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "1" * 32, "01")
    assert span_id != "2" * 16


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "x",
        f"00-{'0' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'2' * 16}-01-x",
        f"00-{'A' * 32}-{'2' * 16}-01",
        f"00-{'1' * 31}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'2' * 16}-01\n",
    ],
)
def test_a_malformed_trace_is_ignored(traceparent: str | None) -> None:
    assert TraceContext.parse(traceparent) is None


class FailingTables(MemoryTables):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [RuntimeError("planted"), EntityChangedError("planted"), KeyError("planted"), ValueError("planted")],
)
async def test_an_error_that_is_not_ours_is_told_without_details(error: Exception, caplog: Any) -> None:
    caplog.set_level(logging.INFO, logger="dropbell")
    file_id = "019cacff-0000-7000-8000-000000000001"
    portal = Portal(tables=FailingTables(error))
    response = await portal.app.answer("get_file", request(headers=bearer(), file_id=file_id))
    assert response.status_code == 500
    assert body_of(response)["type"] == "/api/problems/internal-error"
    assert "planted" not in bytes(response.body).decode() + caplog.text
    (record,) = [json.loads(r.getMessage()) for r in caplog.records if r.name == "dropbell"]
    assert record["reason"].startswith(f"{type(error).__name__} at tests.unit.shared.test_front:")
    assert caplog.records[-1].levelno == logging.ERROR


async def test_a_store_that_does_not_answer_is_told_as_such() -> None:
    portal = Portal(tables=FailingTables(UnavailableError("Try again.", reason="planted")))
    file_id = "019cacff-0000-7000-8000-000000000001"
    response = await portal.app.answer("get_file", request(headers=bearer(), file_id=file_id))
    assert response.status_code == 503
    assert "planted" not in bytes(response.body).decode()


async def test_one_wide_event_tells_of_each_request(caplog: Any) -> None:
    caplog.set_level(logging.INFO, logger="dropbell")
    answer = await Portal().upload(b"x", x_correlation_id="mine", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    (event,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "dropbell"]
    assert event.pop("duration_ms") >= 0
    assert event == {
        "event": "dropbell.request",
        "route": "create_file",
        "method": "POST",
        "status_code": 201,
        "caller": "user",
        "client_id": forge.CLIENT,
        "file_id": body_of(answer)["id"],
        "trace_id": "1" * 32,
        "correlation_id": "mine",
    }


async def test_no_secret_name_or_body_reaches_the_log(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    portal = Portal()
    target = b"http://127.0.0.1:9/planted-path?key=planted"
    made = body_of(await portal.subscribe(b'{"channel": "webhook", "target": "' + target + b'"}'))
    await portal.subscribe(b'{"channel": "planted"}')
    await portal.upload(b"planted-body", content_disposition="attachment; filename=planted.txt")
    await portal.upload(b"planted-body", content_disposition='attachment; filename="planted/x"')
    await portal.upload(b"planted-body", content_type="planted")
    await call(portal, "get_file", {"authorization": "Bearer planted.planted.planted"})
    await call(portal, "get_file", {"authorization": "Basic planted"})
    for name in list(portal.blobs.contents):
        await portal.app.announce(name)
    for message in portal.queue.messages:
        await portal.app.deliver(message.body, enqueued_at=None)
    await call(portal, "get_file", bearer())
    token = bearer()["authorization"].split()[1]
    assert portal.sender.posts
    assert "dropbell.delivery.attempt" in caplog.text
    for secret in (
        "planted",
        made["secret"],
        made["secret"].removeprefix("whsec_"),
        token,
        token.split(".")[2],
    ):
        assert secret not in caplog.text
