"""How long to wait before a failed function is called again (``@app.retry``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.functions_host.functions import RetryPolicy


def may_retry(policy: RetryPolicy, retry_count: int) -> bool:
    """Whether another call may follow after ``retry_count`` retries."""
    return policy.max_retry_count < 0 or retry_count < policy.max_retry_count


def delay_seconds(policy: RetryPolicy, retry_count: int, jitter: float = 1.0) -> float:
    """The wait before retry number ``retry_count`` (from 1).

    Exponential: the minimum doubles with each retry, within the policy's bounds; ``jitter`` (0.8 to 1.2
    in use) spreads it.

    Source: learn.microsoft.com, "Azure Functions error handling and retries".
    """
    if policy.strategy == "fixed_delay":
        return policy.delay_seconds
    doublings = min(retry_count - 1, 32)  # beyond that the bound holds anyway
    wait = float(max(policy.minimum_seconds, 0.1) * 2**doublings * jitter)
    return min(max(wait, policy.minimum_seconds), policy.maximum_seconds or wait)
