"""The whole application on Azurite, with every request to storage, every message and every post counted."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from azure.data.tables import TableServiceClient
from azure.storage.blob.aio import ContainerClient

from shared.adapters.azure_transport import AzureTransport
from shared.adapters.memory import MemoryClock, MemoryQueue, MemorySender
from shared.app import Application
from shared.files.file import blob_name
from shared.identity.owner import Owner
from shared.ports import HttpAnswer
from shared.settings import read_settings
from tests.conformance.adapters.backends import CONTAINER
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from local.azurite import StoragePorts
    from shared.ports import QueueMessage

SECONDS_BETWEEN = 30
"""Between two steps of a scenario: nothing that is remembered for a moment saves a request."""


class CountingTransport(AzureTransport):
    """The application's own transport. What each request counts as is what Azure bills it as."""

    def __init__(self, ports: StoragePorts, counts: Counter[str]) -> None:
        super().__init__()
        self._meters = {ports.table: _table, ports.blob: _blob}
        self._counts = counts

    def transport(self) -> Any:
        """See ``AzureTransport``."""
        return _Counted(super().transport(), self._count)

    def _count(self, method: str, url: str) -> None:
        parts = urlsplit(url)
        self._counts[self._meters[parts.port or 0](method, parse_qs(parts.query))] += 1


def _table(method: str, query: dict[str, list[str]]) -> str:
    """Also an entity-group transaction is one request."""
    return "table_requests"


def _blob(method: str, query: dict[str, list[str]]) -> str:
    match method, query.get("comp", [""])[0]:
        case "PUT", "" | "block" | "blocklist" | "metadata":
            return "blob_writes"
        case "GET" | "HEAD", "" | "blocklist":
            return "blob_reads"
        case "GET", "tags":
            return "blob_tag_reads"
        case "DELETE", "":
            return "blob_deletes"
        case other:
            raise AssertionError(f"what does {other} cost?")


class _Counted:
    """A transport of the SDK that tells of each request before it goes out."""

    def __init__(self, inner: Any, tell: Any) -> None:
        self._inner = inner
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> _Counted:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._inner.__aexit__(*details)

    async def send(self, sent: Any, **options: Any) -> Any:
        self._tell(sent.method, sent.url)
        return await self._inner.send(sent, **options)


class CountingQueue(MemoryQueue):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    async def send(self, messages: Sequence[QueueMessage]) -> None:
        self._counts["queue_sends"] += len(messages)
        await super().send(messages)


class CountingSender(MemorySender):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def will_answer(self, status_code: int) -> None:
        """To the next post."""
        self._answers.append(HttpAnswer(status_code))

    async def post(self, url: str, **options: Any) -> HttpAnswer:
        self._counts["posts"] += 1
        return await super().post(url, **options)


class CountedService:
    """One application with a table and a user of its own, and ``more`` settings."""

    def __init__(self, ports: StoragePorts, more: Mapping[str, str] | None = None) -> None:
        user, table = str(uuid.uuid4()), f"counted{uuid.uuid4().hex}"
        with TableServiceClient.from_connection_string(ports.connection_string) as tables:
            tables.create_table(table)
        self.owner = Owner(forge.TENANT, user).partition
        self.counts: Counter[str] = Counter()
        self._transport = CountingTransport(ports, self.counts)
        self._connection_string = ports.connection_string
        claims = forge.user_claims(oid=user, scp=EVERYTHING)
        self._headers = {"authorization": f"Bearer {forge.token(claims)}"}
        self.clock = MemoryClock(forge.NOW)
        self.queue = CountingQueue(self.counts)
        self.sender = CountingSender(self.counts)
        settings = read_settings(
            {
                "DropbellStorage": ports.connection_string,
                "DropbellServiceBus": "unused",
                "DROPBELL_UPLOADS_CONTAINER": CONTAINER,
                "DROPBELL_TABLE": table,
                "DROPBELL_TOKEN_ISSUER": forge.ISSUER,
                "DROPBELL_TOKEN_AUDIENCES": forge.AUDIENCE,
                "DROPBELL_PUBLIC_URL": "https://dropbell.example",
                "DROPBELL_SECRETS_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
                "DROPBELL_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
            }
            | dict(more or {})
        )
        self.app = Application(
            settings,
            clock=self.clock,
            queue=self.queue,
            sender=self.sender,
            json_source=forge.FakeIssuer(),
            _transport=self._transport,
        )

    async def close(self) -> None:
        await self._transport.close()

    def taken(self) -> dict[str, int]:
        """What was counted since the last time."""
        counted = dict(sorted(self.counts.items()))
        self.counts.clear()
        self.clock.advance(SECONDS_BETWEEN)
        return counted

    async def call(
        self, route: str, method: str, *parts: bytes, expect: int, headers: Any = None, **path: str
    ) -> Response:
        """One request of a client: an execution of a function."""
        self.counts["executions"] += 1
        given = self._headers | {"content-length": str(sum(map(len, parts)))} | (headers or {})
        answer = await self.app.answer(route, request(method, headers=given, client=Client(parts), **path))
        assert answer.status_code == expect, bytes(answer.body)
        return answer

    async def announce(self, file_id: str) -> None:
        self.counts["executions"] += 1
        await self.app.announce(blob_name(self.owner, file_id))

    async def deliver(self, message: QueueMessage) -> None:
        self.counts["executions"] += 1
        await self.app.deliver(message.body, enqueued_at=None)

    async def client_puts(self, told: Any, content: bytes) -> None:
        """The client writes its blob itself; the account pays for that, too."""
        path = urlsplit(told["upload_url"]).path
        container = ContainerClient.from_connection_string(
            self._connection_string, CONTAINER, transport=self._transport.transport()
        )
        await container.upload_blob(path.partition(f"/{CONTAINER}/")[2], content)

    async def upload(self, content: bytes, **headers: str) -> dict[str, Any]:
        named = {"content-type": "text/plain"} | {k.replace("_", "-"): v for k, v in headers.items()}
        told: dict[str, Any] = body_of(
            await self.call("create_file", "POST", content, expect=201, headers=named)
        )
        return told
