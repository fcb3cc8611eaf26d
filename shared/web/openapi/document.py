"""Builds the OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1) from the tables beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared.identity.permissions import OPERATOR_ROLES, SCOPES, least_grant
from shared.web.openapi.bodies import PROBLEM_JSON, ProblemBody
from shared.web.openapi.fields import with_details
from shared.web.openapi.header_fields import (
    CORRELATION,
    HEADER_FIELDS,
    LIMITS,
    OF_STATUS,
    SOMETIMES_OF_STATUS,
)
from shared.web.openapi.operations import CHAPTERS, OPERATIONS
from shared.web.openapi.parameters import OF_EVERY_ROUTE, OWNER, PATH_PARAMETERS
from shared.web.problem_catalogue import by_status
from shared.web.routes import BASE_PATH, OPEN_ROUTES, ROUTES, WITH_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic.json_schema import JsonSchemaMode

    from shared.identity.permissions import Permission
    from shared.web.openapi.operation import Answer, Body, Operation, Parameter, Request
    from shared.web.problem_catalogue import Problem

VERSION: Final = "1.0.0"
"""Of the API: the number in the path, and what was added since."""

OPEN_PROBLEMS: Final = ("internal-error",)
"""What every route can answer."""
SIGNED_IN_PROBLEMS: Final = (
    "invalid-owner",
    "token-missing",
    "token-invalid",
    "token-expired",
    "claims-missing",
    "permission-missing",
    "owner-not-allowed",
    "rate-limited",
    "unavailable",
    *OPEN_PROBLEMS,
)
"""What every route that needs a token can answer."""

NOT_DESCRIBED: Final = frozenset({"options"})
"""Open routes that belong to no path of their own: what browsers ask before they send a token."""
HEAD_SUFFIX: Final = "_header"

SUMMARY: Final = "Drop a file, ring the bell: files in, notifications out."
DESCRIPTION: Final = """\
Bodies are JSON in snake_case, times RFC 3339 in UTC. Errors are problem details
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): compare `type` as a string; it leads to a page
that explains it. Every answer carries `X-Correlation-ID`.

Send `Authorization: Bearer <access token>`. What belongs to somebody else answers 404. An application
without a user needs the app role of the scope's name with `.All`."""

_MODELS: Final = "#/components/schemas/"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")

type Object = dict[str, Any]


