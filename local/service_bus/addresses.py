"""Addresses of entities, as links and tokens name them."""

from __future__ import annotations

from urllib.parse import urlsplit

MANAGEMENT_SUFFIX = "/$management"


def entity_path(address: str) -> str:
    """The path of an address in lower case: ``amqps://host:5672/Orders/`` and ``orders`` name one entity."""
    path = urlsplit(address).path if "://" in address else address
    return path.strip("/").lower()


def covers(scope: str, path: str) -> bool:
    """Whether a token for the path ``scope`` is good for ``path``; the empty scope is the whole namespace."""
    return scope in ("", path) or path.startswith(scope + "/")
