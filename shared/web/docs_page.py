"""The description of the API as a page: plain HTML of our own, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.web.docs_markup import anchor, code, definitions, fields, paragraphs, prose, type_of
from shared.web.problem_catalogue import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shared.web.problem_catalogue import Problem

type Object = Mapping[str, Any]

DOCS_PATH: Final = "/api/docs"
OPENAPI_PATH: Final = "/api/openapi.json"
_METHODS: Final = ("post", "get", "head", "patch", "put", "delete", "options")


def page(document: Object) -> str:
    """The whole description, made from the OpenAPI document."""
    info = document["info"]
    chapters = list(_chapters(document))
    address = code(document["servers"][0]["url"])
    body = [
        _contents(chapters),
        "<main><header>",
        f"<h1>{html.escape(info['title'])} API <small>{html.escape(info['version'])}</small></h1>",
        f'<p class="lead">{prose(info["summary"])}</p>',
        paragraphs(info["description"]),
        f'<p>Base address: {address} · <a href="{OPENAPI_PATH}">OpenAPI document</a></p>',
        f"<h4>With any request</h4>{_parameters(document['components']['parameters'].values())}</header>",
    ]
    for tag, operations in chapters:
        body.append(f'<section><h2 id="{anchor("tag", tag["name"])}">{html.escape(tag["name"])}</h2>')
        body.append(paragraphs(tag["description"]))
        body.extend(_operation(document, method, path, each) for method, path, each in operations)
        body.append("</section>")
    body.append(_bodies(document["components"]["schemas"]))
    body.append(_problems())
    body.append("</main>")
    return _document(f"{info['title']} API", "".join(body))


def problem_page(problem: Problem) -> str:
    """One kind of problem."""
    again = (
        "The same request can succeed later." if problem.retryable else "The same request will fail again."
    )
    statuses = ", ".join(f"{status} {_phrase(status)}" for status in problem.statuses)
    return _document(
        f"{problem.title} ({problem.code})",
        f'<main class="single"><h1>{html.escape(problem.title)}</h1>'
        f"<p>{code(problem.types[0])} · {html.escape(statuses)}</p>"
        f'<p class="lead">{prose(problem.meaning)}</p>'
        f"<h2>What to do</h2><p>{prose(problem.remedy)}</p><p>{again}</p>"
        f'<p><a href="{DOCS_PATH}">The whole API</a> · <a href="{DOCS_PATH}#problems">all problems</a></p>'
        "</main>",
    )


def content_security_policy() -> str:
    """Nothing but the page's own style sheet, by its hash (CSP Level 3 §2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _style() -> str:
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{_style()}</style></head><body>{body}</body></html>"
    )


def _chapters(document: Object) -> Iterator[tuple[Object, list[tuple[str, str, Object]]]]:
    """Each tag with its operations: method, path and description."""
    for tag in document["tags"]:
        yield (
            tag,
            [
                (method, path, item[method])
                for path, item in document["paths"].items()
                for method in _METHODS
                if method in item
                and tag["name"] in item[method]["tags"]
                and not _is_told_with_get(method, item)
            ],
        )


def _is_told_with_get(method: str, item: Object) -> bool:
    """HEAD beside GET is the same without the content (RFC 9110 §9.3.2)."""
    return method == "head" and "get" in item


def _contents(chapters: list[tuple[Object, list[tuple[str, str, Object]]]]) -> str:
    made = []
    for tag, operations in chapters:
        links = "".join(
            f'<li><a href="#{anchor("op", each["operationId"])}">{html.escape(each["summary"])}</a></li>'
            for _, _, each in operations
        )
        name = tag["name"]
        made.append(f'<li><a href="#{anchor("tag", name)}">{html.escape(name)}</a><ul>{links}</ul></li>')
    made += ['<li><a href="#bodies">Bodies</a></li>', '<li><a href="#problems">Problems</a></li>']
    contents = f"<details open><summary>Contents</summary><ul>{''.join(made)}</ul></details>"
    return f'<nav aria-label="Contents">{contents}</nav>'


def _operation(document: Object, method: str, path: str, operation: Object) -> str:
    methods = ["get", "head"] if method == "get" and "head" in document["paths"][path] else [method]
    badges = " ".join(f'<span class="method {each}">{each.upper()}</span>' for each in methods)
    parameters = [_resolved(document, each) for each in operation["parameters"]]
    common = {each["$ref"].rpartition("/")[2] for each in operation["parameters"] if "$ref" in each}
    own = [each for each in parameters if each["name"] not in common]
    name = operation["operationId"]
    parts = [
        f'<article><h3 id="{anchor("op", name)}">{html.escape(operation["summary"])}</h3>',
        f'<p class="route">{badges} {code(path)}</p>',
        _needs(operation),
        paragraphs(operation["description"]),
    ]
    if own:
        parts.append("<h4>Parameters</h4>" + _parameters(own))
    if "requestBody" in operation:
        parts.append(_request(operation["requestBody"]))
    parts.append("<h4>Answers</h4>" + _answers(operation["responses"]))
    parts.append("<h4>Errors</h4>" + _errors(document, operation["responses"]))
    parts.extend(
        f"<h4>Example</h4><pre><code>{html.escape(sample['source'])}</code></pre>"
        for sample in operation["x-codeSamples"]
    )
    return "".join((*parts, "</article>"))


