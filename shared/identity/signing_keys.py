"""An issuer's public keys, fetched once for many requests and kept while the issuer cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.errors import UnavailableError
from shared.identity.trusted_issuer import TENANT
from shared.telemetry.events import Event, record
from shared.telemetry.measurements import Metric, measure

if TYPE_CHECKING:
    import jwt

    from shared.identity.trusted_issuer import ResolvedIssuer
    from shared.ports import Clock, JsonSource

MAX_KID_CHARACTERS: Final = 128
_RSA_BITS: Final = range(2048, 8192 + 1)
_ENTRA_TENANT: Final = "{tenantid}"
"""How Entra's documents for all tenants write the place of a tenant's id."""


@dataclass(frozen=True, slots=True)
class KeyCacheTimes:
    """When keys are fetched again; Microsoft advises every 24 hours, and at an unknown ``kid``."""

    refresh_after_seconds: float = 12 * 3600
    """From this age on, the next request starts a refresh but does not wait for it."""
    expire_after_seconds: float = 24 * 3600
    """From this age on, requests wait for the refresh. Once it has failed, the last good keys serve on and
    nobody waits until the issuer is back."""
    unknown_kid_cooldown_seconds: float = 30
    """Tokens with made-up key ids cause at most one fetch in this time."""
    retry_after_seconds: float = 5
    """After a failed fetch, the issuer is left alone for this long."""

    def __post_init__(self) -> None:
        if not 0 < self.refresh_after_seconds <= self.expire_after_seconds:
            raise ValueError("keys must be refreshed before they expire")
        if self.unknown_kid_cooldown_seconds < 0 or self.retry_after_seconds < 0:
            raise ValueError("cooldown and retry times cannot be negative")


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key of a key set: for each algorithm it may verify, bound to that algorithm."""

    by_algorithm: Mapping[str, jwt.PyJWK]
    issuer: str | None = None
    """Whose tokens it may sign, where the key set says so, as Entra's does."""

    def is_for(self, issuer: ResolvedIssuer) -> bool:
        """Whether it may sign tokens of ``issuer``; a key without an issuer of its own may.

        https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-signing-key-issuer
        """
        return self.issuer is None or self.issuer.replace(_ENTRA_TENANT, issuer.tenant) == issuer.name


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: Mapping[str, PublishedKey]
    fetched_at_seconds: float


class SigningKeyCaches:
    """One cache of keys for each discovery document, made when the first token needs it."""

    def __init__(self, source: JsonSource, clock: Clock, times: KeyCacheTimes | None = None) -> None:
        self._source = source
        self._clock = clock
        self._times = times
        self._caches: dict[str, SigningKeys] = {}

    def of(self, issuer: ResolvedIssuer) -> SigningKeys:
        """The keys that ``issuer`` publishes."""
        cache = self._caches.get(issuer.discovery_url)
        if cache is None:
            cache = self._caches[issuer.discovery_url] = SigningKeys(
                self._source,
                self._clock,
                issuers=issuer.documented_names,
                discovery_url=issuer.discovery_url,
                times=self._times,
            )
        return cache