class _Schemas(GenerateJsonSchema):
    """Without titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


@dataclass(frozen=True, slots=True)
class _Described:
    """A route and its description."""

    name: str
    method: str
    path: str
    operation: Operation
    needs: Permission | None

    @property
    def problems(self) -> tuple[str, ...]:
        """Every code that it can answer."""
        common = SIGNED_IN_PROBLEMS if self.needs else OPEN_PROBLEMS
        return tuple(dict.fromkeys((*self.operation.problems, *common)))


def build(*, public_url: str, discovery_url: str | None = None) -> Object:
    """The document.

    Args:
        public_url: Where the API is.
        discovery_url: The OpenID Connect discovery document of the tokens' issuer, where there is one issuer.
    """
    return _Builder(public_url, discovery_url).document()


class _Builder:
    def __init__(self, public_url: str, discovery_url: str | None) -> None:
        self._public_url = public_url.rstrip("/")
        self._discovery_url = discovery_url
        self._described = tuple(_described())
        self._references, self._schemas = _component_schemas(each.operation for each in self._described)

    def document(self) -> Object:
        paths: dict[str, Object] = {}
        for each in self._described:
            paths.setdefault(each.path, {})[each.method.lower()] = self._operation(each)
        used = {each.operation.tag for each in self._described}
        return {
            "openapi": "3.1.0",
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
            "info": {"title": "Dropbell", "version": VERSION, "summary": SUMMARY, "description": DESCRIPTION},
            "servers": [{"url": self._public_url}],
            "tags": [
                {"name": name, "description": meaning} for name, meaning in CHAPTERS.items() if name in used
            ],
            "paths": paths,
            "components": {
                "schemas": self._schemas,
                "parameters": {each.name: _parameter(each) for each in OF_EVERY_ROUTE},
                "headers": {
                    name: {"description": field.meaning, "schema": dict(field.schema)}
                    for name, field in HEADER_FIELDS.items()
                },
                "responses": {
                    _response_name(status): _failure(status, problems)
                    for status, problems in by_status(SIGNED_IN_PROBLEMS).items()
                },
                "securitySchemes": self._security_schemes(),
            },
        }

    def _operation(self, each: _Described) -> Object:
        operation = each.operation
        made: Object = {
            "operationId": each.name,
            "tags": [operation.tag],
            "summary": operation.summary,
            "description": operation.meaning or operation.summary + ".",
            "parameters": [
                *(_path_parameter(name) for name in _PATH_PARAMETER.findall(each.path)),
                *(_parameter(parameter) for parameter in operation.parameters),
                *(_reference("parameters", parameter.name) for parameter in _common_parameters(each)),
            ],
            "responses": {
                **{str(status): self._success(answer, each) for status, answer in operation.answers.items()},
                **self._failures(each),
            },
            "security": self._security(each.needs),
            "x-codeSamples": [{"lang": "curl", "source": self._curl(each)}],
        }
        if operation.request:
            made["requestBody"] = self._request(operation.request)
        return made

    def _request(self, request: Request) -> Object:
        content = {media_type: self._media_type(body) for media_type, body in request.content.items()}
        if request.example is not None:
            content[next(iter(content))]["example"] = request.example
        return {"description": request.meaning, "required": request.required, "content": content}

    def _success(self, answer: Answer, each: _Described) -> Object:
        content = {media_type: self._media_type(body) for media_type, body in answer.content.items()}
        return {
            "description": answer.meaning,
            "headers": _headers(answer.headers, (*answer.optional_headers, *(LIMITS if each.needs else ()))),
            **({"content": content} if content else {}),
        }

    def _failures(self, each: _Described) -> dict[str, Object]:
        common = by_status(SIGNED_IN_PROBLEMS)
        return {
            str(status): _reference("responses", _response_name(status))
            if problems == common.get(status) and each.method != "HEAD"
            else _failure(status, problems, content=each.method != "HEAD")
            for status, problems in by_status(each.problems).items()
        }

    def _media_type(self, body: Body) -> Object:
        if isinstance(body, type):
            return {"schema": self._references[body]}
        return {"schema": dict(body)} if body else {}

    def _security(self, needs: Permission | None) -> list[Object]:
        if needs is None:
            return []
        scope = least_grant(needs, SCOPES) or least_grant(needs, OPERATOR_ROLES)
        return [{name: [scope]} for name in self._security_schemes()]

    def _security_schemes(self) -> dict[str, Object]:
        bearer = {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token for this API with the scope that the operation names.",
        }
        if self._discovery_url is None:
            return {"bearer": bearer}
        openid = {"type": "openIdConnect", "openIdConnectUrl": self._discovery_url}
        return {"openid": openid, "bearer": bearer}

    def _curl(self, each: _Described) -> str:
        method = () if each.method in {"GET", "HEAD"} else (f"-X {each.method}",)
        token = ('-H "Authorization: Bearer $TOKEN"',) if each.needs else ()
        options = each.operation.example or tuple(_options(each.operation))
        url = f'"{self._public_url}{_PATH_PARAMETER.sub(_shell_variable, each.path)}"'
        return " \\\n  ".join((" ".join(("curl", *method, url)), *token, *options))


def _described() -> Iterator[_Described]:
    for route in ROUTES:
        path = f"{BASE_PATH}{route.path}"
        yield from _with_head(_Described(route.name, route.method, path, OPERATIONS[route.name], route.needs))
    for open_ in OPEN_ROUTES:
        if open_.name not in NOT_DESCRIBED:
            operation = OPERATIONS[open_.name]
            yield from _with_head(_Described(open_.name, open_.method, open_.path, operation, None))


def _with_head(described: _Described) -> Iterator[_Described]:
    """The operation, and the one that answers like it without content, where there is one."""
    yield described
    if described.name in WITH_HEAD:
        operation = described.operation
        bodiless = {status: replace(answer, content={}) for status, answer in operation.answers.items()}
        yield replace(
            described,
            name=f"{described.name}{HEAD_SUFFIX}",
            method="HEAD",
            operation=replace(
                operation, summary=f"{operation.summary}: header only", answers=bodiless, example=("-I",)
            ),
        )


def _component_schemas(operations: Iterable[Operation]) -> tuple[dict[type, Object], dict[str, Object]]:
    """References to the models by class, and the components that they lead to."""
    taken: dict[type[BaseModel], JsonSchemaMode] = {ProblemBody: "serialization"}
    for operation in operations:
        for answer in operation.answers.values():
            taken.update(
                (body, "serialization") for body in answer.content.values() if isinstance(body, type)
            )
        if operation.request:
            content = operation.request.content
            taken.update((body, "validation") for body in content.values() if isinstance(body, type))
    references, definitions = models_json_schema(
        list(taken.items()), ref_template=f"{_MODELS}{{model}}", schema_generator=_Schemas
    )
    schemas = {
        name: with_details(name, _first_paragraphs(schema)) for name, schema in definitions["$defs"].items()
    }
    return {model: dict(reference) for (model, _), reference in references.items()}, schemas


def _first_paragraphs(schema: Any) -> Any:
    """The schema with descriptions cut to their first paragraph; the rest is for readers of the source."""
    if isinstance(schema, dict):
        return {
            key: value.partition("\n\n")[0].replace("``", "`")
            if key == "description" and isinstance(value, str)
            else _first_paragraphs(value)
            for key, value in schema.items()
        }
    return [_first_paragraphs(item) for item in schema] if isinstance(schema, list) else schema


def _parameter(parameter: Parameter) -> Object:
    made = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.meaning,
        "required": parameter.required,
        "schema": _schema_of(parameter.type),
    }
    return made if parameter.example is None else {**made, "example": parameter.example}


def _path_parameter(name: str) -> Object:
    type_, meaning = PATH_PARAMETERS[name]
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": _schema_of(type_)}


def _common_parameters(each: _Described) -> Sequence[Parameter]:
    return [parameter for parameter in OF_EVERY_ROUTE if each.needs or parameter is not OWNER]


def _schema_of(type_: Any) -> Object:
    """The schema of a parameter's type, whole in itself and without words about the type."""
    schema = TypeAdapter(type_).json_schema(schema_generator=_Schemas)
    definitions = schema.pop("$defs", {})

    def whole(part: Object) -> Object:
        if "$ref" in part:
            part = definitions[part["$ref"].rpartition("/")[2]]
        made = {key: value for key, value in part.items() if key not in {"title", "description"}}
        return {**made, "items": whole(made["items"])} if "items" in made else made

    return whole(schema)


