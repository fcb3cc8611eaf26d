"""Who gets what from every route: one table, over the real HTTP stack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from shared.web.routes import ROUTES
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, ROOT, RunningStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.web.routes import Route

DIRECTORY = json.loads((ROOT / "local" / "entra" / "directory.json").read_text())
TENANT = DIRECTORY["tenant_id"]
ALICE, BOB = (f"{TENANT}/{user['object_id']}" for user in DIRECTORY["users"][:2])
ELSEWHERE = f"11111111-1111-4111-8111-111111111111/{DIRECTORY['users'][0]['object_id']}"
EVERY_ROLE = [role for role in DIRECTORY["api"]["app_roles"] if role.endswith(".All")]
OPERATIONS = ["Operations.Read", "Operations.Redrive"]


@dataclass(frozen=True)
class Caller:
    """A wish for the issuer, and whom the caller says it acts for. No wish: no token."""

    wish: Mapping[str, Any] | None
    acts_for: str | None = None


CALLERS = {
    "owner": Caller({"user": "alice"}),
    "owner, naming herself": Caller({"user": "alice"}, ALICE),
    "owner, without scopes for files": Caller({"user": "alice", "flaw": "wrong_scope"}),
    "other user": Caller({"user": "bob"}),
    "other user, naming the owner": Caller({"user": "bob"}, ALICE),
    "app with the role": Caller({"app": "ingest-app", "roles": EVERY_ROLE}),
    "app with the role, for the owner": Caller({"app": "ingest-app", "roles": EVERY_ROLE}, ALICE),
    "app with the role, for another": Caller({"app": "ingest-app", "roles": EVERY_ROLE}, BOB),
    "app with the role, for another tenant": Caller({"app": "ingest-app", "roles": EVERY_ROLE}, ELSEWHERE),
    "app with the role, for nobody": Caller({"app": "ingest-app", "roles": EVERY_ROLE}, "alice"),
    "app without the role": Caller({"app": "ingest-app", "roles": OPERATIONS}),
    "app without the role, for the owner": Caller({"app": "ingest-app", "roles": OPERATIONS}, ALICE),
    "operator": Caller({"user": "olga"}),
    "operator, naming the owner": Caller({"user": "olga"}, ALICE),
    "anonymous": Caller(None),
    "anonymous, naming the owner": Caller(None, ALICE),
}

OPEN_TO_THEIR_OWN = {
    "owner": 200,
    "owner, naming herself": 200,
    "owner, without scopes for files": 403,
    "other user": 404,
    "other user, naming the owner": 403,
    "app with the role": 404,
    "app with the role, for the owner": 200,
    "app with the role, for another": 404,
    "app with the role, for another tenant": 403,
    "app with the role, for nobody": 400,
    "app without the role": 403,
    "app without the role, for the owner": 403,
    "operator": 404,
    "operator, naming the owner": 403,
    "anonymous": 401,
    "anonymous, naming the owner": 401,
}
"""What is asked for by an id is there for its owner, and for nobody else."""
OPEN_TO_CREATE = {
    caller: 201 if status in {200, 404} else status for caller, status in OPEN_TO_THEIR_OWN.items()
}
"""Everybody with the permission makes things, each in their own partition."""


def opened(status: int, to: Mapping[str, int] = OPEN_TO_THEIR_OWN) -> Mapping[str, int]:
    """The same row for a route that answers its own people with another status."""
    return {caller: status if answer in {200, 201} else answer for caller, answer in to.items()}


OPEN_TO_LIST = opened(200, OPEN_TO_CREATE)
"""Everybody with the permission lists, each their own."""

OPEN_TO_OPERATORS = {
    **dict.fromkeys(OPEN_TO_THEIR_OWN, 403),
    "operator": 200,
    "app without the role": 200,  # it has those of operators
    "app without the role, for the owner": 200,
    "anonymous": 401,
    "anonymous, naming the owner": 401,
}
"""Operators see the whole service, and nobody's files."""

