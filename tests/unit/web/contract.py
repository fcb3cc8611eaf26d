"""Holds a served API against its own OpenAPI document: Schemathesis makes up requests, judges answers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, serializer
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.web.openapi.bodies import OCTETS, PARTIAL_UPLOAD, TUS_OCTETS
from shared.web.openapi.document import build
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests
    from schemathesis import Case
    from schemathesis.schemas import BaseSchema

EVERY_OPERATION: Final = [
    (method.upper(), path)
    for path, item in build(public_url="http://testserver")["paths"].items()
    for method in item
]
serializer.alias([TUS_OCTETS, PARTIAL_UPLOAD], OCTETS)
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def made_things(
    session: requests.Session, headers: Mapping[str, str], *, base_url: str = ""
) -> dict[str, str]:
    """Make one of each thing that paths name; returns their ids by the name of the path's parameter."""

    def post(path: str, **options: Any) -> requests.Response:
        sent = {**headers, **options.pop("headers", {})}
        answer = session.post(f"{base_url}{BASE_PATH}{path}", headers=sent, **options)
        assert answer.status_code == 201, f"{path}: {answer.text}"
        return answer

    file = post("/files", data=b"ring").json()
    link = post(f"/files/{file['id']}/share-links", json={}).json()
    upload = post("/uploads", headers={"tus-resumable": "1.0.0", "upload-length": "10"})
    subscription = post("/subscriptions", json={"channel": "webhook", "target": "https://example.com/hook"})
    return {
        "file_id": file["id"],
        "link_id": link["id"],
        "token": link["url"].rpartition("/")[2],
        "upload_id": upload.headers["location"].rpartition("/")[2],
        "subscription_id": subscription.json()["id"],
        "code": "not-found",
    }


def hold_to_document(
    schema: BaseSchema,
    method: str,
    path: str,
    *,
    examples: int,
    known: Mapping[str, str],
    headers: Mapping[str, str],
    session: requests.Session,
    base_url: str | None = None,
    at_limits: bool = True,
) -> None:
    """Send requests at every limit that the document names, then random good and bad ones.

    They are the same in every run.

    Args:
        schema: The document.
        method: The operation's method, in capitals.
        path: Its path, as the document has it.
        examples: How many random requests of each kind.
        known: Ids that exist, by the name of the path's parameter; good random requests use them.
        headers: What each request carries.
        session: Sends the requests.
        base_url: Where the API is, unless the schema knows.
        at_limits: Whether to go through the document's limits, or only at random.

    Raises a group of failures, with a ``curl`` command for each answer that the document does not promise.
    """
    operation = schema[path][method]
    existing = {name: value for name, value in known.items() if f"{{{name}}}" in path}

    def send(case: Case[Any]) -> None:
        # Made up, it would only ever be refused: users cannot name an owner.
        case.headers.pop("Dropbell-Owner", None)
        case.call_and_validate(base_url=base_url, session=session, headers=dict(headers), checks=CHECKS)

    def send_random(mode: GenerationMode, ids: Mapping[str, str]) -> None:
        cases = operation.as_strategy(generation_mode=mode, path_parameters=dict(ids) or None)
        reproducible = settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        reproducible(given(case=cases)(send))()

    limits = schema.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=schema.config.generation
    )
    for case in limits if at_limits else ():
        if case.method == method:  # other methods on the path are other operations, or the host's to refuse
            send(case)
    send_random(GenerationMode.POSITIVE, existing)
    with suppress(Unsatisfiable):  # an operation that takes any text has no bad requests
        send_random(GenerationMode.NEGATIVE, {})
