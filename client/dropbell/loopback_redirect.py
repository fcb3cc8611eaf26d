"""Where a browser brings the sign-in page's answer: a port of this machine, for one answer (RFC 8252 §7.3).

msal has a receiver of its own, but that one listens on every interface when it finds itself in a container.
"""

from __future__ import annotations

import hmac
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

_MAX_BODY_BYTES = 64 * 1024
_POLL_SECONDS = 0.2
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Dropbell</title>'
    "<p>{sentence} You can close this page and go back to the terminal.</p></html>"
)


class LoopbackRedirect:
    """Listens on a free loopback port while the context is open."""

    def __init__(self) -> None:
        self._server = _Server()

    @property
    def uri(self) -> str:
        """The redirect URI. Entra registers ``http://localhost`` and lets the port vary."""
        return f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()

    def wait(self, state: str, timeout_seconds: float) -> Mapping[str, str] | None:
        """Wait for the authorization response (RFC 6749 §4.1.2); None when it does not come in time.

        Args:
            state: What the request was marked with; anything without it is refused and the waiting goes on.
            timeout_seconds: How long to wait.
        """
        self._server.state = state
        deadline = time.monotonic() + timeout_seconds
        while self._server.answer is None and time.monotonic() < deadline:
            self._server.handle_request()
        return self._server.answer


class _Server(ThreadingHTTPServer):
    """A thread for each connection: browsers open some ahead and send nothing on them."""

    daemon_threads = True
    block_on_close = False
    timeout = _POLL_SECONDS

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = ""
        self.answer: Mapping[str, str] | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about browsers that hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0
    """The longest silence on a connection, in seconds."""

    def do_POST(self) -> None:
        """Take the form that the sign-in page sends (OAuth 2.0 Form Post Response Mode)."""
        fields = self._form()
        expected = self.server.state.encode()
        is_answer = hmac.compare_digest(fields.get("state", "").encode(), expected) and (
            "code" in fields or "error" in fields
        )
        if not is_answer:
            self._reply(HTTPStatus.BAD_REQUEST, "This is not the answer of the sign-in page.")
            return
        self._reply(HTTPStatus.OK, "The answer arrived.")
        self.server.answer = fields

    def do_GET(self) -> None:
        """Refuse: the answer is posted."""
        self._reply(HTTPStatus.METHOD_NOT_ALLOWED, "Only the sign-in page's answer is taken here.")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet: the terminal belongs to the command."""

    def _form(self) -> dict[str, str]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > _MAX_BODY_BYTES:
            return {}
        try:
            return dict(parse_qsl(self.rfile.read(int(length)).decode("ascii"), max_num_fields=20))
        except ValueError:
            return {}

    def _reply(self, status: HTTPStatus, sentence: str) -> None:
        page = _PAGE.format(sentence=sentence).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page)