def _needs(operation: Object) -> str:
    scopes = {scope for scheme in operation["security"] for needed in scheme.values() for scope in needed}
    if not scopes:
        return '<p class="needs">No token needed</p>'
    return f'<p class="needs">Needs {" ".join(map(code, sorted(scopes)))}</p>'


def _parameters(parameters: Iterable[Object]) -> str:
    return definitions(
        (
            each["name"],
            f"{html.escape(each['in'])}, {type_of(each['schema'])}",
            each["required"],
            each["description"],
            [each["example"]] if "example" in each else None,
        )
        for each in parameters
    )


def _request(request: Object) -> str:
    kinds = ", ".join(_media(*each) for each in request["content"].items())
    optional = "" if request["required"] else " (optional)"
    examples = "".join(
        f"<pre><code>{html.escape(json.dumps(content['example'], indent=2))}</code></pre>"
        for content in request["content"].values()
        if "example" in content
    )
    return f"<h4>Body{optional}</h4>{paragraphs(request['description'])}<p>{kinds}</p>{examples}"


def _media(media_type: str, content: Object) -> str:
    schema = content.get("schema")
    return code(media_type) + (f" {type_of(schema)}" if schema and "$ref" in schema else "")


def _answers(responses: Object) -> str:
    made = []
    for status, answer in responses.items():
        if status < "400":
            content = ", ".join(_media(*each) for each in answer.get("content", {}).items())
            headers = ", ".join(code(name) for name in answer["headers"])
            made.append(
                f'<div><dt><span class="status ok">{status}</span> {_phrase(int(status))} '
                f'<span class="type">{content}</span></dt>'
                f"<dd><p>{prose(answer['description'])}</p>"
                f'<p class="example">Header: {headers}</p></dd></div>'
            )
    return f"<dl>{''.join(made)}</dl>"


def _errors(document: Object, responses: Object) -> str:
    """The operation's own errors with their meaning, and those of every route by name."""
    own: list[str] = []
    common: list[str] = []
    for status, answer in responses.items():
        if status >= "400":
            problems = [PROBLEMS[name] for name in _resolved(document, answer)["x-problem-codes"]]
            badge = f'<span class="status">{status}</span>'
            if "$ref" in answer:
                common.append(f"{badge} {', '.join(map(_problem_link, problems))}")
            else:
                own.extend(
                    f"<li>{badge} {_problem_link(each)} <span>{prose(each.meaning)}</span></li>"
                    for each in problems
                )
    rows = f'<ul class="errors">{"".join(own)}</ul>' if own else ""
    everywhere = f'<p class="everywhere">As everywhere: {" ".join(common)}</p>' if common else ""
    return rows + everywhere or "<p>None.</p>"


def _problem_link(problem: Problem) -> str:
    return f'<a href="#{anchor("problem", problem.code)}">{html.escape(problem.code)}</a>'


def _bodies(schemas: Object) -> str:
    made = [
        f'<article><h3 id="{anchor("schema", name)}">{html.escape(name)}</h3>'
        f"{paragraphs(schema.get('description', ''))}{fields(schema) or type_of(schema)}</article>"
        for name, schema in schemas.items()
    ]
    return f'<section><h2 id="bodies">Bodies</h2>{"".join(made)}</section>'


def _problems() -> str:
    made = [
        f'<div id="{anchor("problem", problem.code)}"><dt>'
        f'<span class="status">{" ".join(map(str, problem.statuses))}</span> {code(problem.code)} '
        f'<span class="type">{html.escape(problem.title)}</span></dt>'
        f"<dd><p>{prose(problem.meaning)}</p><p>{prose(problem.remedy)}</p></dd></div>"
        for problem in PROBLEMS.values()
    ]
    return (
        '<section><h2 id="problems">Problems</h2><p>What the <code>type</code> of an error can end in.</p>'
        f"<dl>{''.join(made)}</dl></section>"
    )


def _resolved(document: Object, value: Object) -> Object:
    if "$ref" not in value:
        return value
    _, kind, name = value["$ref"].rsplit("/", 2)
    resolved: Object = document["components"][kind][name]
    return resolved


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Checksum Mismatch"
