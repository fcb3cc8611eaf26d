"""``DeadLetterQueue`` on Azure Service Bus: the queue's own dead-letter sub-queue.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-dead-letter-queues
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageLockLostError

from shared.adapters.service_bus import RETRY_BACKOFF_FACTOR_SECONDS, RETRY_TOTAL, SOCKET_TIMEOUT_SECONDS
from shared.errors import UnavailableError
from shared.ports import DeadLetter
from shared.telemetry.spans import System, dependency, failing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

PEEK_TIMEOUT_SECONDS = 15
TAKE_TIMEOUT_SECONDS = 50
"""Below the queue's lock duration of a minute: what is held when the time is up can still be given back."""
RECEIVE_SECONDS = 30
"""After this long nothing more is received; the rest of the time is for settling and giving back."""
NOTHING_MORE_SECONDS = 1.0
"""So long an empty dead-letter queue is listened to; somebody else's locks are not waited for."""
BATCH_MESSAGES = 64
MAX_CONCURRENT_SETTLES = 16


class ServiceBusDeadLetters:
    """The dead letters of one queue; each call has a link of its own, so that callers do not wait in line."""

    def __init__(
        self,
        client: ServiceBusClient,
        queue: str,
        *,
        peek_timeout_seconds: float = PEEK_TIMEOUT_SECONDS,
        take_timeout_seconds: float = TAKE_TIMEOUT_SECONDS,
    ) -> None:
        self._client = client
        self._queue = queue
        self._peek_timeout_seconds = peek_timeout_seconds
        self._take_timeout_seconds = take_timeout_seconds

    @classmethod
    def connect(
        cls,
        queue: str,
        *,
        connection_string: str | None = None,
        namespace: str | None = None,
        credential: AsyncTokenCredential | None = None,
        peek_timeout_seconds: float = PEEK_TIMEOUT_SECONDS,
        take_timeout_seconds: float = TAKE_TIMEOUT_SECONDS,
    ) -> ServiceBusDeadLetters:
        """By connection string, or by fully qualified namespace and managed identity."""
        options: dict[str, Any] = {
            "retry_total": RETRY_TOTAL,
            "retry_backoff_factor": RETRY_BACKOFF_FACTOR_SECONDS,
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        }
        if connection_string is not None:
            client = ServiceBusClient.from_connection_string(connection_string, **options)
        elif namespace is not None and credential is not None:
            client = ServiceBusClient(namespace, credential, **options)
        else:
            raise ValueError("a connection string, or a namespace and a credential, are needed")
        return cls(
            client,
            queue,
            peek_timeout_seconds=peek_timeout_seconds,
            take_timeout_seconds=take_timeout_seconds,
        )

    async def peek(self, *, from_sequence_number: int = 0, limit: int) -> Sequence[DeadLetter]:
        """See ``DeadLetterQueue``; raises UnavailableError."""
        found: list[DeadLetter] = []
        async with self._open_link("Queue peek dead letters", self._peek_timeout_seconds) as receiver:
            following = from_sequence_number
            while len(found) < limit:
                # One answer may hold fewer than were asked for: it has a size limit.
                messages = await receiver.peek_messages(limit - len(found), sequence_number=following)
                if not messages:
                    break
                found += [_from_sdk(message) for message in messages]
                following = found[-1].sequence_number + 1
        return found

    async def take(self, sequence_numbers: Set[int], settle: Callable[[DeadLetter], Awaitable[bool]]) -> int:
        """See ``DeadLetterQueue``; raises UnavailableError, and what ``settle`` raises.

        Service Bus hands out messages in its own order, so those before the wanted ones are held until the
        end, then given back; a dead-letter queue has no limit on deliveries, so none is lost by that. Some
        messages of a batch are settled at the same time.
        """
        if not sequence_numbers:
            return 0
        async with self._open_link("Queue take dead letters", self._take_timeout_seconds) as receiver:
            taking = _Taking(receiver, sequence_numbers, settle)
            try:
                await taking.run(time.monotonic() + min(RECEIVE_SECONDS, self._take_timeout_seconds / 2))
            finally:
                await taking.give_back()
            return taking.removed

    async def close(self) -> None:
        """Release the connection."""
        await self._client.close()

    @asynccontextmanager
    async def _open_link(self, name: str, timeout_seconds: float) -> AsyncIterator[ServiceBusReceiver]:
        """A receiver link; closing it gives back what had arrived and was not looked at."""
        with dependency(name, System.QUEUE, target=self._queue) as span, failing(span, UnavailableError):
            async with self._receiver(timeout_seconds) as receiver:
                yield receiver

    @asynccontextmanager
    async def _receiver(self, timeout_seconds: float) -> AsyncIterator[ServiceBusReceiver]:
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._client.get_queue_receiver(
                    self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER
                ) as receiver,
            ):
                yield receiver
        except (AzureError, OSError) as error:  # TimeoutError is an OSError
            raise UnavailableError(
                "The dead letters cannot be had just now; try again in a moment.",
                reason=f"Service Bus: {type(error).__name__}",
            ) from error


