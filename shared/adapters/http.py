"""Outgoing HTTP: signing keys, and notifications to addresses that users chose."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from shared.adapters.target_names import TargetNames
from shared.errors import TargetFailedError, TargetNotAllowedError, UnavailableError
from shared.notifications.channels.target_policy import is_public_address
from shared.ports import ANSWER_START_BYTES, HttpAnswer
from shared.telemetry.spans import System, dependency, failing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohappyeyeballs import AddrInfoType
    from aiohttp.abc import AbstractResolver

    from shared.notifications.channels.target_policy import Target, TargetPolicy

MAX_JSON_BYTES = 1024 * 1024
JSON_TIMEOUT_SECONDS = 5
CONNECT_TIMEOUT_SECONDS = 5
MAX_ANSWER_BYTES = 64 * 1024
ANSWER_BODY_TIMEOUT_SECONDS = 1
"""A receiver has answered with its status. Its body is only read so that the connection can be used again:
so much of it, for so long, and the connection is closed if there is more."""


class HttpJson:
    """``JsonSource`` over HTTP."""

    def __init__(self, timeout_seconds: float = JSON_TIMEOUT_SECONDS) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def fetch_json(self, url: str) -> object:
        """See ``JsonSource``."""
        host = URL(url).host or ""
        with (
            dependency("GET issuer document", System.ISSUER, target=host) as span,
            failing(span, UnavailableError),
        ):
            return await self._fetch(url)

    async def _fetch(self, url: str) -> object:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise _not_had(url, f"status {answer.status}")
                raw = await answer.content.read(MAX_JSON_BYTES + 1)
                while len(raw) <= MAX_JSON_BYTES and (more := await answer.content.readany()):
                    raw += more
                if len(raw) > MAX_JSON_BYTES:
                    raise _not_had(url, "too large")
                return json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise _not_had(url, type(error).__name__) from error

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _not_had(url: str, why: str) -> UnavailableError:
    return UnavailableError(
        "The token issuer did not answer as it should; try again in a moment.", reason=f"{url}: {why}"
    )


class _AddressNotAllowedError(OSError):
    """Raised while connecting, so that it passes through the HTTP client as a connection error."""


class GuardedHttp:
    """``HttpSender`` that connects to public addresses only, unless the operator listed the host by name."""

    def __init__(
        self,
        policy: TargetPolicy,
        resolver: AbstractResolver | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the policy.

        ``resolver`` turns names into addresses (default: ``TargetNames``); ``tls`` says which certificates
        are believed (default: those that the system trusts, for the name in the URL).
        """
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> HttpAnswer:
        """See ``HttpSender``."""
        target = self._policy.check_url(url)
        session = self._session(guarded=not (target.allowed_by_name and _leads_to(target, url)))
        timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, sock_connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        )
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                start = await _read_off(answer)
                return HttpAnswer(answer.status, answer.headers.get("Retry-After"), start)
        except TimeoutError as error:
            raise TargetFailedError(f"the target did not answer within {timeout_seconds:g} s") from error
        except aiohttp.InvalidURL:
            raise TargetNotAllowedError("the target's host is no name that can be looked up") from None
        except aiohttp.ClientError as error:
            if _was_refused_by_us(error):
                raise TargetNotAllowedError("the target's address is not a public one") from None
            raise TargetFailedError(_cause(error)) from error

    async def close(self) -> None:
        """Release the connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        self._resolver = self._resolver or TargetNames()
        if guarded not in self._sessions:
            self._sessions[guarded] = aiohttp.ClientSession(
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers={"User-Agent", "Accept", "Accept-Encoding"},
                auto_decompress=False,
                connector=aiohttp.TCPConnector(
                    limit=0,  # the trigger says how many run at once; a queue here would eat their time limit
                    resolver=self._resolver,
                    ssl=True if self._tls is None else self._tls,
                    socket_factory=_public_socket if guarded else None,
                ),
            )
        return self._sessions[guarded]


def _leads_to(target: Target, url: str) -> bool:
    """Whether the HTTP client, which reads URLs by rules of its own, would connect to ``target``, too."""
    try:
        parsed = URL(url)
        hosts = {(host or "").rstrip(".") for host in (parsed.host, parsed.raw_host)}
    except ValueError:  # also for a name that only looks like an international one: xn--a
        return False
    return target.host in hosts and target.port == parsed.port


async def _read_off(answer: aiohttp.ClientResponse) -> bytes:
    """Read the body as far as it goes within the bounds; returns its start."""
    start = bytearray()
    left_bytes = MAX_ANSWER_BYTES
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(ANSWER_BODY_TIMEOUT_SECONDS):
            while left_bytes > 0 and (chunk := await answer.content.read(left_bytes)):
                left_bytes -= len(chunk)
                start += chunk[: ANSWER_START_BYTES - len(start)]
    return bytes(start)


def _public_socket(address: AddrInfoType) -> socket.socket:
    """A socket for the very address that is about to be connected to, after name resolution."""
    family, kind, protocol, _, endpoint = address
    if not is_public_address(str(endpoint[0])):
        raise _AddressNotAllowedError("not a public address")
    return socket.socket(family, kind, protocol)


def _was_refused_by_us(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _AddressNotAllowedError) or isinstance(
            getattr(seen, "os_error", None), _AddressNotAllowedError
        ):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


_CAUSES: Sequence[tuple[tuple[type[Exception], ...], str]] = (
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError),
        "the target's TLS certificate or handshake is not good",
    ),
    ((aiohttp.ClientConnectorDNSError,), "the target's name does not resolve"),
    ((aiohttp.ClientConnectorError,), "the target cannot be connected to"),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError),
        "the target closed the connection without an answer",
    ),
    ((aiohttp.ClientError,), "the target did not speak HTTP as it should"),
)
"""From the exact to the general; words that give nothing of our network away."""


def _cause(error: aiohttp.ClientError) -> str:
    return next(words for kinds, words in _CAUSES if isinstance(error, kinds))
