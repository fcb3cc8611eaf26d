"""The running stack keeps what its OpenAPI document promises: no 5xx, no undocumented answer."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, ROOT, RunningStack
from tests.unit.web.contract import EVERY_OPERATION, hold_to_document, made_things

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = 5
FEW_EXAMPLES = 2
WAITING = {
    "/api/v1/operations/dead-letters/redrive",
    "/api/v1/operations/dead-letters/discard",
}
"""Operations that take a second each, until the queue is sure to hold nothing more."""
DIRECTORY = json.loads((ROOT / "local" / "entra" / "directory.json").read_text())
ROLES = DIRECTORY["api"]["app_roles"]


@pytest.fixture(scope="module")
def schema(stack: RunningStack) -> Any:
    return schemathesis.openapi.from_url(f"{stack.addresses['api']}/api/openapi.json")


@pytest.fixture
def headers(stack: RunningStack) -> Mapping[str, str]:
    """An application's, for an owner of its own: what is made here, subscriptions too, is nobody else's."""
    token = stack.token(app="ingest-app", roles=ROLES)
    return {"authorization": f"Bearer {token}", "dropbell-owner": f"{DIRECTORY['tenant_id']}/{uuid.uuid4()}"}


@pytest.mark.parametrize(("method", "path"), EVERY_OPERATION)
def test_no_answer_is_undocumented(
    stack: RunningStack, schema: Any, headers: Mapping[str, str], method: str, path: str
) -> None:
    address = str(stack.addresses["api"])
    with requests.Session() as session:
        hold_to_document(
            schema,
            method,
            path,
            examples=FEW_EXAMPLES if path in WAITING else EXAMPLES,
            at_limits=path not in WAITING,
            known=made_things(session, headers, base_url=address),
            headers=headers,
            session=session,
            base_url=address,
        )


def test_the_type_of_a_problem_leads_to_its_explanation(stack: RunningStack) -> None:
    address = stack.addresses["api"]
    problem = stack.get("/files/01a20a8e-c528-7c28-9c9e-05cc7d9c46bc").json()

    told = requests.get(address + problem["type"], timeout=HTTP_TIMEOUT_SECONDS)
    shown = requests.get(
        address + problem["type"], headers={"accept": "text/html"}, timeout=HTTP_TIMEOUT_SECONDS
    )

    assert told.json()["type"] == problem["type"]
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert problem["title"] in shown.text


def test_the_page_and_the_document_are_served_without_a_token_and_can_be_kept(stack: RunningStack) -> None:
    for path in ("/api/docs", "/api/openapi.json"):
        first = requests.get(stack.addresses["api"] + path, timeout=HTTP_TIMEOUT_SECONDS)
        again = requests.get(
            stack.addresses["api"] + path,
            headers={"if-none-match": first.headers["etag"]},
            timeout=HTTP_TIMEOUT_SECONDS,
        )
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
