"""Azure Communication Services' mail, against a server that checks requests as the REST API has them."""

from __future__ import annotations

import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from local.part import LOOPBACK
from shared.adapters.mail import AcsMail
from shared.errors import MailRefusedError, TargetFailedError
from shared.notifications.channels.email import MailBusyError
from tests.conformance.adapters.bare_server import bare_server, cuts_off, drips
from tests.conformance.adapters.running_part import unused_port
from tests.conformance.adapters.test_smtp_mail import ADDRESS, mail
from tests.unit.shared import sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from tests.conformance.adapters.bare_server import Answering

TIMEOUT_SECONDS = 5.0
SHORT_SECONDS = 0.4


class Identity:
    """A credential that hands out one token, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self._failure = failure

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if self._failure is not None:
            raise self._failure
        return AccessToken("the-token", int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Identity:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""


@dataclass
class Service:
    """Answers every mail alike; keeps what came."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        assert request.query.get("api-version") == "2025-09-01"
        assert request.content_type == "application/json"
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.json()))
        operation = headers["operation-id"]
        location = f"{self.url}/emails/operations/{operation}?api-version=2025-09-01"
        return web.json_response(
            {"id": operation, "status": "Running"},
            status=self.status,
            headers={"Operation-Location": location, **self.headers},
        )


@asynccontextmanager
async def service(status: int = 202, **headers: str) -> AsyncIterator[Service]:
    made = Service(status, {name.replace("_", "-"): value for name, value in headers.items()})
    app = web.Application()
    app.router.add_post("/emails:send", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    made.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def send(
    url: str,
    *,
    identity: Identity | None = None,
    sent: EmailMessage | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    sender = AcsMail(url, identity or Identity())
    try:
        await sender.send(sent or mail(), timeout_seconds=timeout_seconds)
    finally:
        await sender.close()


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_a_mail_that_the_service_does_not_take_is_refused(status: int) -> None:
    async with service(status) as acs:
        with pytest.raises(MailRefusedError, match=str(status)):
            await send(acs.url)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 500, 502, 504])
async def test_what_the_operator_or_time_can_mend_is_no_refusal(status: int) -> None:
    async with service(status, Location="http://169.254.169.254/") as acs:
        with pytest.raises(TargetFailedError, match=str(status)):
            await send(acs.url)
        assert len(acs.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("17", 17), ("0", 0), ("soon", None), ("-1", None), ("9" * 5000, 999_999)]
)
async def test_how_long_the_service_wants_to_be_left_alone_is_told(
    status: int, retry_after: str, seconds: float | None
) -> None:
    async with service(status, Retry_After=retry_after) as acs:
        with pytest.raises(MailBusyError) as busy:
            await send(acs.url)
        assert busy.value.retry_after_seconds == seconds


async def test_an_operation_that_is_known_was_taken_before() -> None:
    async with service(409) as acs:
        await send(acs.url)


async def test_nobody_listens() -> None:
    with pytest.raises(TargetFailedError, match="cannot be reached"):
        await send(f"http://{LOOPBACK}:{unused_port()}")


@pytest.mark.parametrize("answering", [cuts_off(), drips(b"HTTP/1.1 202 Accepted\r\n", b"x: y\r\n")])
async def test_a_service_that_hangs_or_breaks_off_is_a_failure_within_the_limit(answering: Answering) -> None:
    async with bare_server(answering) as broken:
        started = time.monotonic()
        with pytest.raises(TargetFailedError):
            await send(f"http://{LOOPBACK}:{broken.port}", timeout_seconds=SHORT_SECONDS)
        assert time.monotonic() - started < SHORT_SECONDS + 1


async def test_without_a_token_nothing_is_sent() -> None:
    async with service() as acs:
        with pytest.raises(TargetFailedError, match="no token"):
            await send(acs.url, identity=Identity(ClientAuthenticationError("no identity endpoint")))
        assert not acs.requests


async def test_the_request_is_the_mail_as_the_api_describes_it() -> None:
    sent, identity = mail(), Identity()
    async with service() as acs:
        await send(f"{acs.url}/", sent=sent, identity=identity)
        ((headers, body),) = acs.requests
    assert identity.scopes == ["https://communication.azure.com/.default"]
    assert headers["authorization"] == "Bearer the-token"
    assert body["senderAddress"] == "bell@dropbell.example"
    assert body["recipients"] == {"to": [{"address": ADDRESS}]}
    assert body["content"]["subject"] == "File stored: résumé.pdf"
    assert "résumé.pdf" in body["content"]["plainText"]
    assert body["content"]["html"].startswith("<!doctype html>")
    assert body["userEngagementTrackingDisabled"] is True
    assert body["headers"] == {
        "Message-ID": f"<{sample.delivery().id}@dropbell.example>",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": str(sent["List-Unsubscribe"]),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Correlation-ID": "correlation-1",
        "traceparent": sample.TRACEPARENT,
    }
    assert set(body) == {
        "senderAddress",
        "recipients",
        "content",
        "headers",
        "userEngagementTrackingDisabled",
    }


async def test_every_attempt_is_the_same_operation_and_another_mail_is_another() -> None:
    other = mail()
    other.replace_header("Message-ID", "<other@dropbell.example>")
    async with service() as acs:
        for sent in (mail(), mail(), other):
            await send(acs.url, sent=sent)
        first, second, third = (headers["operation-id"] for headers, _ in acs.requests)
    assert first == second == str(uuid.UUID(first))
    assert third != first
