"""One service, one signed-in caller: sends requests, turns refusals into errors."""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from dropbell.answers import Fields
from dropbell.errors import InputError, ProblemError, UnexpectedAnswerError
from dropbell.owner import OWNER_HEADER
from dropbell.retrying import Backoff
from dropbell.trace_context import new_traceparent
from dropbell.transport import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, connection_failed, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from dropbell.body import Payload
    from dropbell.owner import Owner
    from dropbell.sign_in import SignIn
    from dropbell.transport import Timeout

API_PATH = "/api/v1"
_ID = re.compile(r"[A-Za-z0-9_-]+")
_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+")
BODY_TOKEN_SECONDS = 15 * 60.0
"""How long a token should last when a body is about to be streamed: it cannot be changed under way."""


class Connection:
    """A connection to one service in the name of one caller. Not for several threads at a time.

    Args:
        api_url: ``https://host[:port]`` with or without ``/api/v1``; plain http to this machine only.
        sign_in: Gives access tokens.
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        owner: Whom an app acts for; without it, for itself or for the person who is signed in.
        trust_env: Take proxies from the environment.
        timeout: Seconds to connect, seconds to wait for an answer.
        backoff: How patient uploads and downloads are with a network that fails.

    Raises:
        InputError: The address or the certificate file cannot be used.
    """

    def __init__(
        self,
        api_url: str,
        sign_in: SignIn,
        ca_file: str | None = None,
        *,
        owner: Owner | None = None,
        trust_env: bool = False,
        timeout: Timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
        backoff: Backoff | None = None,
    ) -> None:
        self.api_url = normalised_api_url(api_url)
        self.owner = owner
        self.backoff = backoff or Backoff()
        self._sign_in = sign_in
        self._open_session = partial(open_session, ca_file, trust_env=trust_env, timeout=timeout)
        self._session = self._open_session()
        if owner is not None:
            self._session.headers[OWNER_HEADER] = str(owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the network connections."""
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        body: Payload | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request and return its successful answer.

        A token about to end is replaced before a body is streamed. A 401, even in the middle of it, asks
        the issuer for a fresh token and sends everything once more, unless the body cannot be sent again.

        Args:
            method: HTTP method.
            path: Below ``/api/v1``, with its leading slash.
            params: Query parameters.
            json: A value to send as JSON.
            body: A body to stream in its place.
            headers: Further header fields.
            stream: Leave the answer's content to be read by the caller, who closes it.

        Raises:
            NotSignedInError: There is no token to send.
            ConnectionFailedError: The service was not reached or its answer did not arrive whole.
            ProblemError: The service refused.
            InputError: The body could not be read.
        """
        send = partial(
            self._session.request,
            method,
            self.api_url + path,
            params=params,
            json=json,
            headers={"traceparent": new_traceparent(), **(headers or {})},
            # A redirect is not followed: it would carry the token to wherever the answer points.
            allow_redirects=False,
            stream=stream,
        )
        token = self._sign_in.access_token(lasting_seconds=0 if body is None else BODY_TOKEN_SECONDS)
        response = self._answer(send, body, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED and (body is None or body.replayable):
            fresh_token = self._sign_in.access_token(force_refresh=True)
            if fresh_token != token:
                response = self._answer(send, body, fresh_token)
        if not response.ok or response.is_redirect:
            raise _problem(response)
        return response

    def items(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[object]:
        """Go through a list, page by page, while ``next_cursor`` leads on.

        Args:
            path: Below ``/api/v1``, with its leading slash.
            params: Query parameters of every page.

        Raises:
            UnexpectedAnswerError: An answer is not a page of a list.
            DropbellError: As ``request`` does.
        """
        asked = dict(params or {})
        while True:
            page = Fields(decoded(self.request("GET", path, params=asked)), "list")
            yield from page.array("items")
            cursor = page.optional_text("next_cursor")
            if cursor is None:
                return
            asked["cursor"] = cursor

    def health(self) -> Fields:
        """Ask the service whether it and what it needs can be used; no token is needed or sent.

        Raises:
            ConnectionFailedError: The service was not reached.
            ProblemError: It cannot be used now; the detail names what does not answer.
            UnexpectedAnswerError: The answer is not that of a Dropbell.
        """
        url = self.api_url.removesuffix("/v1") + "/health"
        try:
            with self.session_without_token() as session:
                answer = session.get(url, params={"deep": "1"}, allow_redirects=False)
        except requests.RequestException as error:
            raise connection_failed(error, self.api_url) from error
        if not answer.ok or answer.is_redirect:
            raise _problem(answer)
        return Fields(decoded(answer), "health")

    def session_without_token(self) -> requests.Session:
        """Open a session for other servers, such as the storage: neither token nor owner goes there."""
        return self._open_session()

    def _answer(
        self, send: Callable[..., requests.Response], body: Payload | None, token: str
    ) -> requests.Response:
        try:
            response = send(data=None if body is None else request_body(body), auth=_Bearer(token))
            if not response.ok:
                _ = response.content  # reads it; a streamed answer has not been read so far
        except requests.RequestException as error:
            raise connection_failed(error, self.api_url) from error
        if body is not None and not response.ok:
            # Whoever refuses a body without reading it ends the connection next; nothing else may use it.
            self._session.close()
        return response


def normalised_api_url(url: str) -> str:
    """Return the address of the API, ending in ``/api/v1``, whether or not ``url`` names that path.

    Raises:
        InputError: It is no http(s) URL, or it would send tokens unprotected over a network (RFC 6750 §5.3).
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if (
        host is None
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise InputError(
            f"{url!r} is not an address of a service; it should look like https://host or http://localhost:8080."
        )
    if parts.scheme == "http" and not _is_this_machine(host):
        raise InputError(f"{url} is not protected; use https (plain http is for this machine only).")
    base = parts.path.rstrip("/").removesuffix(API_PATH).removesuffix("/api")
    return parts._replace(path=base + API_PATH).geturl()


def checked_id(text: str, what: str) -> str:
    """Return an id that can stand in a path; raises InputError when ``text`` is not the id of a ``what``."""
    if not _ID.fullmatch(text):
        raise InputError(f"{text!r} is not a {what} id.")
    return text


def path_below_api(url: str) -> str:
    """Return the path below ``/api/v1`` of an address that the service gave.

    Only the path is taken: the caller's token goes to the service's own address, whatever the answer names,
    and a service behind a gateway need not know that address.

    Raises:
        UnexpectedAnswerError: It is no address of the API.
    """
    _, found, path = urlsplit(url).path.partition(API_PATH)
    if not found or not _PATH.fullmatch(path):
        raise UnexpectedAnswerError("The service led to an address outside of its API.")
    return path


def decoded(response: requests.Response) -> Any:
    """Decode the JSON of a successful answer.

    Raises:
        UnexpectedAnswerError: It is not JSON.
    """
    try:
        return response.json()
    except ValueError as error:
        where = urlsplit(response.url)._replace(query="").geturl()
        raise UnexpectedAnswerError(f"The answer of {where} is not JSON; check the address.") from error


class _Bearer(AuthBase):
    """An explicit ``Authorization`` (RFC 6750 §2.1), which a ``.netrc`` cannot replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _SizedChunks:
    """A streamed body whose length requests can announce."""

    def __init__(self, body: Payload, size_bytes: int) -> None:
        self._body = body
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        return self._body.chunks()


def request_body(body: Payload) -> Iterable[bytes] | bytes:
    """Return a body as requests takes it: streamed, with its length announced where that is known."""
    if body.size_bytes is None:
        return body.chunks()
    # requests would send an empty iterable chunked.
    return _SizedChunks(body, body.size_bytes) if body.size_bytes else b""


def _problem(response: requests.Response) -> ProblemError:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    fields = answer if isinstance(answer, dict) else {}

    def text(name: str) -> str | None:
        value = fields.get(name)
        return value if isinstance(value, str) and value else None

    title = text("title") or response.reason or "Refused"
    return ProblemError(
        status=response.status_code,
        type=text("type") or "about:blank",
        title=title,
        detail=text("detail")
        or ("" if text("title") else f"The service answered {response.status_code} {title}."),
        correlation_id=text("correlation_id") or response.headers.get("x-correlation-id"),
        retry_after_seconds=retry_after_seconds(response),
    )


def retry_after_seconds(response: requests.Response) -> float | None:
    """Read ``Retry-After`` in seconds (RFC 9110 §10.2.3); None without it and for its form as a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