class SigningKeys:
    """Finds the key that a token names.

    The key set is replaced as a whole, so a key that the issuer withdraws is gone with the next refresh. One
    fetch serves every request that waits for it, and goes on when the request that started it is cancelled.
    A fetch is the discovery document and then the keys that it leads to: neither outlives the other.
    """

    def __init__(
        self,
        source: JsonSource,
        clock: Clock,
        *,
        issuers: frozenset[str],
        discovery_url: str,
        times: KeyCacheTimes | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._issuers = issuers
        self._discovery_url = discovery_url
        self._times = times or KeyCacheTimes()
        self._key_set: _KeySet | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._failure: str | None = None
        """Why the last fetch failed; None when it did not."""
        self._not_before_seconds = float("-inf")
        self._unknown_kid_not_before_seconds = float("-inf")
        self.fetches = 0
        """How often the issuer was asked."""

    async def find(self, kid: str) -> PublishedKey | None:
        """The issuer's key with this id; None when the issuer has no such key.

        Raises UnavailableError when no keys can be had and none were ever held.
        """
        key_set = self._key_set
        if key_set is None or self._must_wait_for_refresh(key_set):
            measure(Metric.SIGNING_KEY_LOOKUPS, result="miss")
            return (await self._refreshed()).keys.get(kid)
        if self._age_seconds(key_set) >= self._times.refresh_after_seconds:
            self._start_fetch()
        key = key_set.keys.get(kid)
        measure(Metric.SIGNING_KEY_LOOKUPS, result="miss" if key is None else "hit")
        if key is None and self._may_look_again():
            key = (await self._refreshed()).keys.get(kid)
        return key

    def _must_wait_for_refresh(self, key_set: _KeySet) -> bool:
        return self._failure is None and self._age_seconds(key_set) >= self._times.expire_after_seconds

    def _may_look_again(self) -> bool:
        """Whether an unknown key id is worth a fetch; who asks during a fetch joins it."""
        if self._fetch is not None:
            return True
        now_seconds = self._now_seconds()
        if now_seconds < self._unknown_kid_not_before_seconds:
            return False
        self._unknown_kid_not_before_seconds = now_seconds + self._times.unknown_kid_cooldown_seconds
        return True

    async def _refreshed(self) -> _KeySet:
        """The key set after a fetch, or the last good one when the fetch fails or must wait."""
        fetch = self._start_fetch()
        if fetch is not None:
            await asyncio.shield(fetch)
        if self._key_set is None:
            raise UnavailableError(
                "Tokens cannot be checked at the moment; try again.",
                reason=f"signing-keys-unavailable: {self._failure}",
            )
        return self._key_set

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None when the last one failed just now."""
        if self._fetch is None and self._now_seconds() >= self._not_before_seconds:
            self._fetch = asyncio.create_task(self._fetch_key_set(), name="fetch-signing-keys")
        return self._fetch

    async def _fetch_key_set(self) -> None:
        self.fetches += 1
        try:
            keys = await self._fetch_keys()
        except UnavailableError as error:
            self._failure = error.reason or error.detail
            self._not_before_seconds = self._now_seconds() + self._times.retry_after_seconds
            if self._key_set is not None:
                record(
                    Event.SIGNING_KEYS_STALE,
                    level=logging.WARNING,
                    discovery_url=self._discovery_url,
                    age_seconds=round(self._age_seconds(self._key_set)),
                    reason=self._failure,
                )
        else:
            self._failure = None
            self._key_set = _KeySet(keys, self._now_seconds())
        finally:
            self._fetch = None

    async def _fetch_keys(self) -> Mapping[str, PublishedKey]:
        discovery = await self._source.fetch_json(self._discovery_url)
        url = key_set_url(discovery, issuers=self._issuers, discovery_url=self._discovery_url)
        keys = usable_keys(await self._source.fetch_json(url))
        if not keys:
            raise _unusable("the key set holds no usable key")
        return keys

    def _age_seconds(self, key_set: _KeySet) -> float:
        return self._now_seconds() - key_set.fetched_at_seconds

    def _now_seconds(self) -> float:
        return self._clock.now().timestamp()


def key_set_url(discovery: object, *, issuers: frozenset[str], discovery_url: str) -> str:
    """Where the discovery document says that the keys are (OpenID Connect Discovery 1.0 §3, ``jwks_uri``).

    ``issuers`` are exact, or have ``{tid}`` where one document serves all tenants; Entra says ``{tenantid}``.
    Raises UnavailableError when the document speaks for another issuer (§4.3) or leads from https to http.
    """
    if not isinstance(discovery, Mapping):
        raise _unusable("the discovery document is not an object")
    documented = discovery.get("issuer")
    if not isinstance(documented, str) or documented.replace(_ENTRA_TENANT, TENANT) not in issuers:
        raise _unusable("the discovery document speaks for another issuer")
    url = discovery.get("jwks_uri")
    scheme, _, _ = discovery_url.partition("://")
    if not isinstance(url, str) or not url.startswith(f"{scheme}://"):
        raise _unusable("the discovery document has no usable jwks_uri")
    return url


def usable_keys(document: object) -> dict[str, PublishedKey]:
    """The signature keys of a JWK set (RFC 7517 §5) by key id; what cannot be used is left out.

    Of two keys with one id the first counts.
    """
    members = document.get("keys") if isinstance(document, Mapping) else None
    keys: dict[str, PublishedKey] = {}
    for member in members if isinstance(members, list) else []:
        kid = member.get("kid") if isinstance(member, Mapping) else None
        if isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARACTERS and kid not in keys:
            key = _usable_key(member)
            if key is not None:
                keys[kid] = key
    return keys


@dataclass(frozen=True, slots=True)
class _KeyType:
    """What of a JWK is read: the public members; and what the key can verify."""

    members: tuple[str, ...]
    algorithms: tuple[str, ...]
    fixed: Mapping[str, str]


_KEY_TYPES: Final[Mapping[object, _KeyType]] = {
    "RSA": _KeyType(("n", "e"), ("RS256", "PS256"), {}),
    "EC": _KeyType(("x", "y"), ("ES256",), {"crv": "P-256"}),
}


def _usable_key(jwk: Mapping[str, object]) -> PublishedKey | None:
    import jwt

    kind, issuer = jwk.get("kty"), jwk.get("issuer")
    key_type = _KEY_TYPES.get(kind) if isinstance(kind, str) else None
    if key_type is None or not (issuer is None or isinstance(issuer, str)):
        return None
    if jwk.get("use", "sig") != "sig" or any(
        jwk.get(name) != value for name, value in key_type.fixed.items()
    ):
        return None
    algorithms = [name for name in key_type.algorithms if jwk.get("alg", name) == name]
    try:
        # Public members only, and each algorithm bound to the key: nothing else in the set has a say.
        public = {"kty": kind, **key_type.fixed, **{name: jwk[name] for name in key_type.members}}
        bound = {name: jwt.PyJWK(public, algorithm=name) for name in algorithms}
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return None
    if not bound or (kind == "RSA" and any(key.key.key_size not in _RSA_BITS for key in bound.values())):
        return None
    return PublishedKey(bound, issuer)


def _unusable(reason: str) -> UnavailableError:
    return UnavailableError("Tokens cannot be checked at the moment; try again.", reason=reason)
