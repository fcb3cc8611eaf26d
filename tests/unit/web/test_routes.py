"""The route table is the policy: what it does not list cannot be served."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from shared.web.call import Call, Front
from shared.web.routes import BASE_PATH, OPEN_ROUTES, ROUTES, WITH_HEAD
from tests.unit.identity.forge import token, user_claims, validator_of
from tests.unit.web.bound import http_functions


def test_functions_and_table_agree_on_every_verb_and_path() -> None:
    bound = set()
    for function in http_functions():
        (method,) = function.methods - ({"HEAD"} if function.name in WITH_HEAD else set())
        bound.add((function.name, method, function.path))
    listed = {(route.name, route.method, f"{BASE_PATH}{route.path}") for route in ROUTES}
    assert bound == listed | {(route.name, route.method, route.path) for route in OPEN_ROUTES}


async def test_a_route_that_is_not_listed_is_not_served() -> None:
    headers = [(b"authorization", f"Bearer {token(user_claims())}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}

    async def serve(_call: Call) -> Response:
        return Response("served")

    front = Front(validator_of())
    assert (await front.answer("get_file", Request(scope), serve)).status_code == 200
    assert (await front.answer("forgotten", Request(scope), serve)).status_code == 500


async def test_a_route_that_asks_for_a_token_is_not_served_without_one() -> None:
    async def serve(_request: Request) -> Response:
        return Response("served")

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    front = Front(validator_of())
    assert (await front.answer_open("docs", Request(scope), serve)).status_code == 200
    assert (await front.answer_open("get_file", Request(scope), serve)).status_code == 500
