"""The route table is the policy: what it does not list cannot be served."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

import function_app
from shared.web.call import Call, Front
from shared.web.routes import BASE_PATH, ROUTES
from tests.unit.identity.forge import token, user_claims, validator_of

OPEN = {("health", "GET", "/api/health")}
"""What is served without a token."""


def test_functions_and_table_agree_on_every_verb_and_path() -> None:
    bound = set()
    for function in function_app.app.get_functions():
        declared = function.get_trigger()
        assert declared is not None
        trigger = declared.get_dict_repr()
        if trigger["type"] == "httpTrigger":
            (method,) = (str(getattr(method, "value", method)) for method in trigger["methods"])
            bound.add((function.get_function_name(), method, f"/api/{trigger['route']}"))
    assert bound - OPEN == {(route.name, route.method, f"{BASE_PATH}{route.path}") for route in ROUTES}
    assert bound >= OPEN


async def test_a_route_that_is_not_listed_is_not_served() -> None:
    headers = [(b"authorization", f"Bearer {token(user_claims())}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}

    async def serve(_call: Call) -> Response:
        return Response("served")

    front = Front(validator_of())
    assert (await front.answer("get_file", Request(scope), serve)).status_code == 200
    assert (await front.answer("forgotten", Request(scope), serve)).status_code == 500