MATRIX = {
    "create_file": OPEN_TO_CREATE,
    "list_files": OPEN_TO_LIST,
    "get_file": OPEN_TO_THEIR_OWN,
    "update_file": OPEN_TO_THEIR_OWN,
    "delete_file": opened(204),
    "get_content": OPEN_TO_THEIR_OWN,
    "list_deliveries": OPEN_TO_THEIR_OWN,
    "create_share_link": opened(201),
    "list_share_links": OPEN_TO_THEIR_OWN,
    "delete_share_link": opened(204),
    "create_upload": OPEN_TO_CREATE,
    "get_upload": OPEN_TO_THEIR_OWN,
    "append_upload": opened(204),
    "override_upload": opened(204),
    "delete_upload": opened(204),
    "create_direct_upload": OPEN_TO_CREATE,
    "complete_direct_upload": opened(409),  # nothing was uploaded, and that is for its owner to know
    "watch_file": OPEN_TO_THEIR_OWN,
    "list_own_deliveries": OPEN_TO_LIST,
    "get_delivery": OPEN_TO_THEIR_OWN,
    "redeliver": opened(409),  # its subscription is paused, and that is for its owner to know
    "create_subscription": OPEN_TO_CREATE,
    "list_subscriptions": OPEN_TO_LIST,
    "get_subscription": OPEN_TO_THEIR_OWN,
    "update_subscription": OPEN_TO_THEIR_OWN,
    "delete_subscription": opened(204),
    "rotate_secret": OPEN_TO_THEIR_OWN,
    "test_subscription": opened(409),  # its target has proved nothing
    "verify_subscription": OPEN_TO_THEIR_OWN,
    "list_dead_letters": OPEN_TO_OPERATORS,
    "redrive_dead_letters": OPEN_TO_OPERATORS,
    "discard_dead_letters": OPEN_TO_OPERATORS,
}
CODES = {
    "owner, without scopes for files": "permission-missing",
    "other user, naming the owner": "owner-not-allowed",
    "app with the role, for another tenant": "owner-not-allowed",
    "app with the role, for nobody": "invalid-owner",
    "app without the role": "permission-missing",
    "app without the role, for the owner": "permission-missing",
    "operator, naming the owner": "owner-not-allowed",
    "anonymous": "token-missing",
    "anonymous, naming the owner": "token-missing",
}
"""The error's code; ``not-found`` for the others."""
TUS = {"tus-resumable": "1.0.0"}
APPEND = {**TUS, "upload-offset": "0", "content-type": "application/offset+octet-stream"}
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "create_file": {"data": b"ring"},
    "update_file": {"json": {"labels": {"seen": "yes"}}, "headers": {"if-match": "*"}},
    "create_share_link": {"json": {}},
    "create_upload": {"headers": {**TUS, "upload-length": "4"}},
    "get_upload": {"headers": TUS},
    "append_upload": {"headers": APPEND},
    "override_upload": {"headers": {**APPEND, "x-http-method-override": "PATCH"}},
    "delete_upload": {"headers": TUS},
    "create_direct_upload": {"json": {"name": "a.txt", "content_type": "text/plain", "size_bytes": 4}},
    "watch_file": {"headers": {"accept": "application/json"}},
    "update_subscription": {"json": {"events": ["file.stored"]}, "headers": {"if-match": "*"}},
    "redrive_dead_letters": {"json": {"ids": ["seq-999999999"]}},
    "discard_dead_letters": {"json": {"ids": ["seq-999999999"]}},
    "create_subscription": {"json": {"channel": "webhook", "target": "https://example.com/never-called"}},
}
"""What a request needs beside its path."""
USED_UP = {
    "delete_subscription": "subscription_id",
    "delete_file": "file_id",
    "delete_upload": "upload_id",
    "delete_share_link": "link_id",
}
"""Routes after which the thing is gone: each caller gets another one to try."""


