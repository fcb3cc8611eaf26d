"""When to try again, and how long to wait before: a table of delays, and the service's ``Retry-After``."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from dropbell.errors import ConnectionFailedError, DropbellError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")
DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""About a minute in all: a service that is being deployed is back by then."""
LONGEST_RETRY_AFTER_SECONDS = 120.0
"""A service that asks for more than this is not waited for; the caller decides."""
TEMPORARY_STATUSES = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True)
class Backoff:
    """How patient a caller is.

    Attributes:
        delays_seconds: The wait before each further attempt; their number is that of the further attempts.
        pause: Waits so many seconds.
        tell: Takes a sentence for a person about each wait.
    """

    delays_seconds: tuple[float, ...] = DELAYS_SECONDS
    pause: Callable[[float], object] = field(default=time.sleep, repr=False)
    tell: Callable[[str], object] | None = field(default=None, repr=False)


class Attempts:
    """Counts the attempts of one operation that brought nothing forward."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0

    @property
    def is_first(self) -> bool:
        """Whether nothing has failed since the last progress."""
        return self._failures == 0

    def progressed(self) -> None:
        """Something was achieved: the next failure is the first again."""
        self._failures = 0

    def wait_after(self, error: DropbellError) -> None:
        """Wait before the next attempt; raises ``error`` when there is to be none."""
        delays = self._backoff.delays_seconds
        asked_seconds = error.retry_after_seconds if isinstance(error, ProblemError) else None
        if self._failures >= len(delays) or (asked_seconds or 0) > LONGEST_RETRY_AFTER_SECONDS:
            raise error
        delay_seconds = delays[self._failures]
        # Many clients cut off at the same moment must not come back at the same moment.
        delay_seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        delay_seconds = max(delay_seconds, asked_seconds or 0)
        self._failures += 1
        if self._backoff.tell is not None:
            self._backoff.tell(f"{error} Trying again in {delay_seconds:.1f} s.")
        self._backoff.pause(delay_seconds)


def persistently(backoff: Backoff, act: Callable[[], _Result]) -> _Result:  # noqa: UP047 - Python 3.11
    """Do what can be done several times, until it succeeds or fails for good.

    Raises:
        DropbellError: As ``act`` does, when another attempt makes no sense or the patience is at its end.
    """
    attempts = Attempts(backoff)
    while True:
        try:
            return act()
        except DropbellError as error:
            if not is_temporary(error) or (attempts.is_first and never_reached(error)):
                raise
            attempts.wait_after(error)


def never_reached(error: DropbellError) -> bool:
    """Say whether nobody was there: at the very first most likely a wrong address, better told at once."""
    return isinstance(error, ConnectionFailedError) and not error.connected


def is_temporary(error: DropbellError) -> bool:
    """Say whether the same request can succeed a little later."""
    if isinstance(error, ProblemError):
        return error.status in TEMPORARY_STATUSES
    return isinstance(error, ConnectionFailedError)
