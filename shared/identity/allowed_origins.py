"""Web pages whose scripts may call the API, by their origin (RFC 6454 §4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}|\*))?"
)
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class AllowedOrigins:
    """The origins whose pages may call; nobody's unless listed.

    Args:
        listed: Each an origin such as ``https://app.example``; ``http://localhost:*`` and
            ``http://127.0.0.1:*`` stand for any port of this machine.

    Raises ValueError for what is no origin, for ``*``, and for plain http from other machines.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        exact, any_port = set(), set()
        for text in listed:
            scheme, host, port = _read(text)
            if port == "*":
                any_port.add((scheme, host))
            else:
                exact.add(_serialised(scheme, host, port))
        self._exact = frozenset(exact)
        self._any_port = frozenset(any_port)

    def __bool__(self) -> bool:
        return bool(self._exact or self._any_port)

    def allow(self, origin: str) -> bool:
        """Whether pages of ``origin``, as a browser writes it, may call."""
        if origin in self._exact:
            return True
        match = _ORIGIN.fullmatch(origin) if self._any_port else None
        return (
            match is not None and match["port"] != "*" and (match["scheme"], match["host"]) in self._any_port
        )


def _read(text: str) -> tuple[str, str, str | None]:
    """Scheme, host and port of a listed origin."""
    if text == "*":
        raise ValueError("'*' would let every page on the web call the API: list the origins that may")
    match = _ORIGIN.fullmatch(text.lower())
    if match is None or not _is_port(match["port"]):
        raise ValueError("one is no origin: write each as https://host or https://host:port, no path")
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if host not in _LOOPBACK_HOSTS:
        if port == "*":
            raise ValueError("any port can be allowed of this machine only, as http://localhost:*")
        if scheme == "http":
            raise ValueError("each must be https: anybody on the way could change such a page")
    return scheme, host, port


def _is_port(text: str | None) -> bool:
    return text is None or text == "*" or 0 < int(text) < 65_536


def _serialised(scheme: str, host: str, port: str | None) -> str:
    """As browsers write it: without the scheme's own port."""
    return f"{scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}")
