"""Which issuers are trusted, and how their tokens are written: rows of data, no code for any one issuer.

Entra ID's claims: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ALGORITHMS: Final = frozenset({"RS256", "PS256", "ES256"})
"""All that a row can allow: signatures by public keys. What a token says never adds to it (RFC 8725 §3.1)."""
TENANT: Final = "{tid}"
"""Where a tenant's id goes in the name of an issuer and in the address of its discovery document."""
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def is_guid(text: str) -> bool:
    """Whether ``text`` is a GUID as Entra writes them, upper and lower case being the same."""
    return _GUID.fullmatch(text.lower()) is not None


@dataclass(frozen=True, slots=True)
class TokenShape:
    """How a kind of issuer says in its access tokens who is calling and what for.

    Args:
        subject: The claim that names the caller within the tenant, or within the issuer.
        clients: Claims that can name the calling program; the first that is there counts.
        scopes: Claims that hold what a user lets the program do.
        roles: Claims that hold app roles.
        tenant: The claim that names the tenant; None where the issuer is the tenant.
        fixed: Claims that must have one certain value.
        times: Time claims that must be there. Those that are there are always judged.
        app_only: The claim and its value by which a token of an app without a user is told; None: never.
        guids: Whether tenant, subject and client are GUIDs.
        either_form: Whether ``aud`` can be a list, and scopes and roles a list or words with spaces between.
            Entra has one form for each and a token in another form is not Entra's.
        app_scopes: Whether an app-only token can carry its roles in the scope claims.
    """

    subject: str
    clients: tuple[str, ...]
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    tenant: str | None = None
    fixed: tuple[tuple[str, str], ...] = ()
    times: tuple[str, ...] = ("exp", "iat")
    app_only: tuple[str, str] | None = None
    guids: bool = False
    either_form: bool = False
    app_scopes: bool = False


ENTRA_V2: Final = TokenShape(
    tenant="tid",
    subject="oid",
    clients=("azp",),
    scopes=("scp",),
    roles=("roles",),
    fixed=(("ver", "2.0"),),
    times=("exp", "nbf", "iat"),
    app_only=("idtyp", "app"),
    guids=True,
)
ENTRA_V1: Final = TokenShape(
    tenant="tid",
    subject="oid",
    clients=("appid",),
    scopes=("scp",),
    roles=("roles",),
    fixed=(("ver", "1.0"),),
    times=("exp", "nbf", "iat"),
    app_only=("idtyp", "app"),
    guids=True,
)
OPENID_CONNECT: Final = TokenShape(
    subject="sub",
    clients=("client_id", "azp"),
    scopes=("scope", "permissions"),
    roles=("permissions", "roles"),
    either_form=True,
    app_scopes=True,
)


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One row: whose tokens are believed.

    Args:
        issuer: The ``iss`` of its tokens; ``{tid}`` stands for the tenant's id.
        audiences: The values of ``aud`` that mean this API.
        discovery_url: Its OpenID Connect discovery document; ``{tid}`` as above, or one for all tenants.
        shape: How its tokens are written.
        tenants: The tenants let in, when the issuer has any; one for single-tenant use.
        algorithms: Out of ``ALGORITHMS``.
        app_clients: Programs whose tokens with roles and without scopes count as app-only although the mark
            (``idtyp``) is missing: for an API registration that cannot ask for this optional claim.
    """

    issuer: str
    audiences: frozenset[str]
    discovery_url: str
    shape: TokenShape = ENTRA_V2
    tenants: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset({"RS256"})
    app_clients: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.issuer or not self.discovery_url:
            raise ValueError("an issuer needs its name and its discovery URL")
        if not self.audiences or not all(self.audiences):
            raise ValueError("an issuer needs audiences, none of them empty")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ValueError(f"algorithms can be {', '.join(sorted(ALGORITHMS))}")
        if self.shape.tenant is None:
            if self.tenants or TENANT in self.issuer + self.discovery_url:
                raise ValueError(f"tenants and {TENANT} are for issuers whose tokens name a tenant")
        elif TENANT not in self.issuer:
            raise ValueError(f"the issuer must contain {TENANT}, which stands for the tenant")
        elif not self.tenants or not all(map(is_guid, self.tenants)):
            raise ValueError("tenants must be listed, each by its id, a GUID")

    def resolved(self) -> Iterator[ResolvedIssuer]:
        """One for each tenant, or the only one."""
        if self.shape.tenant is None:
            yield ResolvedIssuer(self.issuer, self.issuer, self.discovery_url, self)
        for tenant in sorted(tenant.lower() for tenant in self.tenants):
            name = self.issuer.replace(TENANT, tenant)
            yield ResolvedIssuer(name, tenant, self.discovery_url.replace(TENANT, tenant), self)


@dataclass(frozen=True, slots=True)
class ResolvedIssuer:
    """A trusted issuer with its tenant filled in."""

    name: str
    """What ``iss`` must be, compared exactly."""
    tenant: str
    """The tenant's id in lower case; the issuer itself where there are no tenants."""
    discovery_url: str
    row: TrustedIssuer

    @property
    def documented_names(self) -> frozenset[str]:
        """What ``issuer`` can be in the discovery document; one for several tenants has the template."""
        if TENANT in self.row.discovery_url:
            return frozenset({self.name})
        return frozenset({self.row.issuer} | ({self.name} if len(self.row.tenants) == 1 else set()))


def single_tenant_template(issuer: str) -> tuple[str, str] | None:
    """``issuer`` with ``{tid}`` in place of the tenant's id, and that id; None when it names no tenant."""
    parts = issuer.split("/")
    for position, part in enumerate(parts):
        if _GUID.fullmatch(part):
            return "/".join([*parts[:position], TENANT, *parts[position + 1 :]]), part
    return None
