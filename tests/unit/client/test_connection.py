"""Addresses, refusals and broken networks, as a caller sees them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell import files, subscriptions
from dropbell.answers import to_json
from dropbell.connection import Connection, normalised_api_url
from dropbell.errors import ConnectionFailedError, InputError, ProblemError, UnexpectedAnswerError
from dropbell.sign_in import FixedToken
from dropbell.trace_context import new_traceparent
from tests.unit.client.fake_api import FILE_ID, TOKEN, FakeApi, file_json

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8080", "ftp://host", "https://", "http://[::1", "https://h:port", "https://h/?a=1",
     "https://h/#a", "https://me:secret@h"],
)  # fmt: skip
def test_what_is_no_address_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        normalised_api_url(url)


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1:8080", "http://localhost.example.com"]
)
def test_a_token_never_goes_unprotected_over_a_network(url: str) -> None:
    with pytest.raises(InputError, match="not protected"):
        normalised_api_url(url)


@pytest.mark.parametrize(
    ("url", "api_url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/api/v1"),
        ("http://localhost:8080/api", "http://localhost:8080/api/v1"),
        ("http://[::1]:8080/api/v1", "http://[::1]:8080/api/v1"),
        ("https://example.com/api/v1/", "https://example.com/api/v1"),
        ("https://gateway.example.com/dropbell", "https://gateway.example.com/dropbell/api/v1"),
    ],
)
def test_the_address_of_the_api_is_found(url: str, api_url: str) -> None:
    assert normalised_api_url(url) == api_url


@pytest.mark.parametrize("token", ["", " ", "two words", "line\nbreak", "tökén"])
def test_what_cannot_be_a_token_is_refused_before_it_becomes_a_header(token: str) -> None:
    with pytest.raises(InputError, match="no access token has"):
        FixedToken(token)


def test_a_closed_port_is_told_in_one_sentence(closed_port: int) -> None:
    with (
        Connection(f"http://127.0.0.1:{closed_port}", FixedToken(TOKEN)) as connection,
        pytest.raises(
            ConnectionFailedError, match=rf"Could not connect to http://127\.0\.0\.1:{closed_port};"
        ),
    ):
        files.show(connection, FILE_ID)


def test_a_silent_service_is_told_apart_from_an_absent_one(api: FakeApi) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.Response()

    api.next_answers.append(silent)
    with (
        Connection(api.url, FixedToken(TOKEN), timeout=(5, 0.1)) as connection,
        pytest.raises(ConnectionFailedError, match="did not answer in time"),
    ):
        files.show(connection, FILE_ID)


def test_https_to_a_plain_port_is_a_failed_connection(api: FakeApi) -> None:
    with (
        Connection(api.url.replace("http:", "https:"), FixedToken(TOKEN)) as connection,
        pytest.raises(ConnectionFailedError),
    ):
        files.show(connection, FILE_ID)


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.pem cannot be read"):
        Connection("https://localhost", FixedToken(TOKEN), str(tmp_path / "ca.pem"))


def test_a_certificate_file_without_certificates_is_named(tmp_path: Path, closed_port: int) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("no certificate")
    with pytest.raises(InputError, match=r"ca\.pem holds no certificate"):
        Connection(f"https://localhost:{closed_port}", FixedToken(TOKEN), str(ca_file))


@pytest.mark.parametrize(
    ("body", "content_type", "detail", "kind"),
    [
        (b"<h1>Bad gateway</h1>", "text/html", "The service answered 502 Bad Gateway.", "about:blank"),
        (b"", "application/json", "The service answered 502 Bad Gateway.", "about:blank"),
        (b'["list"]', "application/json", "The service answered 502 Bad Gateway.", "about:blank"),
        (b'{"title": 7, "detail": null}', "application/problem+json", "The service answered 502 Bad Gateway.",
         "about:blank"),
        (b'{"title": "Down", "type": "urn:down"}', "application/problem+json", "Down", "urn:down"),
    ],
)  # fmt: skip
def test_a_refusal_of_any_shape_is_a_problem(
    connection: Connection, api: FakeApi, body: bytes, content_type: str, detail: str, kind: str
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=502, body=body, content_type=content_type, headers={"X-Correlation-Id": "from-header"}
        )

    api.next_answers.append(refuse)
    with pytest.raises(ProblemError, match=f"^{re.escape(detail)}$") as caught:
        files.show(connection, FILE_ID)
    assert (caught.value.status, caught.value.type) == (502, kind)
    assert caught.value.correlation_id == "from-header"


def test_a_redirect_is_not_followed_with_the_token(connection: Connection, api: FakeApi) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"/api/v1/files/{FILE_ID}")

    api.next_answers.append(redirect)
    with pytest.raises(ProblemError, match="302"):
        files.show(connection, FILE_ID)
    assert api.received == []


def test_a_file_is_shown(connection: Connection) -> None:
    file = files.show(connection, FILE_ID)
    assert (file.id, file.size_bytes, file.labels) == (FILE_ID, 3, {"extra": "kept as a label"})
    assert to_json(file) == file_json(
        created_at="2026-01-02T03:04:05.678000Z", updated_at="2026-01-02T03:04:05.678000Z"
    )


def test_deliveries_are_read_page_by_page(connection: Connection, api: FakeApi) -> None:
    found = list(files.deliveries(connection, FILE_ID))
    assert [delivery.id for delivery in found] == ["d1", "d2"]
    assert [request.query for request in api.received] == ["", "cursor=second"]
    assert to_json(found[0])["attempts"] == [
        {
            "number": 1,
            "started_at": "2026-01-02T03:04:06Z",
            "duration_ms": 12,
            "outcome": "delivered",
            "status_code": 204,
            "detail": None,
            "host": "unknown to this client",
        }
    ]


def test_a_page_without_a_list_is_refused(connection: Connection, api: FakeApi) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": "none"})

    api.next_answers.append(other)
    with pytest.raises(UnexpectedAnswerError, match="'items'"):
        list(files.deliveries(connection, FILE_ID))


def test_a_subscription_gives_its_secret_but_does_not_show_it_by_accident(connection: Connection) -> None:
    made = subscriptions.subscribe(connection, "webhook", "https://example.com/hook", ["file.stored"])
    assert made.secret == "whsec_c2VjcmV0"
    assert "whsec" not in repr(made)
    assert made.events == ("file.stored",)


def test_a_subscription_is_shown_without_its_secret(connection: Connection) -> None:
    found = subscriptions.show(connection, "sub-1")
    assert (found.id, found.status, found.secret) == ("sub-1", "active", None)


def test_what_cannot_be_an_id_is_not_sent(connection: Connection, api: FakeApi) -> None:
    with pytest.raises(InputError, match="is not a subscription id"):
        subscriptions.show(connection, "../files")
    assert api.received == []


def test_every_trace_is_new_and_well_formed() -> None:
    traceparents = {new_traceparent() for _ in range(100)}
    assert len(traceparents) == 100
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", each) for each in traceparents)
