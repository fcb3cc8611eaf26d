"""How the next batches are answered: normally, or as badly as a test asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from local.http_part import RequestBody

MAX_DELAY_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to a batch: kept and answered normally, refused by a status, answered late, or never."""

    status: int | None = None
    """None: whatever is right for the batch. From 400 on, the batch is not kept."""
    delay_seconds: float = 0.0
    hangs: bool = False
    """Take the request and never answer; the batch is not kept."""
    retry_after_seconds: int | None = None


class BehaviourRequest(RequestBody):
    """``POST /behaviour``; ``count`` null or absent means until changed."""

    reset: bool = False
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] = 0.0
    hang: bool = False
    retry_after_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    count: Annotated[int, Field(ge=0)] | None = None

    def behaviour(self) -> Behaviour:
        """Return what was asked for."""
        return Behaviour(self.status, self.delay_seconds, self.hang, self.retry_after_seconds)


NORMAL = Behaviour()


@dataclass(slots=True)
class BehaviourBook:
    """The behaviour in force, and for how many batches more; None: until it is changed."""

    behaviour: Behaviour = NORMAL
    count: int | None = None
    taken: int = 0
    """How many batches came, whatever became of them."""

    def set(self, asked: BehaviourRequest) -> None:
        """Put what was asked for in place of what held."""
        is_over = asked.reset or asked.count == 0
        self.behaviour = NORMAL if is_over else asked.behaviour()
        self.count = None if is_over else asked.count

    def next(self) -> Behaviour:
        """Return the behaviour towards the batch that just came, and count it."""
        found = self.behaviour
        self.taken += 1
        if self.count is not None:
            self.count -= 1
            if self.count == 0:
                self.behaviour, self.count = NORMAL, None
        return found

    def to_json(self) -> dict[str, object]:
        """The behaviour in force, in the shape in which it is set."""
        told = self.behaviour
        return {
            "status": told.status,
            "delay_seconds": told.delay_seconds,
            "hang": told.hangs,
            "retry_after_seconds": told.retry_after_seconds,
            "count": self.count,
            "requests": self.taken,
        }