def _failure(status: int, problems: Sequence[Problem], *, content: bool = True) -> Object:
    """An error response: which problems it can be, and what each means."""
    lines = [f"- `{problem.code}`: {problem.meaning}" for problem in problems]
    made: Object = {
        "description": "\n".join(lines),
        "headers": _headers(OF_STATUS.get(status, ()), SOMETIMES_OF_STATUS.get(status, ())),
        "x-problem-codes": [problem.code for problem in problems],
    }
    if content:
        exact = {
            "type": {"enum": [type_ for problem in problems for type_ in problem.types]},
            "status": {"const": status},
        }
        schema = {"allOf": [{"$ref": f"{_MODELS}ProblemBody"}, {"properties": exact}]}
        made["content"] = {PROBLEM_JSON: {"schema": schema}}
    return made


def _headers(always: Iterable[str], sometimes: Iterable[str]) -> Object:
    headers: Object = {}
    for name in (CORRELATION, *always):
        field = HEADER_FIELDS[name]
        headers[name] = {"description": field.meaning, "required": True, "schema": dict(field.schema)}
    for name in sometimes:
        headers.setdefault(name, _reference("headers", name))
    return headers


def _response_name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _reference(kind: str, name: str) -> Object:
    return {"$ref": f"#/components/{kind}/{name}"}


def _options(operation: Operation) -> Iterator[str]:
    """What a ``curl`` command needs at least."""
    for parameter in operation.parameters:
        if parameter.required and parameter.where == "header":
            yield f"-H '{parameter.name}: {parameter.example}'"
    request = operation.request
    if request and request.example is not None:
        yield f"-H 'Content-Type: {next(iter(request.content))}'"
        yield f"-d '{json.dumps(request.example)}'"


def _shell_variable(match: re.Match[str]) -> str:
    return f"${match[1].upper()}"
