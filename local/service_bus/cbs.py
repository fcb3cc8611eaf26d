"""Claims-based security: shared access signatures, checked as Azure checks them.

A client puts a token for each entity on the ``$cbs`` node before it attaches to the entity
(https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide,
"Claims-based authorization"; https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from local.service_bus.addresses import covers, entity_path
from local.service_bus.errors import ArgumentError, BrokerError, UnauthorizedError
from local.service_bus.values import Int

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.service_bus.message import Request
    from local.service_bus.server import Broker

CBS_PATH = "$cbs"
_PREFIX = "SharedAccessSignature "
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class SharedAccessKey:
    """The key that tokens are signed with; the default is the one Microsoft's emulator uses."""

    name: str = "RootManageSharedAccessKey"
    value: str = "SAS_KEY_VALUE"


@dataclass(frozen=True, slots=True)
class Grant:
    """A checked token: ``scope`` is the entity path it is for."""

    scope: str
    expires_at_ms: int


class Grants:
    """The tokens put on one connection."""

    def __init__(self) -> None:
        self._expiries_ms: dict[str, int] = {}

    def add(self, grant: Grant) -> None:
        """Keep a token; it replaces an older one of the same scope."""
        self._expiries_ms[grant.scope] = grant.expires_at_ms

    def check(self, path: str, now_ms: int) -> None:
        """Raise ``UnauthorizedError`` unless a token that is still valid covers the entity ``path``."""
        for scope, expires_at_ms in self._expiries_ms.items():
            if covers(scope, path) and expires_at_ms > now_ms:
                return
        raise UnauthorizedError(f"Unauthorized access to '{path}': no valid token was put for it.")


def check_put_token(request: Request, key: SharedAccessKey, now_ms: int) -> tuple[Grant, str]:
    """Check a put-token request; returns what it grants, and the entity path the client asked for.

    Raises:
        UnauthorizedError: the token is malformed, expired, signed with another key, or for another entity.
        ArgumentError: the request is no put-token request.
    """
    if request.properties.get("operation") != "put-token":
        raise ArgumentError("The only operation of $cbs is put-token.")
    audience = request.properties.get("name")
    if not isinstance(audience, str):
        raise ArgumentError("The put-token request names no audience.")
    if not isinstance(request.body, str):  # ``type`` says nothing: the Python SDK calls every token a jwt
        raise UnauthorizedError("MalformedToken: the token is not a string.")
    grant = verify(request.body, key, now_ms)
    path = entity_path(audience)
    if not covers(grant.scope, path):
        raise UnauthorizedError(f"InvalidAudience: the token is for '{grant.scope}', not for '{path}'.")
    return grant, path


def verify(token: str, key: SharedAccessKey, now_ms: int) -> Grant:
    """Check a shared access signature: ``SharedAccessSignature sr=..&sig=..&se=..&skn=..``.

    Raises:
        UnauthorizedError: it is malformed or expired, or not signed with ``key``.
    """
    fields = dict(part.partition("=")[::2] for part in token.removeprefix(_PREFIX).split("&"))
    if not token.startswith(_PREFIX) or not {"sr", "sig", "se", "skn"} <= fields.keys():
        raise UnauthorizedError("MalformedToken: the token is not a shared access signature.")
    # The signature is over the resource as it stands in the token, still percent-encoded.
    signed = f"{fields['sr']}\n{fields['se']}".encode()
    expected = base64.b64encode(hmac.digest(key.value.encode(), signed, hashlib.sha256))
    matches = hmac.compare_digest(unquote(fields["sig"]).encode(), expected)
    if unquote_plus(fields["skn"]) != key.name or not matches:
        raise UnauthorizedError("InvalidSignature: the token has an invalid signature.")
    if not _SECONDS.fullmatch(fields["se"]):
        raise UnauthorizedError("MalformedToken: the expiry of the token is not a number of seconds.")
    expires_at_ms = int(fields["se"]) * 1000
    if expires_at_ms <= now_ms:
        raise UnauthorizedError("ExpiredToken: the token has expired.")
    return Grant(entity_path(unquote_plus(fields["sr"])), expires_at_ms)


class CbsNode:
    """``$cbs``, as one connection sees it."""

    path = CBS_PATH

    def __init__(self, grants: Grants, broker: Broker) -> None:
        self._grants = grants
        self._broker = broker

    def answer(self, request: Request) -> tuple[Mapping[str, object], object]:
        """Keep the token of a put-token request if it is good and its entity exists."""
        try:
            grant, path = check_put_token(request, self._broker.key, self._broker.clock())
            self._broker.entities.check_known(path)
        except BrokerError as error:
            return _status(error.status, error.description), None
        self._grants.add(grant)
        return _status(202, "Accepted"), None


def _status(code: int, description: str) -> dict[str, object]:
    return {"status-code": Int(code), "status-description": description}
