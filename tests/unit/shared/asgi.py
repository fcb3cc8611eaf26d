"""Real Starlette requests without a server: an ASGI scope, and a ``receive`` that plays the client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.types import Message


@dataclass
class Client:
    """What a client sends, and how much of it was taken."""

    parts: tuple[bytes, ...] = ()
    hangs_up: bool = False
    """Goes away after the last part instead of ending the body."""
    taken: int = 0
    """Messages that the application asked for."""

    async def receive(self) -> Message:
        self.taken += 1
        if self.taken <= len(self.parts):
            last = self.taken == len(self.parts) and not self.hangs_up
            return {"type": "http.request", "body": self.parts[self.taken - 1], "more_body": not last}
        if self.hangs_up:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def request(
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    client: Client | None = None,
    query: str = "",
    **path_params: str,
) -> Request:
    """A request as the worker's inner server makes it, with the route parameters that the host found."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (headers or {}).items()
        ],
        "path_params": path_params,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    return Request(scope, (client or Client()).receive)


def body_of(response: Response) -> Any:
    return json.loads(bytes(response.body))
