"""Bearer tokens: from an Authorization header to a principal.

Order matters. Before the signature is verified, a token can only be refused, and its ``iss`` can only pick
among the issuers that are configured. Of its header, ``alg`` must be on the list of that issuer and ``kid``
picks among that issuer's keys; ``jku``, ``jwk``, ``x5u`` and ``x5c``, by which a token would bring its own
key, are never read (RFC 8725 §3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared.identity.challenge import token_refused
from shared.identity.claims import check_authentication_context, is_for_graph, principal_from_claims
from shared.identity.compact_token import UnverifiedToken, bearer_token

if TYPE_CHECKING:
    from shared.identity.principal import Principal
    from shared.identity.signing_keys import SigningKeyCaches
    from shared.identity.trusted_issuer import ResolvedIssuer, TrustedIssuer
    from shared.ports import Clock

MAX_LEEWAY_SECONDS: Final = 300
"""Most that clocks may be apart (Entra's own validation libraries allow five minutes)."""


@dataclass(frozen=True)
class TokenPolicy:
    """Which tokens are believed.

    Args:
        issuers: Whose tokens.
        leeway_seconds: How far an issuer's clock and ours may be apart, at most 300.
        max_token_bytes: Longer tokens are refused unread.
        required_acrs: The authentication context that users must have signed in with, if any.
    """

    issuers: tuple[TrustedIssuer, ...]
    leeway_seconds: int = 60
    max_token_bytes: int = 16_384
    required_acrs: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.leeway_seconds <= MAX_LEEWAY_SECONDS:
            raise ValueError(f"leeway_seconds must lie between 0 and {MAX_LEEWAY_SECONDS}")
        if self.max_token_bytes <= 0:
            raise ValueError("max_token_bytes must be positive")
        resolved = [issuer for row in self.issuers for issuer in row.resolved()]
        if not resolved:
            raise ValueError("a token policy needs an issuer")
        if len({issuer.name for issuer in resolved}) != len(resolved):
            raise ValueError("two rows trust the same issuer")
        documents = {(issuer.discovery_url, issuer.documented_names) for issuer in resolved}
        if len({url for url, _ in documents}) != len(documents):
            raise ValueError("two issuers cannot share a discovery document")

    @cached_property
    def by_name(self) -> dict[str, ResolvedIssuer]:
        """The issuers, each tenant's by its own ``iss``."""
        return {issuer.name: issuer for row in self.issuers for issuer in row.resolved()}


class TokenValidator:
    """Tells who is calling, or refuses."""

    def __init__(self, policy: TokenPolicy, keys: SigningKeyCaches, clock: Clock) -> None:
        self._policy = policy
        self._keys = keys
        self._clock = clock

    async def authenticate(self, authorization_header: str | None) -> Principal:
        """The principal that the bearer token in ``authorization_header`` proves.

        Raises:
            UnauthenticatedError: No token (``token-missing``), one that has expired (``token-expired``), one
                that proves nothing (``token-invalid``) or too little (``claims-missing``). ``reason`` holds
                the exact cause, for telemetry.
            PermissionDeniedError: The user must sign in more strongly, and the client cannot be told how.
            UnavailableError: The issuer's keys could not be fetched and none were ever held.
        """
        unverified = UnverifiedToken.parse(bearer_token(authorization_header, self._policy.max_token_bytes))
        algorithm, key_id = unverified.algorithm, unverified.key_id
        unverified.check_header()
        issuer = self._issuer_of(unverified)
        if algorithm not in issuer.row.algorithms:
            raise token_refused("The token is signed in a way its issuer may not use.", reason="algorithm")
        published = await self._keys.of(issuer).find(key_id)
        if published is None:
            raise token_refused("The token is signed by a key that is not known.", reason="unknown-key")
        key = published.by_algorithm.get(algorithm)
        if key is None:
            raise token_refused("The token's key is for another algorithm.", reason="key-algorithm")
        if not published.is_for(issuer):
            raise token_refused("The token's key belongs to another issuer.", reason="key-issuer")
        claims = unverified.verified_claims(key)
        principal = principal_from_claims(
            claims, issuer, self._clock.now(), leeway_seconds=self._policy.leeway_seconds
        )
        if self._policy.required_acrs is not None:
            check_authentication_context(claims, principal, self._policy.required_acrs)
        return principal

    def _issuer_of(self, unverified: UnverifiedToken) -> ResolvedIssuer:
        """The configured issuer that the token says it is from."""
        if is_for_graph(unverified.header, unverified.claims):
            raise token_refused(
                "This is a token for Microsoft Graph, which only Graph can check; "
                "ask for a token with a scope of this API.",
                reason="graph",
            )
        name = unverified.claims.get("iss")
        issuer = self._policy.by_name.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise token_refused("The token comes from an issuer that is not trusted here.", reason="issuer")
        return issuer
