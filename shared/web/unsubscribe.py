"""``/unsubscribe/{token}``: where the links in mails lead, for mail programs (RFC 8058) and for people."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import multipart  # type: ignore[import-untyped]  # the package ships no types
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from shared.errors import InvalidRequestError, TooLargeError, UploadIncompleteError

if TYPE_CHECKING:
    from starlette.requests import Request

    from shared.notifications.unsubscribing import Unsubscribing

MAX_FORM_BYTES: Final = 4096
_FIELD: Final = "List-Unsubscribe"
_VALUE: Final = "One-Click"
_STYLE: Final = """
:root { color-scheme: light dark; --text: #1c2430; --ground: #fff; --accent: #0b5cad; --on: #fff }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e8ef; --ground: #12161c; --accent: #7db8f5; --on: #12161c }
}
body { margin: 0; color: var(--text); background: var(--ground); font: 1rem/1.6 system-ui, sans-serif }
main { max-width: 32rem; margin: 12vh auto 0; padding: 0 1.25rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem }
button {
  margin-top: 1rem; padding: .6rem 1.2rem; border: 0; border-radius: .4rem;
  color: var(--on); background: var(--accent); font: inherit; font-weight: 600; cursor: pointer
}
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px }
"""


class UnsubscribeRoutes:
    """Open to everybody: the signed token in the address is the permission."""

    def __init__(self, unsubscribing: Unsubscribing) -> None:
        self._unsubscribing = unsubscribing

    async def show_unsubscribe(self, request: Request) -> Response:
        """``GET /unsubscribe/{token}``: a page with a button. It changes nothing: scanners follow links.

        Raises NotFoundError for a made-up token.
        """
        if not await self._unsubscribing.is_subscribed(_token(request)):
            return _done()
        return _page(
            "Unsubscribe?",
            "No more e-mail will be sent to you for this subscription.",
            f'<form method="post"><input type="hidden" name="{_FIELD}" value="{_VALUE}">'
            "<button>Unsubscribe</button></form>",
        )

    async def unsubscribe(self, request: Request) -> Response:
        """``POST /unsubscribe/{token}`` with ``List-Unsubscribe=One-Click``; once more is no error.

        Raises NotFoundError for a made-up token, InvalidRequestError (``invalid-body``) for another body.
        """
        if not _says_one_click(request.headers.get("content-type", ""), await _body(request)):
            raise InvalidRequestError(
                f"Send a form with {_FIELD}={_VALUE} (RFC 8058 §3.2).", code="invalid-body"
            )
        await self._unsubscribing.unsubscribe(_token(request))
        return _done()


def _token(request: Request) -> str:
    return str(request.path_params["token"])


async def _body(request: Request) -> bytes:
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_FORM_BYTES:
                raise TooLargeError(f"The form can have at most {MAX_FORM_BYTES} bytes here.")
    except ClientDisconnect:
        raise UploadIncompleteError("The connection ended before the body did.") from None
    return bytes(raw)


def _says_one_click(content_type: str, body: bytes) -> bool:
    """Whether the form has the pair; ``multipart/form-data`` is what RFC 8058 §3.2 prefers."""
    media_type, parameters = multipart.parse_options_header(content_type)
    if media_type.lower() == "multipart/form-data":
        return _VALUE.encode() in _values_in_parts(parameters.get("boundary", ""), body)
    return _VALUE in parse_qs(body.decode("latin-1")).get(_FIELD, ())


def _values_in_parts(boundary: str, body: bytes) -> list[bytes]:
    """The field's values; none of a form that cannot be read, or does not end."""
    values: list[bytes] = []
    is_wanted = False
    try:
        with multipart.PushMultipartParser(boundary) as parser:
            for event in parser.parse(body):
                if isinstance(event, multipart.MultipartSegment):
                    is_wanted = event.name == _FIELD
                    values += [b""] * is_wanted
                elif event is not None and is_wanted:
                    values[-1] += event
    except (multipart.MultipartError, UnicodeError):
        return []
    return values


def content_security_policy() -> str:
    """Nothing but the page's own style sheet, by its hash, and its form (CSP Level 3)."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _done() -> Response:
    return _page("You are unsubscribed", "No more e-mail is sent to you for this subscription.")


def _page(title: str, text: str, form: str = "") -> Response:
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>"
    )
    headers = {
        "content-security-policy": content_security_policy(),
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",  # the address is the permission
        "x-content-type-options": "nosniff",
    }
    return Response(body, headers=headers, media_type="text/html; charset=utf-8")
