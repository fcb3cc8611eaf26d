"""``MessageQueue`` on Azure Service Bus."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageSizeExceededError

from shared.errors import UnavailableError
from shared.telemetry.spans import SpanKind, System, dependency, failing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessageBatch
    from azure.servicebus.aio import ServiceBusSender

    from shared.ports import QueueMessage

RETRY_TOTAL = 2
RETRY_BACKOFF_FACTOR_SECONDS = 0.2
"""The first retry comes after twice this, the second after four times this."""
SOCKET_TIMEOUT_SECONDS = 10
SEND_TIMEOUT_SECONDS = 5
"""For all that one call does, the wait for its turn included. Without it, a broker that takes connections
and never answers would be waited for without end."""
CLOSE_TIMEOUT_SECONDS = 1
"""A link that broke is taken leave of politely, but not for long."""


class ServiceBusQueue:
    """One queue; keeps one sender link open and opens another when that one breaks."""

    def __init__(
        self,
        client: ServiceBusClient,
        queue: str,
        *,
        send_timeout_seconds: float = SEND_TIMEOUT_SECONDS,
    ) -> None:
        self._client = client
        self._send_timeout_seconds = send_timeout_seconds
        self._queue = queue
        self._sender: ServiceBusSender | None = None
        self._turn = asyncio.Lock()  # a sender link takes one send at a time

    @classmethod
    def connect(
        cls,
        queue: str,
        *,
        connection_string: str | None = None,
        namespace: str | None = None,
        credential: AsyncTokenCredential | None = None,
        send_timeout_seconds: float = SEND_TIMEOUT_SECONDS,
    ) -> ServiceBusQueue:
        """By connection string, or by fully qualified namespace and managed identity."""
        options: dict[str, Any] = {
            "retry_total": RETRY_TOTAL,
            "retry_backoff_factor": RETRY_BACKOFF_FACTOR_SECONDS,
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        }
        if connection_string is not None:
            client = ServiceBusClient.from_connection_string(connection_string, **options)
            return cls(client, queue, send_timeout_seconds=send_timeout_seconds)
        if namespace is None or credential is None:
            raise ValueError("a connection string, or a namespace and a credential, are needed")
        client = ServiceBusClient(namespace, credential, **options)
        return cls(client, queue, send_timeout_seconds=send_timeout_seconds)

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        """See ``MessageQueue``. A message that fits nowhere is a ValueError, and then nothing is sent."""
        with (
            dependency("Queue send", System.QUEUE, target=self._queue, kind=SpanKind.PRODUCER) as span,
            failing(span, UnavailableError),
        ):
            span.tell(messages=len(messages))
            await self._send(messages)

    async def _send(self, messages: Sequence[QueueMessage]) -> None:
        async with self._open_link() as sender:
            for batch in await _in_batches(sender, messages):
                await sender.send_messages(batch)

    async def check(self) -> None:
        """Open the sender link; raises UnavailableError when the queue does not answer."""
        async with self._open_link():
            pass

    async def close(self) -> None:
        """Release the link and the connection."""
        await self._forget_sender()
        await self._client.close()

    @asynccontextmanager
    async def _open_link(self) -> AsyncIterator[ServiceBusSender]:
        """The sender link, for one caller at a time.

        It is not used again after a failure or a cancellation: what was read or written half would be taken
        for the start of the next frame.
        """
        try:
            async with asyncio.timeout(self._send_timeout_seconds), self._turn:
                try:
                    if self._sender is None:
                        self._sender = self._client.get_queue_sender(self._queue)
                        await self._sender.__aenter__()
                    yield self._sender
                except BaseException:
                    await self._forget_sender()
                    raise
        except (AzureError, OSError) as error:  # TimeoutError is an OSError
            raise UnavailableError(
                "The notifications queue did not answer as it should; try again in a moment.",
                reason=f"Service Bus: {type(error).__name__}",
            ) from error

    async def _forget_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(AzureError, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await sender.close()


async def _in_batches(
    sender: ServiceBusSender, messages: Sequence[QueueMessage]
) -> Sequence[ServiceBusMessageBatch]:
    """All of ``messages`` in as few batches as the size limit allows."""
    batches = [await sender.create_message_batch()]
    for message in messages:
        ready = _to_sdk(message)
        try:
            batches[-1].add_message(ready)
        except MessageSizeExceededError:
            if len(batches[-1]):
                batches.append(await sender.create_message_batch())
            try:
                batches[-1].add_message(ready)
            except MessageSizeExceededError as error:
                raise ValueError(f"the message {message.message_id} is too large for the queue") from error
    return batches


def _to_sdk(message: QueueMessage) -> ServiceBusMessage:
    properties: dict[str | bytes, Any] = {name: value for name, value in message.properties.items()}  # noqa: C416 - widens the key type
    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        content_type="application/json",
        correlation_id=message.properties.get("correlation_id"),
        application_properties=properties,
        scheduled_enqueue_time_utc=message.not_before,
    )