class _Taking:
    """One call of ``take``."""

    def __init__(
        self,
        receiver: ServiceBusReceiver,
        wanted: Set[int],
        settle: Callable[[DeadLetter], Awaitable[bool]],
    ) -> None:
        self._receiver = receiver
        self._missing = set(wanted)
        self._settle = settle
        self._held: dict[int, ServiceBusReceivedMessage] = {}
        self._places = asyncio.Semaphore(MAX_CONCURRENT_SETTLES)
        self.removed = 0

    async def run(self, deadline: float) -> None:
        """Receive until all were met, nothing more comes, or ``deadline`` (monotonic seconds) is over."""
        while self._missing and time.monotonic() < deadline:
            batch = await self._receiver.receive_messages(BATCH_MESSAGES, max_wait_time=NOTHING_MORE_SECONDS)
            if not batch:
                return
            self._held |= {_number(message): message for message in batch}
            wanted = [message for message in batch if _number(message) in self._missing]
            self._missing -= {_number(message) for message in wanted}
            await self._settle_all(wanted)

    async def _settle_all(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Ask about all of them at once, then complete one by one; a link takes one call at a time."""
        verdicts = await asyncio.gather(*map(self._verdict, messages), return_exceptions=True)
        for message, verdict in zip(messages, verdicts, strict=True):
            if verdict is True:
                await self._complete(message)
        for verdict in verdicts:
            if isinstance(verdict, BaseException):
                raise verdict

    async def _verdict(self, message: ServiceBusReceivedMessage) -> bool:
        async with self._places:
            return await self._settle(_from_sdk(message))

    async def _complete(self, message: ServiceBusReceivedMessage) -> None:
        try:
            await self._receiver.complete_message(message)
        except MessageLockLostError:
            return  # it took too long; the message is there again, and comes again
        finally:
            self._held.pop(_number(message))
        self.removed += 1

    async def give_back(self) -> None:
        """Unlock what is held. What cannot be given back is unlocked by the end of its lock."""
        with suppress(AzureError, OSError):
            for message in self._held.values():
                await self._receiver.abandon_message(message)


def _number(message: ServiceBusReceivedMessage) -> int:
    return message.sequence_number or 0


def _from_sdk(message: ServiceBusReceivedMessage) -> DeadLetter:
    if message.enqueued_time_utc is None:
        raise UnavailableError("A dead letter has no time.", reason="Service Bus: no enqueued time")
    properties = message.application_properties or {}
    return DeadLetter(
        sequence_number=_number(message),
        message_id=str(message.message_id or ""),
        body=_body(message),
        enqueued_at=message.enqueued_time_utc.astimezone(UTC),
        reason=message.dead_letter_reason,
        properties={_text(name): _text(value) for name, value in properties.items()},
    )


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """The data sections; a body of another kind (AMQP value or sequence) is not one of ours, and is told."""
    body: Any = message.body
    if isinstance(body, bytes):
        return body
    try:
        return b"".join(body)
    except TypeError:
        return str(body).encode()


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
