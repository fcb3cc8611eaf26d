"""The catalogue's handlers over memory adapters, and short ways to call them as the front does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables, MemoryUrlSigner
from shared.errors import ProblemError
from shared.files import file as files
from shared.files import share_link
from shared.files.catalogue import Catalogue
from shared.files.quota import Quota, QuotaPolicy
from shared.files.removal import Removal
from shared.files.share_link import Sharing
from shared.identity.principal import Principal, PrincipalKind
from shared.ledger.due import DueBook
from shared.ledger.signed_token import Signer
from shared.notifications import delivery_record
from shared.ports import Insert
from shared.telemetry.trace_context import TraceContext
from shared.web.call import Call
from shared.web.catalogue import CatalogueRoutes
from shared.web.content import ContentRoutes
from shared.web.problem import problem_response
from shared.web.share_links import ShareLinkRoutes
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from shared.files.file import File
    from shared.ports import BlobStore, TableStore

KEY = b"k" * 32
KEEP_SECONDS = 3600.0
MERGE_PATCH = {"content-type": "application/merge-patch+json"}
_CALLER = Principal(PrincipalKind.USER, "tenant", "object", "client", frozenset())


class Shelf:
    """Everything about files that are there."""

    def __init__(self, *, blobs: BlobStore | None = None, tables: TableStore | None = None) -> None:
        self.clock = MemoryClock(sample.NOW)
        self.blobs = MemoryBlobs()
        self.memory = MemoryTables()
        self.tables = tables or self.memory
        self.due = DueBook(self.tables, self.clock)
        self.catalogue = Catalogue(self.tables, self.clock, due=self.due)
        self.quota = Quota(self.tables, QuotaPolicy(max_bytes=1000, max_files=100))
        self.removal = Removal(
            blobs or self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            due=self.due,
            rows_of_file=(share_link.row_keys_of_file, delivery_record.row_keys_of_file),
            keep_deleted_seconds=KEEP_SECONDS,
        )
        self.sharing = Sharing(self.tables, self.clock, self.catalogue, Signer(KEY, "share-link"))
        self.routes = CatalogueRoutes(self.catalogue, self.removal, self.tables, Signer(KEY, "file-list"))
        self.content = ContentRoutes(self.catalogue, blobs or self.blobs, MemoryUrlSigner(), self.clock)
        self.links = ShareLinkRoutes(self.sharing, self.content, public_url=sample.PUBLIC_URL)

    async def put(self, content: bytes = b"hello", **changes: Any) -> File:
        """A file with its bytes."""
        file = sample.file(**({"size_bytes": len(content)} | changes))
        await self.blobs.create(
            files.blob_name(file.owner, file.id),
            sample.chunks(content),
            content_type=file.content_type,
            metadata=dict,
        )
        await self.memory.apply([Insert(files.to_entity(file))])
        return await self.row(file.id)

    async def row(self, file_id: str = sample.FILE_ID) -> File:
        entity = await self.memory.get(sample.OWNER, files.row_key(file_id))
        assert entity is not None
        return files.from_entity(entity)

    async def sweep(self, *, seconds: float = 0) -> None:
        """Let time go by, and work off what is due."""
        self.clock.advance(seconds)
        works = {"file-expiry": self.removal.expire, "file-purge": self.removal.purge_due}
        await self.due.work_off(works)

    async def list_files(self, query: str = "", **how: Any) -> Response:
        return await answer(self.routes.list_files, query=query, **how)

    async def get(self, file_id: str = sample.FILE_ID, **how: Any) -> Response:
        return await answer(self.routes.get_file, file_id=file_id, **how)

    async def patch(self, body: bytes, *, if_match: str | None = None, **how: Any) -> Response:
        headers = MERGE_PATCH | ({} if if_match is None else {"if-match": if_match})
        return await answer(
            self.routes.update_file,
            "PATCH",
            body,
            **({"file_id": sample.FILE_ID, "headers": headers} | how),
        )

    async def delete(self, query: str = "", **how: Any) -> Response:
        return await answer(
            self.routes.delete_file, "DELETE", query=query, **({"file_id": sample.FILE_ID} | how)
        )

    async def read(self, query: str = "", **how: Any) -> Response:
        return await answer(self.content.get_content, query=query, **({"file_id": sample.FILE_ID} | how))


async def answer(
    handler: Callable[[Call], Awaitable[Response]],
    method: str = "GET",
    body: bytes = b"",
    *,
    owner: str = sample.OWNER,
    headers: dict[str, str] | None = None,
    query: str = "",
    **path: str,
) -> Response:
    """What the front answers, for a caller who may do all."""
    client = Client((body,) if body else ())
    asked = request(method, headers=headers, client=client, query=query, **path)
    try:
        return await handler(Call(asked, _CALLER, owner, "correlation-2", TraceContext.start()))
    except ProblemError as error:
        return problem_response(error, correlation_id="correlation-2")


async def sent(response: Response) -> bytes:
    """The content as a server sends it; raises what breaks the connection."""
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    return bytes(body)
