"""The broker as one object: entities, key, clock and the server that clients connect to."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from local.service_bus.addresses import entity_path
from local.service_bus.cbs import SharedAccessKey
from local.service_bus.connection import Connection
from local.service_bus.data_file import DataFile
from local.service_bus.entities import Entities
from local.service_bus.errors import BrokerError
from local.service_bus.storage import MemoryOnly, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from local.service_bus.config import Namespace
    from local.service_bus.entities import Clock
    from local.service_bus.queue import Queue
    from local.service_bus.storage import Storage

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 5672
GOODBYE_SECONDS = 0.5
"""How long clients have to read that the broker is stopping."""
STANDARD_MESSAGE_BYTES = 256 * 1024
"""Message limit of the Standard tier (service-bus-quotas)."""
PREMIUM_MESSAGE_BYTES = 1024 * 1024
"""Default message limit of the Premium tier."""

_LOG = logging.getLogger(__name__)


class BrokerStoppingError(BrokerError):
    """The broker is being stopped."""

    condition = "amqp:connection:forced"


def system_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Broker:
    """A namespace and the clients connected to it."""

    def __init__(
        self,
        namespace: Namespace,
        *,
        key: SharedAccessKey,
        max_message_bytes: int,
        storage: Storage,
        clock: Clock,
    ) -> None:
        self.key = key
        self.max_message_bytes = max_message_bytes
        self.clock = clock
        self.entities = Entities(namespace, storage, clock)
        self.connections: set[Connection] = set()
        self.port = 0
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[StorageError] = loop.create_future()
        """Done when messages cannot be kept any more. From then on no client gets an answer."""
        self._storage = storage
        storage.on_change = lambda: loop.call_soon(self.commit)  # for what happens without an answer

    @property
    def connection_string(self) -> str:
        """What a client is configured with; the SDKs speak plain AMQP to an emulator."""
        return (
            f"Endpoint=sb://{LOOPBACK}:{self.port};SharedAccessKeyName={self.key.name};"
            f"SharedAccessKey={self.key.value};UseDevelopmentEmulator=true;"
        )

    def queue(self, path: str) -> Queue:
        """The queue with this path, to look into; dead-letter queues and subscriptions are queues, too.

        Raises:
            EntityNotFoundError: there is none.
        """
        return self.entities.find(entity_path(path)).queue

    def commit(self) -> bool:
        """Keep all that has changed, before a client is told; whether that worked."""
        if not self.failed.done():
            try:
                self._storage.commit()
            except StorageError as error:
                _LOG.critical("%s", error)
                self.failed.set_result(error)
        return not self.failed.done()

    def close(self) -> None:
        """Send every client away, stop all timers, and keep what is left to keep."""
        for connection in list(self.connections):
            connection.fail(BrokerStoppingError("The broker is stopping."))
        self.entities.close()
        self.commit()


@asynccontextmanager
async def serve(
    namespace: Namespace,
    *,
    port: int = 0,
    key: SharedAccessKey | None = None,
    max_message_bytes: int = STANDARD_MESSAGE_BYTES,
    data_dir: Path | None = None,
    clock: Clock = system_clock,
) -> AsyncIterator[Broker]:
    """Serve ``namespace`` on loopback while the context is open; port 0 asks for a free one.

    With ``data_dir`` the queues outlive the broker (``data_file`` says how), else they are in memory only.

    Raises:
        OSError: the port cannot be had.
        StorageError: the queues in ``data_dir`` cannot be had.
    """
    with ExitStack() as stack:
        data_file = None if data_dir is None else stack.enter_context(DataFile(data_dir))
        broker = Broker(
            namespace,
            key=key or SharedAccessKey(),
            max_message_bytes=max_message_bytes,
            storage=data_file or MemoryOnly(),
            clock=clock,
        )
        if data_file is not None and (strangers := data_file.unopened_queues()):
            names = ", ".join(f"'{name}'" for name in strangers)
            _LOG.warning("kept, but not served: the messages of %s, which the configuration lacks", names)
        server = await asyncio.get_running_loop().create_server(lambda: Connection(broker), LOOPBACK, port)
        broker.port = server.sockets[0].getsockname()[1]
        broker.entities.pump()  # what became due while no broker was there
        try:
            yield broker
        finally:
            server.close()
            broker.close()
            try:
                await asyncio.wait_for(server.wait_closed(), GOODBYE_SECONDS)
            except TimeoutError:
                server.abort_clients()
