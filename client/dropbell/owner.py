"""Whom an app acts for: the header ``Dropbell-Owner``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from dropbell.errors import InputError

OWNER_HEADER = "Dropbell-Owner"
_PART = r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+"
_OWNER = re.compile(f"({_PART})/({_PART})", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Owner:
    """Somebody by the ids that never change; the service decides who may act for them.

    Attributes:
        tenant_id: The tenant id at Entra (a GUID), the issuer elsewhere.
        object_id: The object id at Entra (a GUID), the subject (``sub``) elsewhere.
    """

    tenant_id: str
    object_id: str

    def __str__(self) -> str:
        """Write ``<tenant id>/<object id>``, each percent-encoded (RFC 3986 §2.1)."""
        return f"{quote(self.tenant_id, safe='')}/{quote(self.object_id, safe='')}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` writes; raises InputError for anything else, such as an e-mail address."""
        match = _OWNER.fullmatch(text.strip())
        tenant_id, object_id = map(unquote, match.groups()) if match else ("", "")
        if _GUID.fullmatch(tenant_id):
            tenant_id, object_id = tenant_id.lower(), object_id.lower()
        if match is None or (_GUID.fullmatch(tenant_id) and not _GUID.fullmatch(object_id)):
            raise InputError(
                f"{text!r} is not an owner; give TENANT/OBJECT, the ids that `whoami --json` shows."
            )
        return cls(tenant_id, object_id)
