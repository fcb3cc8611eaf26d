"""An AMQP 1.0 broker with Azure Service Bus' queue semantics, for development and tests.

The unchanged Azure SDKs speak to it. From the wire inwards:

* ``server`` listens; ``connection``, ``session`` and ``links`` speak AMQP 1.0 with one client;
* ``frames``, ``performatives``, ``encoding`` and ``decoding`` turn bytes into values and back;
* ``cbs`` checks shared access signatures, ``management`` answers requests to ``$management``;
* ``entities`` hands messages to receivers that wait for them;
* ``queue`` and ``lifecycle`` hold the semantics - locks, delivery counts, sessions, time to live - without
  I/O or a clock; they tell what ``changes``, and ``data_file`` keeps it if the broker has a data folder.
"""

from local.service_bus.cbs import SharedAccessKey
from local.service_bus.config import ConfigError, Namespace, load_namespace, parse_namespace
from local.service_bus.server import Broker, serve
from local.service_bus.storage import StorageError

__all__ = [
    "Broker",
    "ConfigError",
    "Namespace",
    "SharedAccessKey",
    "StorageError",
    "load_namespace",
    "parse_namespace",
    "serve",
]
