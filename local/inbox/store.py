"""The messages that arrived and the secrets that are known: bounded, searchable, waitable."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.inbox.archive import Archive, Emptied, MessageArrived, SecretLearned
from local.inbox.messages import Channel, Message, Webhook
from local.inbox.signatures import EVERY_PATH, check_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

MAX_MESSAGES = 1000
MAX_TOTAL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages are wanted; None means any."""

    channel: Channel | None = None
    path: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def matches(self, message: Message) -> bool:
        """Tell whether ``message`` is wanted, ``limit`` aside. ``since`` is inclusive."""
        return (
            (self.channel is None or message.channel is self.channel)
            and (self.path is None or (isinstance(message, Webhook) and message.path == self.path))
            and (self.since is None or message.received_at >= self.since)
        )


class MessageStore:
    """Keeps the newest messages, at most ``max_messages`` of them and ``max_total_bytes`` of bodies."""

    def __init__(
        self,
        archive: Archive | None = None,
        *,
        max_messages: int = MAX_MESSAGES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
    ) -> None:
        self._archive = archive
        self._messages: deque[Message] = deque()
        self._max_messages = max_messages
        self._max_total_bytes = max_total_bytes
        self._total_bytes = 0
        self._secrets: dict[str, list[str]] = {}
        self._arrived = asyncio.Event()
        self.revision = 0
        """Grows with every change."""
        if archive is not None:
            self._restore(archive)

    def __iter__(self) -> Iterator[Message]:
        """Iterate oldest first."""
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message) -> Message:
        """Check the signature, keep the message, forget the oldest beyond the bounds, wake who waits."""
        message = self._checked(message)
        self._keep(message)
        if self._archive is not None:
            self._archive.append(MessageArrived(message))
        self._changed()
        return message

    def _keep(self, message: Message) -> None:
        self._messages.append(message)
        self._total_bytes += message.size_bytes
        while len(self._messages) > self._max_messages or (
            self._total_bytes > self._max_total_bytes and len(self._messages) > 1
        ):
            self._total_bytes -= self._messages.popleft().size_bytes

    def add_secret(self, path: str, secret: str) -> None:
        """Learn a secret and look again at what had not verified."""
        known = self._secrets.setdefault(path, [])
        if secret in known:
            return
        known.append(secret)
        if self._archive is not None:
            self._archive.append(SecretLearned(path, secret))
        self._messages = deque(map(self._checked, self._messages))
        self._changed()

    def find(self, query: Query) -> list[Message]:
        """Return what matches, oldest first, the first ``limit`` of it."""
        return list(itertools.islice(filter(query.matches, self._messages), query.limit))

    async def wait_for(self, query: Query, count: int, timeout_seconds: float) -> list[Message]:
        """Return what matches as soon as there are ``count`` of it, or what there is at the time limit."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while len(found := self.find(query)) < count:
                    await self._arrived.wait()
        except TimeoutError:
            return self.find(query)
        return found

    def clear(self) -> None:
        """Forget all messages; secrets stay known."""
        self._messages.clear()
        self._total_bytes = 0
        if self._archive is not None:
            self._archive.append(Emptied())
        self._changed()

    def _restore(self, archive: Archive) -> None:
        for entry in archive.load():
            match entry:
                case SecretLearned(path, secret):
                    self._secrets.setdefault(path, []).append(secret)
                case MessageArrived(message):
                    self._keep(message)
                case Emptied():
                    self._messages.clear()
                    self._total_bytes = 0
        self._messages = deque(map(self._checked, self._messages))
        secrets = (SecretLearned(path, secret) for path, known in self._secrets.items() for secret in known)
        archive.rewrite([*secrets, *map(MessageArrived, self._messages)])

    def _checked(self, message: Message) -> Message:
        if not isinstance(message, Webhook) or message.signature.verified:
            return message
        secrets = [*self._secrets.get(message.path, ()), *self._secrets.get(EVERY_PATH, ())]
        check = check_signature(secrets, message.headers, message.body, message.received_at)
        return dataclasses.replace(message, signature=check)

    def _changed(self) -> None:
        self.revision += 1
        # Who waits now is woken; who comes later waits for the next change.
        self._arrived.set()
        self._arrived = asyncio.Event()
