"""How the inbox answers next: normally, or as badly as a test asks for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.inbox.messages import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

OK_STATUS = {Channel.WEBHOOK: 200, Channel.EMAIL: 250}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: HTTP status or SMTP reply code, after a delay."""

    status: int
    delay_seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The answer to the next ``count`` messages of a channel; None means until it is changed.

    ``path`` narrows it to one webhook path; None stands for all.
    """

    channel: Channel
    answer: Answer
    count: int | None = None
    path: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the behaviour in the shape in which it is set."""
        return {
            "channel": self.channel,
            "path": self.path,
            "status": self.answer.status,
            "delay_seconds": self.answer.delay_seconds,
            "headers": dict(self.answer.headers),
            "count": self.count,
        }


class BehaviourBook:
    """The behaviours in force: at most one for a channel and one for each path."""

    def __init__(self) -> None:
        self._book: dict[tuple[Channel, str | None], Behaviour] = {}

    def set(self, behaviour: Behaviour) -> None:
        """Put ``behaviour`` in place of what held for the same channel and path."""
        key = (behaviour.channel, behaviour.path)
        if behaviour.count == 0:
            self._book.pop(key, None)
        else:
            self._book[key] = behaviour

    def reset(self) -> None:
        """Answer everything normally again."""
        self._book.clear()

    def next_answer(self, channel: Channel, path: str | None = None) -> Answer:
        """Return the answer to the message that just came, and count it. A path's behaviour goes first."""
        for key in ((channel, path), (channel, None)):
            behaviour = self._book.get(key)
            if behaviour is None:
                continue
            if behaviour.count is not None:
                self.set(dataclasses.replace(behaviour, count=behaviour.count - 1))
            return behaviour.answer
        return Answer(OK_STATUS[channel])

    def to_json(self) -> list[dict[str, object]]:
        """Return all behaviours in force."""
        return [behaviour.to_json() for behaviour in self._book.values()]