class Callers:
    """Sends requests as each caller, with one token for each."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._tokens = {
            name: stack.token(**caller.wish) for name, caller in CALLERS.items() if caller.wish is not None
        }
        self.ids = {"file_id": self.made("create_file")}
        """What belongs to the owner."""
        self.ids |= {
            "link_id": self.made("create_share_link"),
            "upload_id": self.made("create_upload"),
            "subscription_id": self.made("create_subscription"),
        }
        self.direct_upload_id = self.made("create_direct_upload")
        self.ids["delivery_id"] = self._settled_delivery()

    def _settled_delivery(self) -> str:
        """A delivery of the owner that is settled, of a subscription that is paused now."""
        hook = f"{self._stack.addresses['inbox']}/hooks/ownership"
        wish = {"channel": "webhook", "target": hook, "events": ["file.stored"]}
        subscription = self.send("owner", "POST", "/subscriptions", json=wish).json()["id"]
        file = self.made("create_file")
        delivery = f"{file}_file-stored_{subscription}"

        def is_settled() -> bool:
            found = self.send("owner", "GET", f"/deliveries/{delivery}")
            return found.ok and found.json()["settled_at"] is not None

        wait_until(is_settled, timeout_seconds=20)
        self.send(
            "owner",
            "PATCH",
            f"/subscriptions/{subscription}",
            headers={"if-match": "*"},
            json={"status": "paused"},
        )
        return delivery

    def made(self, route: str) -> str:
        """The id of what the owner makes by this route."""
        (path,) = [each.path for each in ROUTES if each.name == route]
        answer = self.send("owner", "POST", path.format(**getattr(self, "ids", {})), **REQUESTS[route])
        return str(answer.json()["id"]) if answer.content else answer.headers["location"].rpartition("/")[2]

    def ids_for(self, route: str) -> Mapping[str, str]:
        """What the route is tried on."""
        if route == "complete_direct_upload":
            return {"upload_id": self.direct_upload_id}
        makers = {
            "file_id": "create_file",
            "upload_id": "create_upload",
            "link_id": "create_share_link",
            "subscription_id": "create_subscription",
        }
        used_up = USED_UP.get(route)
        return self.ids if used_up is None else {**self.ids, used_up: self.made(makers[used_up])}

    def send(
        self, caller: str, method: str, path: str, headers: Mapping[str, str] | None = None, **body: Any
    ) -> requests.Response:
        acts_for = CALLERS[caller].acts_for
        headers = dict(headers or {})
        if caller in self._tokens:
            headers["authorization"] = f"Bearer {self._tokens[caller]}"
        if acts_for is not None:
            headers["dropbell-owner"] = acts_for
        url = self._stack.url(path)
        return requests.request(method, url, headers=headers, timeout=HTTP_TIMEOUT_SECONDS, **body)


@pytest.fixture(scope="module")
def callers(stack: RunningStack) -> Callers:
    return Callers(stack)


def test_every_route_and_every_caller_is_in_the_table() -> None:
    assert MATRIX.keys() == {route.name for route in ROUTES}
    assert all(row.keys() == CALLERS.keys() for row in MATRIX.values())


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_caller_gets_what_the_table_says(callers: Callers, route: Route, caller: str) -> None:
    path = route.path.format(**callers.ids_for(route.name))

    answer = callers.send(caller, route.method, path, **REQUESTS.get(route.name, {}))

    expected = MATRIX[route.name][caller]
    assert answer.status_code == expected, answer.text
    if expected in {400, 401, 403, 404} and route.method != "HEAD":
        code = CODES.get(caller, "not-found")
        if (
            MATRIX[route.name] is OPEN_TO_OPERATORS
            and expected == 403
            and caller != "operator, naming the owner"
        ):
            code = "permission-missing"  # nobody else gets as far as the question whose data it is
        assert answer.json()["type"] == f"/api/problems/{code}"
    assert ("www-authenticate" in answer.headers) == (answer.status_code in {401, 403}) or (
        CODES.get(caller) == "owner-not-allowed"
    )


@pytest.mark.parametrize("route", ["/files", "/subscriptions"])
def test_what_somebody_else_owns_looks_like_what_is_not_there(callers: Callers, route: str) -> None:
    there = callers.ids["file_id" if route == "/files" else "subscription_id"]
    absent = there[:-1] + ("0" if there[-1] != "0" else "1")
    answers = [callers.send("other user", "GET", f"{route}/{each}") for each in (there, absent)]
    told = [{**answer.json(), "correlation_id": ""} for answer in answers]
    assert told[0] == told[1]


def test_what_an_app_makes_for_an_owner_belongs_to_that_owner(callers: Callers) -> None:
    made = callers.send("app with the role, for the owner", "POST", "/files", data=b"for Alice").json()["id"]
    statuses = {
        caller: callers.send(caller, "GET", f"/files/{made}").status_code
        for caller in (
            "owner",
            "app with the role, for the owner",
            "app with the role",
            "other user",
            "operator",
        )
    }
    assert statuses == {
        "owner": 200,
        "app with the role, for the owner": 200,
        "app with the role": 404,
        "other user": 404,
        "operator": 404,
    }
