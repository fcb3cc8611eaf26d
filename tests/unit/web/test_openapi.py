"""The OpenAPI document is valid and tells of every route, every field and every error."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from shared.web.openapi.document import NOT_DESCRIBED, SIGNED_IN_PROBLEMS, build
from shared.web.openapi.operations import CHAPTERS, OPERATIONS
from shared.web.problem_catalogue import PROBLEMS
from shared.web.routes import BASE_PATH, OPEN_ROUTES, ROUTES
from tests.unit.web.bound import http_functions

if TYPE_CHECKING:
    from collections.abc import Iterator

DISCOVERY = "https://issuer.example/.well-known/openid-configuration"


@cache
def document() -> dict[str, Any]:
    return build(public_url="https://dropbell.example/", discovery_url=DISCOVERY)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for item in document()["paths"].values():
        yield from item.items()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_document_is_valid_openapi_3_1() -> None:
    assert not [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document())]
    assert json.loads(json.dumps(document())) == document()


def test_every_reference_leads_somewhere() -> None:
    components = document()["components"]
    for reference in set(references(document())):
        start, kind, name = reference.rsplit("/", 2)
        assert start == "#/components"
        assert name in components[kind], reference


def test_every_route_has_an_operation() -> None:
    assert {route.name for route in (*ROUTES, *OPEN_ROUTES)} - NOT_DESCRIBED <= OPERATIONS.keys()


def test_every_operation_has_a_route() -> None:
    assert OPERATIONS.keys() <= {route.name for route in (*ROUTES, *OPEN_ROUTES)}


def test_what_the_functions_serve_is_what_the_document_tells() -> None:
    served = {
        (method.lower(), function.path)
        for function in http_functions()
        for method in function.methods
        if function.name not in NOT_DESCRIBED
    }
    assert {(method, path) for path, item in document()["paths"].items() for method in item} == served


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_an_operation_names_the_scope_that_its_route_needs(route: Any) -> None:
    operation = document()["paths"][f"{BASE_PATH}{route.path}"][route.method.lower()]
    scopes = {scope for scheme in operation["security"] for names in scheme.values() for scope in names}
    if route.needs is None:
        assert operation["security"] == []
    else:
        assert len(scopes) == 1
        assert set(document()["components"]["securitySchemes"]) == {
            name for scheme in operation["security"] for name in scheme
        }
        assert {"401", "403"} <= operation["responses"].keys()


def test_every_answer_carries_a_correlation_id_and_every_error_its_types() -> None:
    resolved = document()["components"]["responses"]
    for method, operation in operations():
        for status, answer in operation["responses"].items():
            found = resolved[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            assert found["headers"]["X-Correlation-ID"]["required"]
            if status >= "400" and method != "head":
                (content,) = found["content"].items()
                assert content[0] == "application/problem+json"
                exact = content[1]["schema"]["allOf"][1]["properties"]
                assert exact["status"] == {"const": int(status)}
                assert all(each.startswith(("/api/problems/", "https://")) for each in exact["type"]["enum"])


def test_errors_of_every_route_are_told_once() -> None:
    assert set(document()["components"]["responses"]) >= {"Unauthorized", "Forbidden", "ServiceUnavailable"}
    size_bytes = len(json.dumps(document()["components"]["responses"]))
    assert size_bytes < 12_000


def test_every_problem_belongs_to_a_route() -> None:
    named = {code for operation in OPERATIONS.values() for code in operation.problems}
    assert named | set(SIGNED_IN_PROBLEMS) >= PROBLEMS.keys()


def test_every_field_and_parameter_says_what_it_means() -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document()["components"]["schemas"].items()
        for field, each in schema.get("properties", {}).items()
        if not each.get("description")
    ]
    silent += [
        f"{operation['operationId']}: {parameter['name']}"
        for _, operation in operations()
        for parameter in operation["parameters"]
        if "$ref" not in parameter and not parameter["description"]
    ]
    assert not silent


def test_instants_and_closed_lists_are_told_as_such() -> None:
    file = document()["components"]["schemas"]["FileBody"]["properties"]
    assert "stored" in file["status"]["enum"]
    assert "format" not in file["name"]
    instant = document()["components"]["schemas"][file["created_at"]["$ref"].rpartition("/")[2]]
    assert instant["format"] == "date-time"


def test_descriptions_are_for_the_readers_of_the_api() -> None:
    for schema in document()["components"]["schemas"].values():
        assert "::" not in schema.get("description", "")


def test_every_chapter_is_explained() -> None:
    assert {operation.tag for operation in OPERATIONS.values()} == CHAPTERS.keys()


def test_without_one_issuer_there_is_only_the_bearer_scheme() -> None:
    made = build(public_url="https://dropbell.example")
    assert list(made["components"]["securitySchemes"]) == ["bearer"]


def test_the_server_is_where_the_settings_say() -> None:
    assert document()["servers"] == [{"url": "https://dropbell.example"}]
    (sample,) = document()["paths"]["/api/v1/files"]["post"]["x-codeSamples"]
    assert sample["source"].startswith('curl -X POST "https://dropbell.example/api/v1/files"')
