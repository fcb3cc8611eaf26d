"""What each route of ``/api/v1`` does. Names and bodies: the outer contract (docs/api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.errors import InvalidRequestError, NotFoundError, TooLargeError, UnsupportedMediaTypeError
from shared.files import intake
from shared.files.content_type import checked_content_type
from shared.files.intake import Upload
from shared.notifications.fan_out import deliveries_of
from shared.web.bodies import DeliveryBody, DeliveryList, FileBody, NewSubscription, SubscriptionBody
from shared.web.content_disposition import file_name
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from shared.files.file import File
    from shared.files.intake import Intake
    from shared.notifications.subscribing import Subscribing
    from shared.ports import TableStore
    from shared.web.call import Call, Front

MAX_JSON_BYTES = 64 * 1024
MAX_LENGTH_DIGITS = 18
"""Of a Content-Length: more than any file has, less than any integer type takes."""


class Api:
    """The HTTP API."""

    def __init__(self, front: Front, intake_: Intake, tables: TableStore, subscribing: Subscribing) -> None:
        self._front = front
        self._intake = intake_
        self._tables = tables
        self._subscribing = subscribing

    async def create_file(self, request: Request) -> Response:
        """``POST /files``: the body becomes a file."""
        return await self._front.answer("create_file", request, self._create_file)

    async def get_file(self, request: Request) -> Response:
        """``GET /files/{file_id}``."""
        return await self._front.answer("get_file", request, self._get_file)

    async def list_deliveries(self, request: Request) -> Response:
        """``GET /files/{file_id}/deliveries``: who was told, and how it went."""
        return await self._front.answer("list_deliveries", request, self._list_deliveries)

    async def create_subscription(self, request: Request) -> Response:
        """``POST /subscriptions``."""
        return await self._front.answer("create_subscription", request, self._create_subscription)

    async def get_subscription(self, request: Request) -> Response:
        """``GET /subscriptions/{subscription_id}``."""
        return await self._front.answer("get_subscription", request, self._get_subscription)

    async def _create_file(self, call: Call) -> Response:
        headers = call.request.headers
        announced_size_bytes = _content_length(headers.get("content-length"))
        self._intake.check_size(announced_size_bytes)
        upload = Upload(
            owner=call.owner,
            name=file_name(headers.get("content-disposition")),
            content_type=checked_content_type(headers.get("content-type")),
            announced_size_bytes=announced_size_bytes,
            correlation_id=call.correlation_id,
            traceparent=call.trace.traceparent,
        )
        body = FileBody.of(await self._intake.accept(upload, call.body()))
        return _json(body, 201, {"location": f"{BASE_PATH}/files/{body.id}", "etag": body.etag})

    async def _get_file(self, call: Call) -> Response:
        body = FileBody.of(await self._own_file(call))
        return _json(body, headers={"etag": body.etag})

    async def _list_deliveries(self, call: Call) -> Response:
        found = await deliveries_of(self._tables, await self._own_file(call))
        return _json(DeliveryList(items=[DeliveryBody.of(delivery) for delivery in found]))

    async def _create_subscription(self, call: Call) -> Response:
        wanted = NewSubscription.read(await _json_body(call))
        made, secret = await self._subscribing.subscribe(
            call.owner, channel=wanted.channel, target=wanted.target, events=set(wanted.events)
        )
        body = SubscriptionBody.of(made, secret=secret)
        return _json(body, 201, {"location": f"{BASE_PATH}/subscriptions/{body.id}", "etag": body.etag})

    async def _get_subscription(self, call: Call) -> Response:
        found = await self._subscribing.find(call.owner, str(call.request.path_params["subscription_id"]))
        if found is None:
            raise NotFoundError("You have no subscription of this id.")
        body = SubscriptionBody.of(found)
        return _json(body, headers={"etag": body.etag})

    async def _own_file(self, call: Call) -> File:
        file = await intake.find(self._tables, call.owner, str(call.request.path_params["file_id"]))
        if file is None:
            raise NotFoundError("You have no file of this id.")
        return file


def _json(body: BaseModel, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status_code, headers, media_type="application/json")


def _content_length(header: str | None) -> int | None:
    if header is None:
        return None
    if not header.isdecimal() or not header.isascii() or len(header) > MAX_LENGTH_DIGITS:
        raise InvalidRequestError("Content-Length must be a whole number of bytes.")
    return int(header)


async def _json_body(call: Call) -> bytes:
    content_type = call.request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if content_type.lower() != "application/json":
        raise UnsupportedMediaTypeError("Send a JSON body with Content-Type: application/json.")
    raw = bytearray()
    async for chunk in call.body():
        raw += chunk
        if len(raw) > MAX_JSON_BYTES:
            raise TooLargeError(f"A JSON body can have at most {MAX_JSON_BYTES} bytes here.")
    return bytes(raw)
