"""Whose data a request is about: the caller's own, or that of an owner whom an app names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from shared.errors import InvalidRequestError, PermissionDeniedError
from shared.identity.principal import Principal, PrincipalKind
from shared.identity.trusted_issuer import is_guid

OWNER_HEADER: Final = "dropbell-owner"
_PARTITION_HEX_DIGITS: Final = 32
_MAX_CHARACTERS: Final = 1024
_PART: Final = r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+"
_OWNER = re.compile(f"({_PART})/({_PART})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Owner:
    """A tenant and somebody in it: ``tid`` and ``oid`` at Entra, the issuer and ``sub`` elsewhere."""

    tenant_id: str
    object_id: str

    def __str__(self) -> str:
        """``<tenant id>/<object id>``, percent-encoded (RFC 3986 §2.1), so that no two owners look alike."""
        return f"{quote(self.tenant_id, safe='')}/{quote(self.object_id, safe='')}"

    @property
    def partition(self) -> str:
        """The name of the owner's partition: 32 hex digits that are stable and reveal nobody.

        Table partitions and blob names carry it, so the way it is made must never change.
        """
        return hashlib.sha256(str(self).encode("ascii")).hexdigest()[:_PARTITION_HEX_DIGITS]

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The reverse of ``str``; raises InvalidRequestError (``invalid-owner``) for anything else."""
        match = _OWNER.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
        if match is None:
            raise _invalid()
        try:
            tenant_id, object_id = (unquote(part, errors="strict") for part in match.groups())
        except UnicodeDecodeError:
            raise _invalid() from None
        if not is_guid(tenant_id):
            return cls(tenant_id, object_id)
        if not is_guid(object_id):
            raise _invalid()
        return cls(tenant_id.lower(), object_id.lower())


def tenant_partition(tenant_id: str) -> str:
    """The name of the partition of a whole tenant: 32 hex digits, no owner's, made by the same rules.

    The colon keeps it apart: in an owner's text it is always percent-encoded.
    """
    text = f"tenant:{quote(tenant_id, safe='')}"
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_PARTITION_HEX_DIGITS]


def acting_owner(caller: Principal, header: str | None) -> Owner:
    """Whose data ``caller`` works on; ``header`` is the Dropbell-Owner field of the request.

    The caller's permission was checked before; an app has it by an app role for everybody's data (``.All``).

    Raises:
        InvalidRequestError: The field is not an owner.
        PermissionDeniedError: A user names somebody else, or an app somebody of another tenant.
    """
    own = Owner(caller.tenant_id, caller.object_id)
    if header is None:
        return own
    named = Owner.parse(header.strip(" \t"))
    if named == own:
        return own
    if caller.kind is not PrincipalKind.APP:
        raise _denied("Only an application can act for an owner it names; leave Dropbell-Owner out.", "user")
    if named.tenant_id != own.tenant_id:
        raise _denied("An application can act for owners of its own tenant only.", "other-tenant")
    return named


def _invalid() -> InvalidRequestError:
    return InvalidRequestError(
        "Dropbell-Owner must be <tenant id>/<object id>.", code="invalid-owner", reason="owner"
    )


def _denied(detail: str, reason: str) -> PermissionDeniedError:
    return PermissionDeniedError(detail, code="owner-not-allowed", reason=f"owner-not-allowed:{reason}")
