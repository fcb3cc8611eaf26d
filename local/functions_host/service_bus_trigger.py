"""Service Bus functions: peek-lock, one run per message or batch, complete or abandon.

Source: learn.microsoft.com, "Azure Service Bus trigger for Azure Functions" (PeekLock behaviour, host.json).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.functions_host import service_bus_data
from local.functions_host.functions import FunctionDefinition, FunctionError
from local.functions_host.invocation import Invocation
from local.functions_host.settings import SettingsError, connection_string, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient, ServiceBusReceiver

    from local.functions_host.host_json import ServiceBusOptions
    from local.functions_host.invocation import Invoker, Outcome

DEFAULT_CONNECTION = "AzureWebJobsServiceBus"
RECONNECT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to reach the broker; the last one repeats."""
POLL_SECONDS = 0.5
"""How long one receive call waits for a message; also how long a stop may have to wait."""

logger = logging.getLogger(__name__)


class ServiceBusTrigger:
    """Listens to one queue (or subscription) for one function."""

    def __init__(
        self,
        definition: FunctionDefinition,
        invoker: Invoker,
        options: ServiceBusOptions,
        environment: Mapping[str, str],
    ) -> None:
        """Prepare to listen.

        Raises:
            FunctionError: the queue or the connection cannot be used.
        """
        trigger = definition.trigger
        self._definition = definition
        self._invoker = invoker
        self._options = options
        self._data_type = trigger.text("dataType")
        self._takes_many = trigger.text("cardinality").lower() == "many"
        self._has_sessions = trigger.settings.get("isSessionsEnabled") is True
        self._completes = bool(trigger.settings.get("autoCompleteMessages", options.auto_complete_messages))
        try:
            self._connection = connection_string(
                trigger.text("connection") or DEFAULT_CONNECTION, environment
            )
            self._queue = resolve(trigger.text("queueName"), environment)
            self._topic = resolve(trigger.text("topicName"), environment)
            self._subscription = resolve(trigger.text("subscriptionName"), environment)
        except SettingsError as error:
            raise FunctionError(f"Function '{definition.name}': {error}") from error
        if not self._queue and not (self._topic and self._subscription):
            raise FunctionError(f"Function '{definition.name}': the Service Bus trigger names no queue.")
        self._outage = _Outage(self._entity)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def _entity(self) -> str:
        return self._queue or f"{self._topic}/Subscriptions/{self._subscription}"

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until asked to stop; then finish what runs. A broker that is away is waited for."""
        # A third of a second of imports: in a thread, so that requests are answered meanwhile.
        await asyncio.to_thread(_import_sdk)
        listen = self._listen_to_sessions if self._has_sessions else self._listen
        while not stop.is_set():
            try:
                async with self._client() as client:
                    await listen(client, stop)
            except Exception as error:  # noqa: BLE001 - whatever broke the connection, listening must go on
                wait_seconds = self._outage.note_failure(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_seconds)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def run_by_hand(self, content: str) -> Outcome:
        """Run the function for a made-up message with this body."""
        return await self._invoke([_MadeUpMessage(content.encode())])

    def _client(self) -> ServiceBusClient:
        from azure.servicebus.aio import ServiceBusClient

        return ServiceBusClient.from_connection_string(
            self._connection, retry_total=1, retry_backoff_factor=0.2, retry_backoff_max=1
        )

    def _receiver(self, client: ServiceBusClient, **settings: Any) -> ServiceBusReceiver:
        settings["prefetch_count"] = self._options.prefetch_count
        if self._queue:
            return client.get_queue_receiver(self._queue, **settings)
        return client.get_subscription_receiver(self._topic, self._subscription, **settings)

    async def _listen(self, client: ServiceBusClient, stop: asyncio.Event) -> None:
        """Receive while slots are free. Runs outlive a broken connection; an orderly stop waits for them."""
        from azure.servicebus.aio import AutoLockRenewer

        slots = asyncio.Semaphore(1 if self._takes_many else self._options.max_concurrent_calls)
        # One at a time: asked for more, the SDK waits a while for the rest before it returns what is there.
        count = self._options.max_message_batch_size if self._takes_many else 1
        async with self._receiver(client) as receiver, AutoLockRenewer() as renewer:
            while not stop.is_set():
                await slots.acquire()
                if stop.is_set():
                    break
                messages = await receiver.receive_messages(count, max_wait_time=POLL_SECONDS)
                self._outage.note_success()
                if not messages:
                    slots.release()
                    continue
                task = asyncio.create_task(self._handle(receiver, renewer, messages))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                task.add_done_callback(lambda _: slots.release())
            # The runs settle their messages through this receiver.
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _listen_to_sessions(self, client: ServiceBusClient, stop: asyncio.Event) -> None:
        """Take the next free session and work through its messages in order, one at a time."""
        from azure.servicebus import NEXT_AVAILABLE_SESSION
        from azure.servicebus.aio import AutoLockRenewer

        renewal_seconds = self._options.max_auto_lock_renewal_seconds
        while not stop.is_set():
            receiver = self._receiver(client, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=POLL_SECONDS)
            try:
                if not await _open_unless_stopped(receiver, stop):
                    continue
                async with AutoLockRenewer() as renewer:
                    self._outage.note_success()
                    renewer.register(receiver, receiver.session, max_lock_renewal_duration=renewal_seconds)
                    while not stop.is_set():
                        messages = await receiver.receive_messages(1, max_wait_time=POLL_SECONDS)
                        if not messages:
                            break
                        await self._handle(receiver, None, messages)
            finally:
                await receiver.close()

    async def _handle(
        self,
        receiver: ServiceBusReceiver,
        renewer: AutoLockRenewer | None,
        messages: Sequence[ServiceBusReceivedMessage],
    ) -> None:
        """Run the function and settle its messages."""
        renewal_seconds = self._options.max_auto_lock_renewal_seconds
        if renewer is not None and not self._takes_many and renewal_seconds > 0:
            renewer.register(receiver, messages[0], max_lock_renewal_duration=renewal_seconds)
        outcome = await self._invoke(messages)
        for message in messages:
            try:
                if not outcome.succeeded:
                    await receiver.abandon_message(message)
                elif self._completes:
                    await receiver.complete_message(message)
            except Exception as error:  # noqa: BLE001 - a message that is not settled is delivered again
                logger.warning(
                    "Function '%s': message %s was not settled and will come again: %s",
                    self._definition.name,
                    message.message_id,
                    _first_line(error),
                )

    async def _invoke(self, messages: Sequence[Any]) -> Outcome:
        if self._takes_many:
            data = service_bus_data.bodies(messages, self._data_type)
            metadata = service_bus_data.metadata_of_many(messages)
        else:
            data = service_bus_data.body_data(messages[0], self._data_type)
            metadata = service_bus_data.metadata_of_one(messages[0])
        return await self._invoker.run(
            Invocation(
                function=self._definition,
                inputs={self._definition.trigger.name: data},
                trigger_metadata=metadata,
                reason=f"(null) message on '{self._entity}'.",
                trace_parent=service_bus_data.trace_parent(messages[0]),
            )
        )


class _Outage:
    """Tells of an outage once at its beginning and once at its end, and how long to wait between attempts."""

    def __init__(self, entity: str) -> None:
        self._entity = entity
        self._failures = 0

    def note_failure(self, error: Exception) -> float:
        """An attempt failed; returns the seconds to wait before the next one."""
        if not self._failures:
            logger.error(
                "Service Bus '%s' cannot be reached, trying again: %s", self._entity, _first_line(error)
            )
        wait_seconds = RECONNECT_SECONDS[min(self._failures, len(RECONNECT_SECONDS) - 1)]
        self._failures += 1
        return wait_seconds

    def note_success(self) -> None:
        """The broker answered."""
        if self._failures:
            logger.info("Service Bus '%s' is reached again.", self._entity)
        self._failures = 0


@dataclass(frozen=True)
class _MadeUpMessage:
    body: bytes
    message_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    application_properties: dict[Any, Any] | None = None
    delivery_count: int | None = 0


async def _open_unless_stopped(receiver: ServiceBusReceiver, stop: asyncio.Event) -> bool:
    """Accept the next session; false when there is none, or the host stops first (the SDK waits long)."""
    from azure.servicebus.exceptions import OperationTimeoutError

    opening = asyncio.ensure_future(receiver.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return False
        opening.result()
    except OperationTimeoutError:
        return False
    finally:
        stopping.cancel()
        opening.cancel()
    return True


def _import_sdk() -> None:
    importlib.import_module("azure.servicebus.aio")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
