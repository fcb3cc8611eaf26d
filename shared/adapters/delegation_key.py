"""The user delegation key: signs URLs in the name of the managed identity, without an account key.

https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from shared.adapters.azure_transport import answered
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from azure.storage.blob import UserDelegationKey

    from shared.ports import Clock

CLOCK_SKEW = timedelta(minutes=5)
"""The key is valid from this long ago, for a service whose clock is behind ours."""
LONGEST = timedelta(days=7)
"""No key lives longer."""


class KeySource(Protocol):
    """Hands out keys; ``azure.storage.blob.aio.BlobServiceClient`` is one."""

    def get_user_delegation_key(
        self, key_start_time: datetime, key_expiry_time: datetime
    ) -> Awaitable[UserDelegationKey]:
        """A new key for this time, at most seven days."""
        ...


@dataclass(frozen=True, slots=True)
class _HeldKey:
    key: UserDelegationKey
    expires_at: datetime


class DelegationKeys:
    """Keeps one key and fetches the next before a URL would outlive it.

    It does so ``ahead`` of time, while nobody has to wait, and the key that is held goes on serving when no
    other can be had. A key is made to live for a while longer than the URL that it was fetched for, so that
    it serves the URLs of the next hours, too, whatever their lifetime. One fetch serves every caller that
    waits for it, and goes on when the caller that started it is cancelled.
    """

    def __init__(
        self,
        source: KeySource,
        clock: Clock,
        *,
        reserve: timedelta = timedelta(hours=6),
        ahead: timedelta = timedelta(hours=1),
    ) -> None:
        self._source = source
        self._clock = clock
        self._reserve = reserve
        self._ahead = ahead
        self._held: _HeldKey | None = None
        self._fetch: asyncio.Task[_HeldKey] | None = None
        self._fetched_until = datetime.min.replace(tzinfo=UTC)
        """When the key that is being fetched will expire."""

    async def valid_until(self, expires_at: datetime) -> UserDelegationKey:
        """A key that lives until ``expires_at`` at least.

        Raises ValueError for a time that no key reaches, UnavailableError when no key can be had.
        """
        while self._held is None or self._held.expires_at < expires_at:
            await asyncio.shield(self._fetch_until(expires_at))
        left = self._held.expires_at - expires_at
        gained = self._expiry(expires_at) - self._held.expires_at
        if left < self._ahead < gained:
            self._fetch_until(expires_at)
        return self._held.key

    def _expiry(self, expires_at: datetime) -> datetime:
        """Of a key that is fetched now for a URL that lives until ``expires_at``."""
        now = self._clock.now()
        return min(max(now, expires_at) + self._reserve, now + LONGEST - CLOCK_SKEW)

    def _fetch_until(self, expires_at: datetime) -> asyncio.Task[_HeldKey]:
        """The fetch under way if it is enough, or a new one."""
        now = self._clock.now()
        if expires_at > now + LONGEST - CLOCK_SKEW:
            raise ValueError("the URL would outlive every user delegation key")
        if self._fetch is None or self._fetched_until < expires_at:
            self._fetched_until = self._expiry(expires_at)
            self._fetch = asyncio.create_task(self._fetch_key(now - CLOCK_SKEW, self._fetched_until))
            self._fetch.add_done_callback(self._fetched)
        return self._fetch

    async def _fetch_key(self, starts_at: datetime, expires_at: datetime) -> _HeldKey:
        key = await answered(
            System.BLOB,
            "Blob delegation key",
            lambda: self._source.get_user_delegation_key(starts_at, expires_at),
        )
        return _HeldKey(key, expires_at)

    def _fetched(self, fetch: asyncio.Task[_HeldKey]) -> None:
        if self._fetch is fetch:
            self._fetch = None
        if fetch.cancelled() or fetch.exception() is not None:
            return  # each of those who waited was told
        if self._held is None or self._held.expires_at < fetch.result().expires_at:
            self._held = fetch.result()
