from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

import pytest

from local.service_bus.cbs import Grants, SharedAccessKey, check_put_token, verify
from local.service_bus.errors import ArgumentError, UnauthorizedError
from local.service_bus.message import Request

KEY = SharedAccessKey("Root", "secret")
NOW_MS = 1_000_000


def token(
    resource: str = "sb://host:5672/Orders", *, expiry: str = "1001", key: SharedAccessKey = KEY
) -> str:
    encoded = quote(resource, safe="")
    signature = hmac.digest(key.value.encode(), f"{encoded}\n{expiry}".encode(), hashlib.sha256)
    sig = quote(base64.b64encode(signature).decode(), safe="")
    return f"SharedAccessSignature sr={encoded}&sig={sig}&se={expiry}&skn={key.name}"


def put(body: object, audience: object = "sb://host/orders") -> Request:
    return Request("id", None, {"operation": "put-token", "name": audience}, body)


def test_a_good_token_grants_its_entity_until_it_expires() -> None:
    grants = Grants()
    grants.add(verify(token(), KEY, NOW_MS))
    grants.check("orders", NOW_MS)
    grants.check("orders/$deadletterqueue", NOW_MS)
    for path, now_ms in (("orders2", NOW_MS), ("", NOW_MS), ("orders", 1_001_000)):
        with pytest.raises(UnauthorizedError):
            grants.check(path, now_ms)


def test_a_token_for_the_namespace_grants_everything_in_it() -> None:
    grants = Grants()
    grants.add(verify(token("sb://host/"), KEY, NOW_MS))
    grants.check("orders", NOW_MS)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (token(expiry="999"), "ExpiredToken"),
        (token(expiry="1000"), "ExpiredToken"),
        (token(expiry="soon"), "MalformedToken"),
        (token(expiry="9" * 5000), "MalformedToken"),
        (token(key=SharedAccessKey("Root", "other")), "InvalidSignature"),
        (token(key=SharedAccessKey("Unknown", "secret")), "InvalidSignature"),
        (token().replace("1001", "2002"), "InvalidSignature"),
        (token().replace("Orders", "Others"), "InvalidSignature"),
        (token().removeprefix("SharedAccessSignature "), "MalformedToken"),
        ("SharedAccessSignature sr=x", "MalformedToken"),
        ("", "MalformedToken"),
    ],
)
def test_a_bad_token_is_refused(bad: str, why: str) -> None:
    with pytest.raises(UnauthorizedError, match=why):
        verify(bad, KEY, NOW_MS)


def test_a_token_is_good_for_its_own_entity_only() -> None:
    assert check_put_token(put(token()), KEY, NOW_MS)[1] == "orders"
    with pytest.raises(UnauthorizedError, match="InvalidAudience"):
        check_put_token(put(token(), "sb://host/invoices"), KEY, NOW_MS)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (put(b"bytes"), UnauthorizedError),
        (put(token(), None), ArgumentError),
        (Request("id", None, {"operation": "delete-token"}, token()), ArgumentError),
    ],
)
def test_a_malformed_request_is_refused(request_: Request, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_put_token(request_, KEY, NOW_MS)
