"""Azurite and a Service Bus broker, started once when the first test asks for them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import ContainerClient
from azure.storage.blob.aio import ContainerClient as AsyncContainerClient

from local.azurite import StoragePorts
from local.ports import Ports
from shared.adapters.azure_transport import AzureTransport
from shared.adapters.memory import MemoryBlobs
from tests.conformance.adapters.backends import (
    CONTAINER,
    OTHER_QUEUE,
    QUEUE,
    TABLE,
    AzureBackend,
    BrokerAddress,
    MemoryBackend,
    azure_blobs,
)
from tests.conformance.adapters.running_part import RunningPart, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conformance.adapters.backends import BlobBackend


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoragePorts]:
    """Azurite with an empty container and an empty table."""
    folder = tmp_path_factory.mktemp("azurite")
    free = Ports.free()
    ports = StoragePorts(free.blob, free.queue, free.table)
    arguments = ["local.azurite", "--access-log", str(folder / "access.log")]
    for service, port in ports._asdict().items():
        arguments += [f"--{service}-port", str(port)]
    with RunningPart(arguments, ports, folder / "azurite.log"):
        with ContainerClient.from_connection_string(ports.connection_string, CONTAINER) as container:
            container.create_container()
        with TableServiceClient.from_connection_string(ports.connection_string) as tables:
            tables.create_table(TABLE)
        yield ports


@pytest.fixture
async def transport() -> AsyncIterator[AzureTransport]:
    pool = AzureTransport()
    yield pool
    await pool.close()


@pytest.fixture
async def azure_backend(storage: StoragePorts, transport: AzureTransport) -> AzureBackend:
    container = AsyncContainerClient.from_connection_string(
        storage.connection_string, CONTAINER, transport=transport.transport()
    )
    return AzureBackend(azure_blobs(storage, transport), container)


@pytest.fixture(params=["memory", "azure"])
def backend(request: pytest.FixtureRequest) -> BlobBackend:
    if request.param == "memory":
        return MemoryBackend(MemoryBlobs())
    found: AzureBackend = request.getfixturevalue("azure_backend")
    return found


@pytest.fixture
def name() -> str:
    """A blob that no other test uses."""
    return f"owner/{uuid.uuid4()}"


@pytest.fixture
def no_storage() -> StoragePorts:
    """Where no storage service listens."""
    return StoragePorts(unused_port(), unused_port(), unused_port())


@pytest.fixture(scope="session")
def broker_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    properties = {
        "RequiresDuplicateDetection": True,
        "DuplicateDetectionHistoryTimeWindow": "PT10M",
        "LockDuration": "PT1M",
    }
    queues = [{"Name": name, "Properties": properties} for name in (QUEUE, OTHER_QUEUE)]
    document = {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": queues}]}}
    file = tmp_path_factory.mktemp("broker_config") / "service_bus.config.json"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture(scope="session")
def broker(broker_config: Path) -> Iterator[BrokerAddress]:
    address = BrokerAddress(unused_port())
    with address.process(broker_config):
        yield address
