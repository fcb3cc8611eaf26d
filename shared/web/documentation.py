"""``/api/openapi.json``, ``/api/docs`` and ``/api/problems/{code}``: for everybody, without a token."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from shared.errors import NotFoundError
from shared.web.conditional import is_not_modified
from shared.web.problem_catalogue import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from shared.web.problem_catalogue import Problem

CACHE_CONTROL: Final = "public, max-age=300"
_HTML: Final = "text/html"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Page:
    """An answer that stays the same for as long as the process lives."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        """The page, or 304 when the caller has it."""
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'
        headers = {**self.headers, "etag": etag, "cache-control": CACHE_CONTROL}
        if is_not_modified(request, etag):
            headers.pop("content-type")
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers)


class Documentation:
    """The description of the API. It is built when it is first asked for, and kept.

    Args:
        public_url: Where the API is.
        discovery_url: The OpenID Connect discovery document of the tokens' issuer, where there is one issuer.
    """

    def __init__(self, public_url: str, discovery_url: str | None = None) -> None:
        self._public_url = public_url
        self._discovery_url = discovery_url

    async def openapi(self, request: Request) -> Response:
        """``GET /api/openapi.json``."""
        return self._openapi.answer(request)

    async def docs(self, request: Request) -> Response:
        """``GET /api/docs``."""
        return self._docs.answer(request)

    async def problem(self, request: Request) -> Response:
        """``GET /api/problems/{code}``: a page for browsers, JSON for everybody else.

        Raises NotFoundError for a code that is not in the catalogue.
        """
        problem = PROBLEMS.get(str(request.path_params["code"]))
        if problem is None:
            raise NotFoundError("There is no problem of this name.")
        if _wants_html(request):
            from shared.web.docs_page import problem_page

            return _html(problem_page(problem), vary=True).answer(request)
        return _json(_as_json(problem), vary=True).answer(request)

    @cached_property
    def _document(self) -> dict[str, Any]:
        from shared.web.openapi.document import build

        return build(public_url=self._public_url, discovery_url=self._discovery_url)

    @cached_property
    def _openapi(self) -> _Page:
        return _json(self._document)

    @cached_property
    def _docs(self) -> _Page:
        from shared.web.docs_page import page

        return _html(page(self._document))


def _json(content: Mapping[str, Any], *, vary: bool = False) -> _Page:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return _Page(body, {"content-type": _JSON, "x-content-type-options": "nosniff", **_vary(vary)})


def _html(content: str, *, vary: bool = False) -> _Page:
    from shared.web.docs_page import content_security_policy

    headers = {
        "content-type": f"{_HTML}; charset=utf-8",
        "content-security-policy": content_security_policy(),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return _Page(content.encode(), headers | _vary(vary))


def _vary(vary: bool) -> dict[str, str]:
    return {"vary": "Accept"} if vary else {}


def _wants_html(request: Request) -> bool:
    """Whether the caller is a browser: it names ``text/html``, and no JSON before it."""
    accepted = request.headers.get("accept", "").lower()
    html, as_json = accepted.find(_HTML), accepted.find("json")
    return html >= 0 and (as_json < 0 or html < as_json)


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "type": problem.types[0],
        "title": problem.title,
        "statuses": list(problem.statuses),
        "meaning": problem.meaning,
        "remedy": problem.remedy,
        "retryable": problem.retryable,
    }
