"""HTTP functions that take ``func.HttpRequest``: request and response travel whole over the channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SAME_SITE = {1: "Lax", 2: "Strict", 3: "None"}


@dataclass(frozen=True)
class ClassicResponse:
    """An HTTP response as the function gave it."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


def request_data(
    *, method: str, url: str, headers: Iterable[tuple[str, str]], parameters: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """The typed data of a request: names of headers in lower case, repeated values joined by a comma."""
    return {
        "http": {
            "method": method,
            "url": url,
            "headers": _joined((name.lower(), value) for name, value in headers),
            "params": dict(parameters),
            "query": _joined(URL(url, encoded=True).query.items()),
            "body": {"bytes": body} if body else None,
        }
    }


def response_from(data: Mapping[str, Any] | None) -> ClassicResponse:
    """The response of a function's return value; none gives 204.

    Raises:
        ValueError: the value cannot be an HTTP response, such as a status that is no number.
    """
    if not data:
        return ClassicResponse(204, CIMultiDict(), b"")
    ((kind, value),) = data.items()
    if kind == "http":
        return _http_response(value)
    content, content_type = _body({kind: value})
    return ClassicResponse(200, CIMultiDict({"Content-Type": content_type}), content)


def _http_response(value: Mapping[str, Any]) -> ClassicResponse:
    status = int(value.get("status_code") or 200)
    if not 200 <= status <= 599:
        raise ValueError(f"an HTTP function answered with the status {status}")
    headers: CIMultiDict[str] = CIMultiDict(value.get("headers") or {})
    for cookie in value.get("cookies") or ():
        headers.add("Set-Cookie", _set_cookie(cookie))
    body = value.get("body")
    content, content_type = _body(body) if body else (b"", "")
    if content_type:
        headers.setdefault("Content-Type", content_type)
    return ClassicResponse(status, headers, content)


def _body(data: Mapping[str, Any]) -> tuple[bytes, str]:
    ((kind, value),) = data.items()
    if kind == "bytes":
        return value, "application/octet-stream"
    if kind == "json":
        return value.encode(), "application/json; charset=utf-8"
    return str(value).encode(), "text/plain; charset=utf-8"


def _set_cookie(cookie: Mapping[str, Any]) -> str:
    parts = [f"{cookie['name']}={cookie.get('value', '')}"]
    if domain := _nullable(cookie, "domain"):
        parts.append(f"Domain={domain}")
    if path := _nullable(cookie, "path"):
        parts.append(f"Path={path}")
    if (expires := _nullable(cookie, "expires")) is not None:
        moment = datetime.fromtimestamp(expires.get("seconds", 0), UTC)
        parts.append(f"Expires={format_datetime(moment, usegmt=True)}")
    if (max_age := _nullable(cookie, "max_age")) is not None:
        parts.append(f"Max-Age={max_age:.0f}")
    if _nullable(cookie, "secure"):
        parts.append("Secure")
    if _nullable(cookie, "http_only"):
        parts.append("HttpOnly")
    if same_site := _SAME_SITE.get(cookie.get("same_site", 0)):
        parts.append(f"SameSite={same_site}")
    return "; ".join(parts)


def _nullable(cookie: Mapping[str, Any], name: str) -> Any:
    return (cookie.get(name) or {}).get("value")


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
