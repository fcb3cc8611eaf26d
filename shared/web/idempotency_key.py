"""The field Idempotency-Key (draft-ietf-httpapi-idempotency-key-header §2.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import http_sf

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from starlette.datastructures import Headers

FIELD = "idempotency-key"
_KEY = re.compile(r"[!-~]{1,255}")


def idempotency_key(headers: Headers) -> str | None:
    """The key; None when there is none. Raises InvalidRequestError (``invalid-idempotency-key``).

    The draft asks for a structured string (RFC 9651 §3.3.3), quotes around it; most clients send the bare
    characters. Both mean the same key.
    """
    values = headers.getlist(FIELD)
    if not values:
        return None
    if len(values) > 1:
        raise _invalid()
    value = values[0].strip()
    key = _structured(value) if value.startswith('"') else value
    if _KEY.fullmatch(key) is None:
        raise _invalid()
    return key


def _structured(value: str) -> str:
    try:
        item = http_sf.parse(value.encode("latin-1"), tltype="item")
    except ValueError:
        raise _invalid() from None
    content = item[0] if isinstance(item, tuple) else None
    if not isinstance(content, str):
        raise _invalid()
    return content


def _invalid() -> InvalidRequestError:
    return InvalidRequestError(
        "Idempotency-Key must be one key of 1 to 255 visible ASCII characters, such as a UUID.",
        code="invalid-idempotency-key",
    )
