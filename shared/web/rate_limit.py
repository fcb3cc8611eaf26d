"""How many requests a caller may send: a token bucket for each caller, told by ``RateLimit`` header fields.

The buckets live in the process and each instance grants its own share: with n instances a caller gets up to n
times the policy. That keeps a limit from costing a storage operation for each request; it guards the service
against a caller that runs wild, and is no accounting.

Fields: draft-ietf-httpapi-ratelimit-headers-10. Its problem type ``quota-exceeded`` is not in IANA's registry
yet, so that 429 comes with a type of our own.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Clock

POLICY_NAME = "default"
MAX_CALLERS = 10_000
"""Callers whose buckets are kept; who is forgotten begins with a full one."""
_ROUNDING_SECONDS = 1e-6
"""Sums of fractions come out a little beside the whole."""


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    """``requests`` at once at most, and as many again spread over each ``window_seconds``."""

    requests: int
    window_seconds: int

    def __post_init__(self) -> None:
        if self.requests < 1 or self.window_seconds < 1:
            raise ValueError("a rate limit needs at least one request, and a window of a second or more")

    @property
    def seconds_per_request(self) -> float:
        """How long it takes until one more request is allowed."""
        return self.window_seconds / self.requests


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a caller has left, as the instant when it has everything again (the generic cell rate algorithm).

    Instants are seconds since any fixed one.
    """

    full_at_seconds: float

    def missing_seconds(self, policy: RateLimitPolicy, now_seconds: float) -> float:
        """How long it takes to fill; never more than the window, also when the clock was set back."""
        return min(max(0.0, self.full_at_seconds - now_seconds), policy.window_seconds)

    def taken(self, policy: RateLimitPolicy, now_seconds: float) -> Bucket | None:
        """The bucket with one request less; None when there is none."""
        missing_seconds = self.missing_seconds(policy, now_seconds) + policy.seconds_per_request
        if missing_seconds > policy.window_seconds + _ROUNDING_SECONDS:
            return None
        return Bucket(now_seconds + missing_seconds)

    def kept(self, policy: RateLimitPolicy, now_seconds: float) -> Bucket:
        """The same bucket, with an instant that lies within a window from now."""
        return Bucket(now_seconds + self.missing_seconds(policy, now_seconds))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller."""

    policy: RateLimitPolicy
    remaining: int
    reset_seconds: int
    """Until the allowance is whole again; with nothing remaining, until one more request is allowed."""

    @classmethod
    def of(cls, bucket: Bucket, policy: RateLimitPolicy, now_seconds: float) -> Allowance:
        """What the bucket allows."""
        missing_seconds = bucket.missing_seconds(policy, now_seconds)
        left_seconds = policy.window_seconds - missing_seconds
        remaining = math.floor((left_seconds + _ROUNDING_SECONDS) / policy.seconds_per_request)
        wait_seconds = missing_seconds if remaining else policy.seconds_per_request - left_seconds
        return cls(policy, remaining, math.ceil(wait_seconds - _ROUNDING_SECONDS))

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields that an answer carries; structured fields (RFC 9651)."""
        policy = self.policy
        return {
            "ratelimit-policy": f'"{POLICY_NAME}";q={policy.requests};w={policy.window_seconds}',
            "ratelimit": f'"{POLICY_NAME}";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimiter:
    """Counts each caller's requests."""

    def __init__(self, policy: RateLimitPolicy, clock: Clock, *, max_callers: int = MAX_CALLERS) -> None:
        self._policy = policy
        self._clock = clock
        self._began_at = clock.now()
        self._max_callers = max_callers
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        """The caller who was here last comes last."""

    def take(self, key: str) -> Allowance:
        """Count one request of the caller ``key``; returns what is left.

        Raises RateLimitedError with Retry-After and the RateLimit fields when nothing was left; a refused
        request is not counted.
        """
        now_seconds = (self._clock.now() - self._began_at).total_seconds()
        bucket = self._buckets.pop(key, Bucket(now_seconds)).kept(self._policy, now_seconds)
        taken = bucket.taken(self._policy, now_seconds)
        self._buckets[key] = taken or bucket
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        allowance = Allowance.of(taken or bucket, self._policy, now_seconds)
        if taken is None:
            raise _limited(allowance)
        return allowance


def _limited(allowance: Allowance) -> RateLimitedError:
    policy, wait_seconds = allowance.policy, max(1, allowance.reset_seconds)
    return RateLimitedError(
        f"You may send {policy.requests} requests in {policy.window_seconds} s; go on in {wait_seconds} s.",
        headers={**allowance.headers, "retry-after": str(wait_seconds)},
    )
