"""What the conformance suites run against: each store, with a way to look at what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from azure.core.exceptions import ResourceNotFoundError

from local.part import LOOPBACK
from shared.adapters.azure_transport import ANSWER
from shared.adapters.blobs import AzureBlobs
from shared.adapters.tables import AzureTables
from tests.conformance.adapters.running_part import RunningPart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from azure.storage.blob.aio import ContainerClient

    from local.azurite import StoragePorts
    from shared.adapters.azure_transport import AzureTransport, Patience
    from shared.adapters.memory import MemoryBlobs
    from shared.ports import BlobProperties, BlobStore, Scanner

CONTAINER = "uploads"
TABLE = "dropbell"
QUEUE = "notifications"
OTHER_QUEUE = "others"
"""What is sent to it is never received."""


class BlobBackend(Protocol):
    """A store, and its content as somebody else sees it."""

    @property
    def store(self) -> BlobStore: ...

    @property
    def scanner(self) -> Scanner: ...

    async def content(self, name: str) -> bytes | None: ...

    async def overwrite(self, name: str, content: bytes) -> None:
        """Replace the blob, as somebody with a signed URL can."""

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set the blob's index tags, as the malware scanner does."""


@dataclass
class MemoryBackend:
    store: MemoryBlobs

    @property
    def scanner(self) -> Scanner:
        return self.store

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        self.store.tags[name] = dict(tags)

    async def content(self, name: str) -> bytes | None:
        return self.store.contents.get(name)

    async def overwrite(self, name: str, content: bytes) -> None:
        await self.store.delete(name)
        await put(self.store, name, content)


@dataclass
class AzureBackend:
    store: AzureBlobs
    container: ContainerClient

    @property
    def scanner(self) -> Scanner:
        return self.store

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        await self.container.get_blob_client(name).set_blob_tags(dict(tags))

    async def content(self, name: str) -> bytes | None:
        try:
            download = await self.container.download_blob(name)
        except ResourceNotFoundError:
            return None
        return await download.readall()

    async def overwrite(self, name: str, content: bytes) -> None:
        await self.container.upload_blob(name, content, overwrite=True)


def azure_blobs(ports: StoragePorts, transport: AzureTransport, container: str = CONTAINER) -> AzureBlobs:
    return AzureBlobs.connect(container, transport.transport(), connection_string=ports.connection_string)


def azure_tables(
    ports: StoragePorts, transport: AzureTransport, table: str = TABLE, *, patience: Patience = ANSWER
) -> AzureTables:
    return AzureTables.connect(
        table, transport.transport(), connection_string=ports.connection_string, patience=patience
    )


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is, or is not."""

    port: int
    key: str = "SAS_KEY_VALUE"

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://{LOOPBACK}:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            f"SharedAccessKey={self.key};UseDevelopmentEmulator=true;"
        )

    def process(self, config: Path) -> RunningPart:
        arguments = ["local.service_bus", "--port", str(self.port), "--config", str(config)]
        return RunningPart(arguments, [self.port], config.with_name(f"broker_{self.port}.log"))


async def in_chunks(content: bytes, chunk_bytes: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), chunk_bytes):
        yield content[start : start + chunk_bytes]


async def create(
    store: BlobStore, name: str, content: AsyncIterator[bytes], **metadata: str
) -> BlobProperties:
    return await store.create(name, content, content_type="text/plain", metadata=lambda: metadata)


async def put(store: BlobStore, name: str, content: bytes, **metadata: str) -> BlobProperties:
    return await create(store, name, in_chunks(content, 1_000_000), **metadata)
