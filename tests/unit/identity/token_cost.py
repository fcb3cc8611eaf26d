"""What validating a token costs, beside PyJWT on its own: ``python -m tests.unit.identity.token_cost``.

Prints the medians in microseconds as JSON. ``benches/token.py`` runs this in a process of its own, since
nothing in ``benches`` imports the application.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING

import jwt

from tests.unit.identity.forge import AUDIENCE, ISSUER, FakeClock, jwk, token, user_claims, validator_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 60
CALLS = 50
"""In a round, of each kind; rounds alternate, so that a busy machine slows down both."""


async def measure() -> dict[str, float]:
    """The medians over all rounds, in microseconds for one token."""
    clock = FakeClock()
    clock.advance(time.time() - clock.now().timestamp())
    now_seconds = int(time.time())
    times = {"iat": now_seconds, "nbf": now_seconds, "exp": now_seconds + 3600}
    sent = token(user_claims(**times))
    validator, key = validator_of(clock=clock), jwt.PyJWK(jwk(), algorithm="RS256")

    async def validated() -> None:
        await validator.authenticate(f"Bearer {sent}")

    async def bare() -> None:
        jwt.decode(sent, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)

    kinds: dict[str, Callable[[], Awaitable[None]]] = {"validated": validated, "bare": bare}
    rounds: dict[str, list[float]] = {name: [] for name in kinds}
    for call in kinds.values():
        await call()  # fetches the key, fills caches
    for _ in range(ROUNDS):
        for name, call in kinds.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                await call()
            rounds[name].append((time.perf_counter() - started) / CALLS * 1e6)
    return {name: statistics.median(found) for name, found in rounds.items()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
