"""The documentation as browsers and programs get it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from shared.errors import NotFoundError
from shared.web.docs_markup import prose, type_of
from shared.web.docs_page import page, problem_page
from shared.web.documentation import Documentation
from shared.web.openapi.document import HEAD_SUFFIX, build
from shared.web.problem_catalogue import PROBLEMS
from tests.unit.shared.asgi import body_of, request

if TYPE_CHECKING:
    from starlette.responses import Response

VOID = {"meta", "link", "br"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Markup(HTMLParser):
    """Ids and targets of a page; insists that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def docs() -> Documentation:
    return Documentation(
        "https://dropbell.example", "https://issuer.example/.well-known/openid-configuration"
    )


def whole_page() -> str:
    return page(build(public_url="https://dropbell.example"))


def test_every_link_within_the_page_leads_somewhere() -> None:
    markup = Markup(whole_page())
    inside = {link.removeprefix("#") for link in markup.links if link.startswith("#")}
    assert inside <= set(markup.ids)
    assert len(markup.ids) == len(set(markup.ids))
    assert {f"problem-{code}" for code in PROBLEMS} <= set(markup.ids)


def test_nothing_is_run_or_loaded() -> None:
    markup = Markup(whole_page())
    assert not markup.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not {name for name in markup.attributes if name.startswith("on") or name == "style"}


def test_each_operation_is_told_with_request_answers_errors_and_example() -> None:
    document = build(public_url="https://dropbell.example")
    articles = re.findall(r'<article><h3 id="op-(\w+)">(.*?)</article>', whole_page(), re.DOTALL)
    operations = [each["operationId"] for item in document["paths"].values() for each in item.values()]
    expected = {name for name in operations if not name.endswith(HEAD_SUFFIX)}
    assert {name for name, _ in articles} == expected
    for _, text in articles:
        for part in ('class="method', "<h4>Answers</h4>", "<h4>Errors</h4>", "<h4>Example</h4>", "curl "):
            assert part in text


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_each_problem_has_a_page(problem: object) -> None:
    text = problem_page(PROBLEMS[getattr(problem, "code", "")])
    assert Markup(text).tags >= {"main", "h1"}


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("`a < b`", "<code>a &lt; b</code>"),
        ("[RFC](https://rfc.example/1)", '<a href="https://rfc.example/1">RFC</a>'),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ('[x](https://a"onclick=)', '[x](https://a"onclick=)'),
    ],
)
def test_prose_is_escaped(text: str, markup: str) -> None:
    assert prose(text) == markup


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "anything"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer, 1 to 9"),
        ({"type": "string", "maxLength": 5}, "string, at most 5 characters"),
        ({"type": "string", "format": "uuid"}, "uuid"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of <code>a</code> | <code>b</code>"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map of string"),
        ({"$ref": "#/components/schemas/FileBody"}, '<a href="#schema-FileBody">FileBody</a>'),
    ],
)
def test_a_schema_in_words(schema: dict[str, object], words: str) -> None:
    assert type_of(schema) == words


async def answers(documentation: Documentation, **headers: str) -> list[Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [
        await documentation.openapi(request(headers=named)),
        await documentation.docs(request(headers=named)),
        await documentation.problem(request(headers=named, code="not-found")),
    ]


async def test_answers_can_be_kept_and_asked_for_again() -> None:
    documentation = docs()
    for number, first in enumerate(await answers(documentation)):
        assert first.status_code == 200
        assert first.headers["cache-control"] == "public, max-age=300"
        etag = first.headers["etag"]
        assert re.fullmatch(r'"[^"]+"', etag)
        for tag in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = (await answers(documentation, if_none_match=tag))[number]
            assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", etag)
        assert (await answers(documentation, if_none_match='"other"'))[number].status_code == 200


async def test_the_document_is_built_once() -> None:
    documentation = docs()
    first, second = await documentation.openapi(request()), await documentation.openapi(request())
    assert first.body is second.body


async def test_two_processes_answer_the_same() -> None:
    assert [one.headers["etag"] for one in await answers(docs())] == [
        one.headers["etag"] for one in await answers(docs())
    ]


async def test_the_policy_lets_the_pages_own_style_through_and_nothing_else() -> None:
    response = await docs().docs(request())
    policy = response.headers["content-security-policy"]
    (style,) = re.findall(rb"<style>(.*?)</style>", bytes(response.body), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/problem+json, text/html", "application/json"),
        (BROWSER, "text/html; charset=utf-8"),
        ("TEXT/HTML", "text/html; charset=utf-8"),
    ],
)
async def test_browsers_get_a_page_and_programs_get_json(accept: str | None, kind: str) -> None:
    headers = {} if accept is None else {"accept": accept}
    response = await docs().problem(request(headers=headers, code="not-found"))
    assert (response.headers["content-type"], response.headers["vary"]) == (kind, "Accept")


async def test_a_problem_is_explained() -> None:
    told = body_of(await docs().problem(request(code="claims-missing")))
    assert told["type"] == "/api/problems/claims-missing"
    assert told["statuses"] == [401, 403]
    assert told["meaning"]
    assert told["remedy"]
    assert told["retryable"] is False


@pytest.mark.parametrize("code", ["surprise", "", "../secrets", "<script>", "a" * 5000])
async def test_an_unknown_problem_is_not_found(code: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        await docs().problem(request(code=code))
    assert raised.value.detail == "There is no problem of this name."
