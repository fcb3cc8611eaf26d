"""The issuer's public keys, fetched once for many requests and kept while the issuer cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.errors import UnavailableError

if TYPE_CHECKING:
    import jwt

    from shared.ports import Clock, JsonSource

MAX_KID_CHARACTERS: Final = 128
_RSA_BITS: Final = range(2048, 8192 + 1)
_log = logging.getLogger(__name__)


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
class _KeySet:
    keys: Mapping[str, jwt.PyJWK]
    fetched_at_seconds: float


class SigningKeys:
    """Finds the key that a token names.

    The key set is replaced as a whole, so a key that the issuer withdraws is gone with the next refresh. One
    fetch serves every request that waits for it, and goes on when the request that started it is cancelled.
    """

    def __init__(
        self,
        source: JsonSource,
        clock: Clock,
        *,
        issuer: str,
        discovery_url: str,
        times: KeyCacheTimes | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._issuer = issuer
        self._discovery_url = discovery_url
        self._times = times or KeyCacheTimes()
        self._key_set: _KeySet | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._failing = False
        self._not_before_seconds = float("-inf")
        self._unknown_kid_not_before_seconds = float("-inf")

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The issuer's key with this id; None when the issuer has no such key.

        Raises UnavailableError when no keys can be had and none were ever held.
        """
        key_set = self._key_set
        if key_set is None or self._must_wait_for_refresh(key_set):
            return (await self._refreshed()).keys.get(kid)
        if self._age_seconds(key_set) >= self._times.refresh_after_seconds:
            self._start_fetch()
        key = key_set.keys.get(kid)
        if key is None and self._may_look_again():
            key = (await self._refreshed()).keys.get(kid)
        return key

    def _must_wait_for_refresh(self, key_set: _KeySet) -> bool:
        return not self._failing and self._age_seconds(key_set) >= self._times.expire_after_seconds

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
                "Tokens cannot be checked at the moment; try again.", reason="signing-keys-unavailable"
            )
        return self._key_set

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None when the last one failed just now."""
        if self._fetch is None and self._now_seconds() >= self._not_before_seconds:
            self._fetch = asyncio.create_task(self._fetch_key_set(), name="fetch-signing-keys")
        return self._fetch

    async def _fetch_key_set(self) -> None:
        try:
            keys = await self._fetch_keys()
        except UnavailableError as error:
            self._failing = True
            self._not_before_seconds = self._now_seconds() + self._times.retry_after_seconds
            _log.warning("signing keys were not refreshed: %s", error.reason or error.detail)
        else:
            self._failing = False
            self._key_set = _KeySet(keys, self._now_seconds())
        finally:
            self._fetch = None

    async def _fetch_keys(self) -> Mapping[str, jwt.PyJWK]:
        discovery = await self._source.fetch_json(self._discovery_url)
        url = key_set_url(discovery, issuer=self._issuer, discovery_url=self._discovery_url)
        keys = usable_keys(await self._source.fetch_json(url))
        if not keys:
            raise _unusable("the key set holds no usable key")
        return keys

    def _age_seconds(self, key_set: _KeySet) -> float:
        return self._now_seconds() - key_set.fetched_at_seconds

    def _now_seconds(self) -> float:
        return self._clock.now().timestamp()


def key_set_url(discovery: object, *, issuer: str, discovery_url: str) -> str:
    """Where the discovery document says that the keys are (OpenID Connect Discovery 1.0 §3, ``jwks_uri``).

    Raises UnavailableError when the document speaks for another issuer (§4.3) or leads from https to http.
    """
    if not isinstance(discovery, Mapping):
        raise _unusable("the discovery document is not an object")
    if discovery.get("issuer") != issuer:
        raise _unusable("the discovery document speaks for another issuer")
    url = discovery.get("jwks_uri")
    scheme, _, _ = discovery_url.partition("://")
    if not isinstance(url, str) or not url.startswith(f"{scheme}://"):
        raise _unusable("the discovery document has no usable jwks_uri")
    return url


def usable_keys(document: object) -> dict[str, jwt.PyJWK]:
    """The RSA signature keys of a JWK set (RFC 7517 §5) by key id; what cannot be used is left out."""
    members = document.get("keys") if isinstance(document, Mapping) else None
    keys: dict[str, jwt.PyJWK] = {}
    for member in members if isinstance(members, list) else []:
        key = _usable_key(member)
        if key is not None and key.key_id is not None:
            keys.setdefault(key.key_id, key)
    return keys


def _usable_key(member: object) -> jwt.PyJWK | None:
    import jwt

    if not isinstance(member, Mapping) or member.get("kty") != "RSA":
        return None
    if member.get("use", "sig") != "sig" or member.get("alg", "RS256") != "RS256":
        return None
    kid = member.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        return None
    try:
        # Public members only, and the algorithm bound to the key: nothing else in the set has a say.
        key = jwt.PyJWK({"kty": "RSA", "kid": kid, "n": member["n"], "e": member["e"]}, algorithm="RS256")
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return None
    return key if key.key.key_size in _RSA_BITS else None


def _unusable(reason: str) -> UnavailableError:
    return UnavailableError("Tokens cannot be checked at the moment; try again.", reason=reason)
