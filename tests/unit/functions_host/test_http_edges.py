"""Pure parts of the HTTP side: classic requests and responses, what a proxy passes on, CORS."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from local.functions_host.cors import CorsPolicy
from local.functions_host.http_classic import request_data, response_from
from local.functions_host.http_stream import end_to_end, origin_form


def test_request_joins_what_is_repeated() -> None:
    data = request_data(
        method="GET",
        url="http://h/a?x=1&x=2&y=%2B",
        headers=[("Accept", "a"), ("ACCEPT", "b")],
        parameters={"id": "7"},
        body=b"",
    )["http"]
    assert data["headers"] == {"accept": "a,b"}
    assert data["query"] == {"x": "1,2", "y": "+"}
    assert data["params"] == {"id": "7"}
    assert data["body"] is None


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        (None, 204, None, b""),
        ({"string": "ü"}, 200, "text/plain; charset=utf-8", "ü".encode()),
        ({"json": "{}"}, 200, "application/json; charset=utf-8", b"{}"),
        ({"bytes": b"\x00"}, 200, "application/octet-stream", b"\x00"),
        ({"http": {"status_code": "404", "body": {"string": "no"}}}, 404, "text/plain; charset=utf-8", b"no"),
        (
            {"http": {"status_code": "200", "headers": {"content-type": "a/b"}, "body": {"bytes": b"x"}}},
            200,
            "a/b",
            b"x",
        ),
    ],
)
def test_return_value_becomes_response(
    value: Any, status: int, content_type: str | None, body: bytes
) -> None:
    response = response_from(value)
    assert (response.status, response.headers.get("Content-Type"), response.body) == (
        status,
        content_type,
        body,
    )


@pytest.mark.parametrize("status", ["abc", "99", "1000", "101"])
def test_status_that_is_none_is_refused(status: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() has its own words for some
        response_from({"http": {"status_code": status}})


def test_connection_headers_stay_behind() -> None:
    headers = CIMultiDict(
        [
            ("Connection", "keep-alive, X-One"),
            ("x-one", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
        ]
    )
    assert list(end_to_end(headers).items()) == [("Set-Cookie", "a"), ("Set-Cookie", "b")]


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a%2Fb?c=d%20e", "/a%2Fb?c=d%20e"), ("http://host/a%20b?c", "/a%20b?c"), ("*", "/"), ("//a", "//a")],
)
def test_request_target(target: str, path: str) -> None:
    assert origin_form(target) == path


def test_cors_answers_only_those_it_knows() -> None:
    policy = CorsPolicy(("https://a",))
    assert policy.headers({"Origin": "https://a"})["Access-Control-Allow-Origin"] == "https://a"
    assert policy.headers({"Origin": "https://b"}) == {}
    assert policy.headers({}) == {}
    assert CorsPolicy(("*",)).headers({"Origin": "https://b"}) == {"Access-Control-Allow-Origin": "*"}
    with_credentials = CorsPolicy(("*",), allows_credentials=True).headers({"Origin": "https://b"})
    assert with_credentials["Access-Control-Allow-Origin"] == "https://b"


def test_cors_preflight() -> None:
    policy = CorsPolicy(("https://a",))
    asked = {
        "Origin": "https://a",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-y",
    }
    allowed = policy.preflight("OPTIONS", asked)
    assert (allowed["Access-Control-Allow-Methods"], allowed["Access-Control-Allow-Headers"]) == (
        "PUT",
        "x-y",
    )
    assert policy.preflight("OPTIONS", {"Origin": "https://a"}) == {}
    assert policy.preflight("OPTIONS", {**asked, "Origin": "https://b"}) == {}
