"""``/files/{file_id}/deliveries``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.notifications.fan_out import deliveries_of
from shared.web.bodies import DeliveryBody, DeliveryList
from shared.web.json_body import JSON

if TYPE_CHECKING:
    from shared.files.catalogue import Catalogue
    from shared.ports import TableStore
    from shared.web.call import Call


class DeliveryRoutes:
    """The routes of deliveries."""

    def __init__(self, catalogue: Catalogue, tables: TableStore) -> None:
        self._catalogue = catalogue
        self._tables = tables

    async def list_deliveries(self, call: Call) -> Response:
        """``GET /files/{file_id}/deliveries``: who was told, and how it went."""
        file = await self._catalogue.find(call.owner, str(call.request.path_params["file_id"]))
        found = await deliveries_of(self._tables, file)
        body = DeliveryList(items=[DeliveryBody.of(delivery) for delivery in found])
        return Response(body.model_dump_json(), media_type=JSON)
