from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import NotFoundError
from shared.identity.allowed_origins import AllowedOrigins
from shared.web.cross_origin import ALLOWED_HEADERS, EXPOSED_HEADERS, CrossOrigin, served
from shared.web.openapi.header_fields import HEADER_FIELDS

APP = "https://app.example"
ALWAYS_READABLE = {"cache-control", "content-security-policy", "last-modified", "vary"}
"""To scripts (Fetch standard, CORS-safelisted response-header names), or of no use to them."""
ROUTES = [
    ("GET", "/api/v1/files/{file_id}"),
    ("HEAD", "/api/v1/files/{file_id}"),
    ("PATCH", "/api/v1/files/{file_id}"),
    ("GET", "/api/v1/files/{file_id}/content"),
    ("POST", "/api/v1/uploads"),
    ("HEAD", "/api/v1/uploads/{upload_id}"),
    ("OPTIONS", "/api/{*path}"),
]


def cross_origin(*origins: str) -> CrossOrigin:
    return CrossOrigin(
        AllowedOrigins(origins),
        ROUTES,
        {"/api/v1/uploads": lambda: {"Tus-Version": "1.0.0", "Vary": "Accept"}},
    )


def options(path: str, **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": "OPTIONS", "path": path, "query_string": b"", "headers": fields}
    )


def preflight(path: str, *, origin: str = APP) -> Request:
    return options(path, origin=origin, access_control_request_method="PATCH")


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        (APP, APP),
        ("HTTPS://App.Example", APP),
        ("https://app.example:443", APP),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:*", "http://localhost:5173"),
        ("http://localhost:*", "http://localhost"),
        ("http://127.0.0.1:*", "http://127.0.0.1:5173"),
        ("http://[::1]:*", "http://[::1]:5173"),
    ],
)
def test_a_listed_origin_is_allowed(listed: str, origin: str) -> None:
    headers = cross_origin(listed).headers_for(origin)

    assert headers["access-control-allow-origin"] == origin
    assert headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        (APP, "https://app.example.evil.test"),
        (APP, "https://evil.test/https://app.example"),
        (APP, "http://app.example"),
        (APP, "https://app.example:8443"),
        (APP, "https://sub.app.example"),
        (APP, "null"),
        (APP, ""),
        ("http://localhost:*", "http://localhost.evil.test:80"),
        ("http://localhost:*", "http://evil.test:80"),
        ("http://localhost:*", "https://localhost:80"),
        ("http://localhost:*", "http://localhost:*"),
        ("http://localhost:*", "http://127.0.0.1:80"),
    ],
)
def test_any_other_origin_is_not(listed: str, origin: str) -> None:
    assert cross_origin(listed).headers_for(origin) == {"vary": "Origin"}


def test_nobody_is_allowed_unless_listed() -> None:
    response = Response()

    cross_origin().finish(options("/api/v1/uploads", origin=APP), response)

    assert not {"access-control-allow-origin", "vary"} & set(response.headers)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ("*", "would let every page"),
        ("null", "is no origin"),
        ("app.example", "is no origin"),
        ("https://app.example/", "is no origin"),
        ("https://user@app.example", "is no origin"),
        ("https://*.example", "is no origin"),
        ("https://app.example:99999", "is no origin"),
        ("https://app.example:*", "of this machine only"),
        ("http://app.example", "must be https"),
        ("ftp://app.example", "is no origin"),
        ("", "is no origin"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_the_reason(listed: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AllowedOrigins([listed])


def test_finishing_an_answer_keeps_what_it_varies_by() -> None:
    response = Response(headers={"Vary": "Accept, origin"})

    cross_origin(APP).finish(options("/api/v1/uploads", origin=APP), response)

    assert response.headers["vary"] == "Accept, origin"
    assert response.headers["access-control-allow-origin"] == APP


async def test_a_preflight_tells_the_methods_of_its_path_and_what_may_be_sent() -> None:
    response = await cross_origin(APP).options(preflight("/api/v1/files/7"))

    assert (response.status_code, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, PATCH"
    assert "Authorization" in response.headers["access-control-allow-headers"].split(", ")
    assert response.headers["access-control-max-age"] == "7200"
    assert response.headers["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@pytest.mark.parametrize("allowed", [[], [APP]])
async def test_a_preflight_of_a_stranger_gets_no_leave(allowed: list[str]) -> None:
    response = await cross_origin(*allowed).options(
        preflight("/api/v1/files/7", origin="https://evil.example")
    )

    assert response.status_code == 204
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_asking_for_options_needs_no_origin_and_tells_what_the_protocol_offers() -> None:
    for path in ("/api/v1/uploads", "/api/v1/uploads/7"):
        response = await cross_origin(APP).options(options(path))
        assert (response.status_code, response.headers["tus-version"]) == (204, "1.0.0")
        assert response.headers["vary"] == "Accept"

    assert "tus-version" not in (await cross_origin(APP).options(options("/api/v1/files/7"))).headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/uploads", "OPTIONS, POST"),
        ("/api/v1/uploads/", "OPTIONS, POST"),
        ("/API/V1/Uploads", "OPTIONS, POST"),
        ("/api/v1/uploads/7", "HEAD, OPTIONS"),
        ("/api/v1/files/7/content", "GET, OPTIONS"),
    ],
)
async def test_allow_names_the_methods_of_the_path(path: str, methods: str) -> None:
    assert (await cross_origin().options(options(path))).headers["allow"] == methods


@pytest.mark.parametrize("path", ["/", "/api/v1/files", "/api/v1/files/7/other", "/api/v1x/uploads", "*"])
async def test_a_path_without_a_route_is_not_found(path: str) -> None:
    with pytest.raises(NotFoundError):
        await cross_origin(APP).options(preflight(path))


def test_scripts_can_read_every_field_that_answers_are_documented_with() -> None:
    exposed = {name.lower() for name in EXPOSED_HEADERS}

    assert {name.lower() for name in HEADER_FIELDS} - ALWAYS_READABLE <= exposed


def test_no_field_is_listed_twice() -> None:
    for names in (EXPOSED_HEADERS, ALLOWED_HEADERS):
        assert len({name.lower() for name in names}) == len(names)


def test_the_routes_served_include_those_without_a_token_and_head() -> None:
    assert {("GET", "/api/health"), ("POST", "/api/v1/files")} <= set(served())
    assert {("HEAD", "/api/v1/files/{file_id}"), ("HEAD", "/api/v1/uploads/{upload_id}")} <= set(served())
