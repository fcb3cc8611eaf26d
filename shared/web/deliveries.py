"""``/files/{file_id}/deliveries`` and ``/deliveries``: who was told, and how it went."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from shared.errors import InvalidRequestError
from shared.notifications.history import ROW_KEYS
from shared.web.conditional import is_not_modified
from shared.web.delivery_bodies import DeliveryBody, DeliveryList
from shared.web.delivery_query import delivery_query
from shared.web.entity_tag import entity_tag
from shared.web.json_body import JSON
from shared.web.query import DEFAULT_LIMIT, MAX_LIMIT

if TYPE_CHECKING:
    from shared.files.catalogue import Catalogue
    from shared.ledger.signed_token import Signer
    from shared.notifications.history import DeliveryFilter, History
    from shared.web.call import Call

LIMIT_OF_FILE: Final = MAX_LIMIT
"""Of one file's list unless another is asked for: nearly always all there are."""
FRESH_ONLY: Final = "private, no-cache"
"""Kept by the client alone, and asked for each time; If-None-Match makes that cheap (RFC 9111 §5.2.2)."""
_BOUND_BYTES: Final = 16


class DeliveryRoutes:
    """The routes of deliveries. ``cursors`` signs cursors and nothing else."""

    def __init__(self, catalogue: Catalogue, history: History, cursors: Signer) -> None:
        self._catalogue = catalogue
        self._history = history
        self._cursors = cursors

    async def list_deliveries(self, call: Call) -> Response:
        """``GET /files/{file_id}/deliveries``; the file must be there, and is by its id in the range read."""
        file = await self._catalogue.find(call.owner, str(call.request.path_params["file_id"]))
        return await self._list(call, default_limit=LIMIT_OF_FILE, file_id=file.id)

    async def list_own_deliveries(self, call: Call) -> Response:
        """``GET /deliveries``: of all files, the newest first; also of files that were deleted.

        A page may be short or empty and still have a ``next_cursor``: one request reads a bounded number of
        rows, however few of them the filter lets through.
        """
        return await self._list(call, default_limit=DEFAULT_LIMIT)

    async def get_delivery(self, call: Call) -> Response:
        """``GET /deliveries/{delivery_id}``; 304 where If-None-Match has it as it is now."""
        delivery = await self._history.find(call.owner, str(call.request.path_params["delivery_id"]))
        tag = entity_tag(delivery.etag)
        headers = {"etag": tag, "cache-control": FRESH_ONLY}
        if is_not_modified(call.request, tag):
            return Response(status_code=304, headers=headers)
        return Response(DeliveryBody.of(delivery).model_dump_json(), headers=headers, media_type=JSON)

    async def _list(self, call: Call, *, default_limit: int, file_id: str | None = None) -> Response:
        query = delivery_query(call.request.query_params, default_limit=default_limit)
        bound = _bound_to(call.owner, file_id, query.wanted)
        start = None if query.cursor is None else self._read_cursor(query.cursor, bound)
        page = await self._history.page(
            call.owner, query.wanted, limit=query.limit, file_id=file_id, first_row_key=start
        )
        body = DeliveryList(
            items=[DeliveryBody.of(delivery) for delivery in page.deliveries],
            next_cursor=None if page.next_row_key is None else self._cursor(page.next_row_key, bound),
        )
        return Response(body.model_dump_json(), media_type=JSON)

    def _cursor(self, next_row_key: str, bound: bytes) -> str:
        return self._cursors.sign(bound + next_row_key.removeprefix(ROW_KEYS[0]).encode())

    def _read_cursor(self, text: str, bound: bytes) -> str:
        payload = self._cursors.read(text)
        if payload is None or payload[:_BOUND_BYTES] != bound:
            raise InvalidRequestError(
                "This cursor is not from a list of yours with the same filters; start without one.",
                code="invalid-cursor",
            )
        return ROW_KEYS[0] + payload[_BOUND_BYTES:].decode()


def _bound_to(owner: str, file_id: str | None, wanted: DeliveryFilter) -> bytes:
    """What a cursor belongs to, as a digest."""
    told = [owner, file_id, sorted(wanted.statuses), wanted.subscription_id, wanted.event]
    return hashlib.sha256(json.dumps(told).encode()).digest()[:_BOUND_BYTES]
