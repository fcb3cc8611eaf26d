"""``MessageQueue`` on Azure Service Bus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusError

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusSender

    from shared.ports import QueueMessage

RETRY_TOTAL = 2
SOCKET_TIMEOUT_SECONDS = 10


class ServiceBusQueue:
    """One queue; keeps one sender link open and opens another when that one breaks."""

    def __init__(self, client: ServiceBusClient, queue: str) -> None:
        self._client = client
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
    ) -> ServiceBusQueue:
        """By connection string, or by fully qualified namespace and managed identity."""
        options: dict[str, Any] = {"retry_total": RETRY_TOTAL, "socket_timeout": SOCKET_TIMEOUT_SECONDS}
        if connection_string is not None:
            return cls(ServiceBusClient.from_connection_string(connection_string, **options), queue)
        if namespace is None or credential is None:
            raise ValueError("a connection string, or a namespace and a credential, are needed")
        return cls(ServiceBusClient(namespace, credential, **options), queue)

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        """See ``MessageQueue``."""
        async with self._turn:
            try:
                await self._send([_to_sdk(message) for message in messages])
            except (ServiceBusError, OSError) as error:
                await self._forget_sender()
                raise _unavailable(error) from error

    async def check(self) -> None:
        """Open the sender link; raises UnavailableError when the queue does not answer."""
        async with self._turn:
            try:
                await self._open_sender()
            except (ServiceBusError, OSError) as error:
                await self._forget_sender()
                raise _unavailable(error) from error

    async def close(self) -> None:
        """Release the link and the connection."""
        await self._forget_sender()
        await self._client.close()

    async def _open_sender(self) -> ServiceBusSender:
        if self._sender is None:
            sender = self._client.get_queue_sender(self._queue)
            await sender.__aenter__()
            self._sender = sender
        return self._sender

    async def _forget_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()

    async def _send(self, messages: Sequence[ServiceBusMessage]) -> None:
        sender = await self._open_sender()
        batch = await sender.create_message_batch()
        for message in messages:
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                if not len(batch):
                    raise
                await sender.send_messages(batch)
                batch = await sender.create_message_batch()
                batch.add_message(message)
        if len(batch):
            await sender.send_messages(batch)


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


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(
        "The notifications queue did not answer as it should; try again in a moment.",
        reason=f"Service Bus: {type(error).__name__}",
    )
