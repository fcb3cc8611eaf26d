"""Whether a service works: one file in, announced, told of, and gone again."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dropbell import files, subscriptions
from dropbell.errors import (
    ConnectionFailedError,
    DropbellError,
    NotWorkingError,
    ProblemError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dropbell.connection import Connection
    from dropbell.subscriptions import Subscription

FILE_NAME = "dropbell-smoke-test.txt"
CONTENT = b"A smoke test of Dropbell. It deletes this file.\n"
PAUSE_SECONDS = 1.0
RELEASE_SEEN_TIMES = 5
"""In a row: while a release rolls out, old and new instances answer in turn."""


@dataclass(frozen=True)
class Step:
    """Something that works.

    Attributes:
        name: ``healthy``, ``subscribed``, ``stored``, ``announced`` or ``delivered``.
        detail: A sentence for a person.
        seconds: Since the test began.
    """

    name: str
    detail: str
    seconds: float


class Patience:
    """How long to wait for all of it together."""

    def __init__(
        self,
        timeout_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._began = clock()
        self._timeout_seconds = timeout_seconds

    @property
    def seconds(self) -> float:
        """Since it began."""
        return round(self._clock() - self._began, 1)

    def wait(self, missing: str) -> None:
        """Wait a moment; raises NotWorkingError, which says what is ``missing``, when time is up."""
        if self._clock() - self._began >= self._timeout_seconds:
            raise NotWorkingError(f"{missing} within {self._timeout_seconds:g} s.")
        self._pause(PAUSE_SECONDS)


def smoke(
    connection: Connection,
    patience: Patience,
    *,
    target: str | None = None,
    channel: str = "webhook",
    release: str | None = None,
) -> Iterator[Step]:
    """Go through the main job once, and clean up whatever happens.

    Args:
        connection: The service; its caller may write files, and with a target manage subscriptions.
        patience: How long to wait.
        target: Who is to be told; None to be content with the announcement.
        channel: What the target is: ``webhook`` or ``chat``.
        release: The commit (or its beginning) that the service must say it is made of.

    Raises:
        NotWorkingError: A step did not happen.
        DropbellError: As ``Connection.request`` does.
    """
    yield Step("healthy", _healthy(connection, patience, release), patience.seconds)
    with ExitStack() as cleaning_up:
        told = None
        if target is not None:
            told = subscriptions.subscribe(connection, channel, target, ["file.stored"])
            cleaning_up.push(_afterwards(partial(subscriptions.unsubscribe, connection, told.id)))
            if told.status != "active":
                raise NotWorkingError(f"The target did not prove itself: the subscription is {told.status}.")
            yield Step("subscribed", f"{channel} subscription {told.id}", patience.seconds)
        stored = files.upload(connection, io.BytesIO(CONTENT), FILE_NAME, "text/plain")
        cleaning_up.push(_afterwards(partial(files.delete, connection, stored.id, purge=True)))
        yield Step("stored", f"file {stored.id}", patience.seconds)
        while (status := files.show(connection, stored.id).status) == "stored":
            patience.wait("The file was stored, but its event did not set the announcement going")
        yield Step("announced", f"the file is {status}", patience.seconds)
        if told is not None:
            yield Step("delivered", _delivered(connection, stored.id, told, patience), patience.seconds)


def _afterwards(clean: Callable[[], None]) -> Callable[..., None]:
    """Clean at the end of a context; what failed in there is told before a failure to clean."""

    def leave(_kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            clean()
        except DropbellError:
            if error is None:
                raise

    return leave


def _healthy(connection: Connection, patience: Patience, release: str | None) -> str:
    seen = 0
    while True:
        try:
            at_work = connection.health().optional_text("release")
        except (ConnectionFailedError, ProblemError, UnexpectedAnswerError) as error:
            seen, missing = 0, f"The service is not healthy ({error})"
        else:
            if release is None:
                return f"release {at_work or 'unknown'}"
            seen = seen + 1 if at_work is not None and at_work.startswith(release) else 0
            if seen == RELEASE_SEEN_TIMES:
                return f"release {at_work}"
            missing = f"Release {release} was not at work (but {at_work or 'one that says no name'})"
        patience.wait(missing)


def _delivered(connection: Connection, file_id: str, told: Subscription, patience: Patience) -> str:
    while True:
        ours = [each for each in files.deliveries(connection, file_id) if each.subscription_id == told.id]
        status = ours[0].status if ours else "not there"
        last = ours[0].attempts[-1] if ours and ours[0].attempts else None
        if status == "delivered":
            return f"delivery {ours[0].id}, attempt {last.number if last else '?'}"
        if status in {"dead", "suppressed"}:
            raise NotWorkingError(f"The delivery is {status}: {ours[0].reason or 'no reason given'}.")
        patience.wait(
            f"The delivery was {status}{f', {last.detail}' if last else ''} and did not get through"
        )
