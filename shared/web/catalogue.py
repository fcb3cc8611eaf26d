"""``/files``: listing, reading, changing and deleting what is there."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.errors import InvalidRequestError
from shared.files import file as files
from shared.files.catalogue import check
from shared.notifications.fan_out import deliveries_of
from shared.web.bodies import FileBody
from shared.web.conditional import edits, is_not_modified
from shared.web.file_bodies import FileDetail, FileList, FilePatch
from shared.web.file_query import list_query
from shared.web.json_body import JSON, MERGE_PATCH, json_bytes
from shared.web.query import flag

if TYPE_CHECKING:
    from shared.files.catalogue import Catalogue, FileFilter
    from shared.files.file import File
    from shared.files.removal import Removal
    from shared.ledger.signed_token import Signer
    from shared.ports import TableStore
    from shared.web.call import Call

FRESH_ONLY = "private, no-cache"
"""Kept by the client alone, and asked for each time; If-None-Match makes that cheap (RFC 9111 §5.2.2)."""
_BOUND_BYTES = 16


class CatalogueRoutes:
    """The routes of the catalogue. ``cursors`` signs cursors and nothing else."""

    def __init__(self, catalogue: Catalogue, removal: Removal, tables: TableStore, cursors: Signer) -> None:
        self._catalogue = catalogue
        self._removal = removal
        self._tables = tables
        self._cursors = cursors

    async def list_files(self, call: Call) -> Response:
        """``GET /files``: newest first.

        A page may be short or empty and still have a ``next_cursor``: one request reads a bounded number of
        rows, however few of them the filter lets through.
        """
        query = list_query(call.request.query_params)
        bound = _bound_to(call.owner, query.wanted)
        start = None if query.cursor is None else self._read_cursor(query.cursor, bound)
        page = await self._catalogue.page(call.owner, query.wanted, limit=query.limit, first_row_key=start)
        body = FileList(
            items=[FileBody.of(file) for file in page.files],
            next_cursor=None if page.next_row_key is None else self._cursor(page.next_row_key, bound),
        )
        return Response(body.model_dump_json(), media_type=JSON)

    async def get_file(self, call: Call) -> Response:
        """``GET`` and ``HEAD /files/{file_id}``; 304 where If-None-Match has the file as it is told now."""
        detail = await self._detail(await self._catalogue.find(call.owner, _file_id(call)))
        headers = {"etag": detail.etag, "cache-control": FRESH_ONLY}
        if is_not_modified(call.request, detail.etag):
            return Response(status_code=304, headers=headers)
        return Response(detail.model_dump_json(), headers=headers, media_type=JSON)

    async def update_file(self, call: Call) -> Response:
        """``PATCH /files/{file_id}``: a JSON merge patch of name, labels and expiry; If-Match is required.

        Conditions are looked at before the content of the request (RFC 9110 §13.2.1), and again when the row
        is written.
        """
        file = await self._catalogue.find(call.owner, _file_id(call))
        wanted = edits(call.request, required=True)
        check(file, wanted)
        patch = FilePatch.read(await json_bytes(call, MERGE_PATCH, JSON)).patch()
        detail = await self._detail(await self._catalogue.update(call.owner, file.id, patch, wanted=wanted))
        return Response(detail.model_dump_json(), headers={"etag": detail.etag}, media_type=JSON)

    async def delete_file(self, call: Call) -> Response:
        """``DELETE /files/{file_id}``: gone at once; its bytes later, or with ``?purge=true``."""
        wanted = edits(call.request, required=False)
        purge = flag(call.request.query_params, "purge")
        await self._removal.delete(call.owner, _file_id(call), wanted=wanted, purge=purge)
        return Response(status_code=204)

    async def _detail(self, file: File) -> FileDetail:
        return FileDetail.with_deliveries(file, await deliveries_of(self._tables, file))

    def _cursor(self, next_row_key: str, bound: bytes) -> str:
        return self._cursors.sign(bound + bytes.fromhex(next_row_key.removeprefix(files.ROW_KEYS[0])))

    def _read_cursor(self, text: str, bound: bytes) -> str:
        payload = self._cursors.read(text)
        if payload is None or payload[:_BOUND_BYTES] != bound:
            raise InvalidRequestError(
                "This cursor is not from a list of yours with the same filters; start without one.",
                code="invalid-cursor",
            )
        return files.ROW_KEYS[0] + payload[_BOUND_BYTES:].hex()


def _bound_to(owner: str, wanted: FileFilter) -> bytes:
    """What a cursor belongs to, as a digest."""
    instants = (wanted.created_after, wanted.created_before)
    told = [
        owner,
        sorted(wanted.statuses),
        wanted.content_type,
        wanted.name_prefix,
        *(None if instant is None else instant.isoformat() for instant in instants),
    ]
    return hashlib.sha256(json.dumps(told).encode()).digest()[:_BOUND_BYTES]


def _file_id(call: Call) -> str:
    return str(call.request.path_params["file_id"])
