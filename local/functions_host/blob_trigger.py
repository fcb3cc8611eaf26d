"""Blob functions: the webhook that Event Grid posts to, the scan of containers without it, and the runs."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from local.functions_host import event_grid
from local.functions_host.blob_path import BlobPath, BlobPathError, parse_blob_path
from local.functions_host.blob_queue import BlobMessage, BlobQueue, QueuedMessage
from local.functions_host.blob_store import BlobInfo, BlobStore
from local.functions_host.functions import FunctionDefinition, FunctionError
from local.functions_host.http_front import given_key
from local.functions_host.invocation import Invocation
from local.functions_host.keys import BLOBS_EXTENSION, HostKeys
from local.functions_host.settings import SettingsError, connection_string, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.functions_host.host_json import BlobOptions
    from local.functions_host.invocation import Invoker

STORAGE_RETRY_SECONDS = 1.0
WEBHOOK_PATH = "runtime/webhooks/blobs"
DEFAULT_CONNECTION = "AzureWebJobsStorage"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlobFunction:
    """A blob function, ready to run."""

    definition: FunctionDefinition
    path: BlobPath
    connection: str
    """Name of the setting that holds the connection string; what the worker is told."""
    store: BlobStore
    uses_event_grid: bool


class BlobTrigger:
    """All blob functions of the app over one queue."""

    def __init__(
        self,
        invoker: Invoker,
        queue: BlobQueue,
        options: BlobOptions,
        environment: Mapping[str, str],
        keys: HostKeys | None,
        stop: asyncio.Event,
    ) -> None:
        self._invoker = invoker
        self._queue = queue
        self._options = options
        self._environment = environment
        self._keys = keys
        self._functions: dict[str, BlobFunction] = {}
        self._stores: dict[str, BlobStore] = {}
        self._stop = stop

    @property
    def functions(self) -> Mapping[str, BlobFunction]:
        """The functions by name."""
        return self._functions

    def add_function(self, definition: FunctionDefinition) -> BlobFunction:
        """Run this function for its blobs.

        Raises:
            FunctionError: its path or connection cannot be used.
        """
        trigger = definition.trigger
        connection = trigger.text("connection") or DEFAULT_CONNECTION
        try:
            path = parse_blob_path(resolve(trigger.text("path"), self._environment))
            account = connection_string(connection, self._environment)
        except (BlobPathError, SettingsError) as error:
            raise FunctionError(f"Function '{definition.name}': {error}") from error
        store = self._stores.setdefault(account, BlobStore(account))
        uses_event_grid = trigger.text("source").lower() == "eventgrid"
        function = BlobFunction(definition, path, connection, store, uses_event_grid)
        self._functions[definition.name] = function
        return function

    async def run(self) -> None:
        """Work on the queue until asked to stop; then finish what runs."""
        runs: set[asyncio.Task[None]] = set()
        slots = asyncio.Semaphore(self._options.max_degree_of_parallelism)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set():
                await slots.acquire()
                if self._stop.is_set():
                    break
                taking = asyncio.create_task(self._queue.take())
                await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not taking.done():
                    taking.cancel()
                    break
                run = asyncio.create_task(self._process(taking.result()))
                runs.add(run)
                run.add_done_callback(runs.discard)
                run.add_done_callback(lambda _: slots.release())
            await asyncio.gather(*runs)
        finally:
            stopping.cancel()
            for store in self._stores.values():
                await store.close()

    async def webhook(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """Answer Event Grid; none when the path is not the webhook's."""
        if path.rstrip("/").lower() != WEBHOOK_PATH:
            return None
        if self._keys is not None and not self._keys.allow_system(BLOBS_EXTENSION, given_key(request)):
            return web.Response(status=401)
        if self._stop.is_set():
            return web.Response(status=503, text="The host is stopping.")
        name = request.query.get("functionName", "").removeprefix("Host.Functions.")
        body = await request.read()
        try:
            match request.headers.get("aeg-event-type"):
                case "SubscriptionValidation":
                    return web.json_response({"validationResponse": event_grid.validation_code(body)})
                case "Notification":
                    return self._notify(name, event_grid.blob_events(body))
                case "Unsubscribe":
                    return web.Response(status=202)
                case other:
                    return web.Response(status=400, text=f"The aeg-event-type {other!r} is unknown.")
        except event_grid.EventError as error:
            return web.Response(status=400, text=str(error))

    def enqueue(
        self, function: BlobFunction, container: str, name: str, etag: str, blob_type: str = "BlockBlob"
    ) -> bool:
        """Queue a run for a blob when the function's path matches it; says whether it does."""
        if function.path.match(container, name) is None:
            return False
        self._queue.put(BlobMessage(function.definition.name, container, name, etag, blob_type))
        return True

    async def run_by_hand(self, definition: FunctionDefinition, path: str) -> None:
        """Run a function for the blob at ``container/name``, outside the queue."""
        container, _, name = path.strip("/").partition("/")
        await self._run_for(
            self._functions[definition.name], BlobMessage(definition.name, container, name, "")
        )

    def _notify(self, name: str, events: list[event_grid.BlobEvent]) -> web.Response:
        function = self._functions.get(name)
        if function is None:
            return web.Response(status=404, text=f"cannot find function: '{name}'")
        for event in events:
            if not self.enqueue(function, event.container, event.name, event.etag, event.blob_type):
                logger.debug("An event for %s/%s matches no path.", event.container, event.name)
        return web.Response(status=202)

    async def _process(self, queued: QueuedMessage) -> None:
        message = queued.message
        function = self._functions.get(message.function)
        if function is None:
            self._queue.give_up(queued, f"There is no function '{message.function}' any more.")
            return
        try:
            failure = await self._run_for(function, message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be lost
            await self._wait_for_storage(queued, error)
            return
        if failure is None:
            self._queue.done(queued)
        elif message.dequeue_count >= self._options.poison_blob_threshold:
            logger.error(
                "Function '%s' failed %d times for %s/%s; the message goes to webjobs-blobtrigger-poison.",
                message.function,
                message.dequeue_count,
                message.container,
                message.name,
            )
            self._queue.give_up(queued, failure)
        else:
            self._queue.put_back(queued)

    async def _wait_for_storage(self, queued: QueuedMessage, error: Exception) -> None:
        """Try again later: an account that does not answer is no failure of the function."""
        message = queued.message
        logger.error(
            "The blob %s/%s cannot be read, trying again: %s",
            message.container,
            message.name,
            f"{type(error).__name__}: {error}".splitlines()[0],
        )
        await asyncio.sleep(STORAGE_RETRY_SECONDS)
        self._queue.put_back(
            replace(queued, message=replace(message, dequeue_count=message.dequeue_count - 1))
        )

    async def _run_for(self, function: BlobFunction, message: BlobMessage) -> str | None:
        """Run the function; the reason when it failed, none when it is done with this blob."""
        values = function.path.match(message.container, message.name)
        if values is None:
            return None
        info = await function.store.info(message.container, message.name)
        if info is None:
            logger.info("The blob %s/%s is gone; its message is dropped.", message.container, message.name)
            return None
        data = await _input(function, message)
        if data is None:
            return None
        source = "EventGrid" if function.uses_event_grid else "LogsAndContainerScan"
        outcome = await self._invoker.run(
            Invocation(
                function=function.definition,
                inputs={function.definition.trigger.name: data},
                trigger_metadata=trigger_metadata(message, info, values),
                reason=f"New blob detected({source}): {message.container}/{message.name}",
            )
        )
        return outcome.failure.message if outcome.failure else None


def trigger_metadata(
    message: BlobMessage, info: BlobInfo, values: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """What the host tells the worker beside the blob itself; the path's expressions are among it."""
    metadata: dict[str, dict[str, Any]] = {
        "BlobTrigger": {"string": f"{message.container}/{message.name}"},
        "Uri": {"json": json.dumps(info.uri)},
        "Properties": {"json": json.dumps(info.properties)},
        "Metadata": {"json": json.dumps(info.metadata)},
    }
    return metadata | {name: {"string": value} for name, value in values.items()}


async def _input(function: BlobFunction, message: BlobMessage) -> dict[str, Any] | None:
    """The blob as the function wants it: a reference, its text or its bytes; none when it is gone."""
    trigger = function.definition.trigger
    if trigger.is_deferred:
        reference = {
            "Connection": function.connection,
            "ContainerName": message.container,
            "BlobName": message.name,
        }
        return {
            "model_binding_data": {
                "version": "1.0",
                "source": "AzureStorageBlobs",
                "content_type": "application/json",
                "content": json.dumps(reference).encode(),
            }
        }
    content = await function.store.content(message.container, message.name)
    if content is None:
        return None
    if trigger.text("dataType").lower() == "string":
        return {"string": content.decode("utf-8", "replace")}
    return {"bytes": content}
