"""Links that cannot be had, and the exception of the unchanged SDK for each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.servicebus import ServiceBusClient as SynchronousClient
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)

from local.service_bus import SharedAccessKey

if TYPE_CHECKING:
    from local.service_bus import Broker


async def test_every_link_that_cannot_be_had_is_refused_with_its_reason(broker: Broker) -> None:
    """All of them at once: the SDK takes a second for each, however soon the refusal comes."""

    async def refused(link: Any, error: type[ServiceBusError], match: str | None = None) -> None:
        with pytest.raises(error, match=match):
            await link.__aenter__()

    def refused_synchronously() -> None:
        wrong = broker.connection_string.replace("SAS_KEY_VALUE", "wrong")
        with (
            SynchronousClient.from_connection_string(wrong, retry_total=0) as client,
            pytest.raises(ServiceBusAuthenticationError),
            client.get_queue_sender("refused"),
        ):
            pass

    def with_key(name: str, key: str) -> ServiceBusClient:
        credential = AzureNamedKeyCredential(name, key)
        return ServiceBusClient(f"127.0.0.1:{broker.port}", credential, retry_total=0, use_tls=False)

    right = SharedAccessKey()
    async with (
        ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0) as client,
        with_key(right.name, "wrong") as wrong_key,
        with_key("Unknown", right.value) as wrong_name,
    ):
        await asyncio.gather(
            asyncio.to_thread(refused_synchronously),
            refused(wrong_key.get_queue_sender("refused"), ServiceBusAuthenticationError),
            refused(wrong_name.get_queue_sender("refused"), ServiceBusAuthenticationError),
            # As in Azure: put-token answers 404, which this SDK reports as a failed authentication.
            refused(client.get_queue_sender("missing"), ServiceBusAuthenticationError),
            refused(client.get_subscription_receiver("news", "third"), MessagingEntityNotFoundError),
            refused(client.get_queue_receiver("sessions"), ServiceBusError, "requires sessions"),
            refused(client.get_queue_receiver("plain", session_id="a"), ServiceBusError, "has no sessions"),
        )
