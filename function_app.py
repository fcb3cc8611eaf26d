"""Dropbell's functions: every trigger, one call each. What they do is in ``shared``."""

import azure.functions as func

from shared.adapters.blob_reference import BlobReference
from shared.app import application, blob_trigger_source
from shared.web.streaming import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # tokens decide, on every route


@app.route("health", methods=["GET"])
async def health(req: Request) -> Response:
    return await application().health.answer(req)


@app.route("v1/files", methods=["POST"])
async def create_file(req: Request) -> Response:
    return await application().api.create_file(req)


@app.route("v1/files/{file_id}", methods=["GET"])
async def get_file(req: Request) -> Response:
    return await application().api.get_file(req)


@app.route("v1/files/{file_id}/deliveries", methods=["GET"])
async def list_deliveries(req: Request) -> Response:
    return await application().api.list_deliveries(req)


@app.route("v1/subscriptions", methods=["POST"])
async def create_subscription(req: Request) -> Response:
    return await application().api.create_subscription(req)


@app.route("v1/subscriptions/{subscription_id}", methods=["GET"])
async def get_subscription(req: Request) -> Response:
    return await application().api.get_subscription(req)


@app.blob_trigger(
    arg_name="blob",
    path="%DROPBELL_UPLOADS_CONTAINER%/{owner}/{file_id}",
    connection="DropbellStorage",
    source=func.BlobSource(blob_trigger_source()),
)
async def announce(blob: BlobReference) -> None:
    await application().announce(blob.name)


@app.service_bus_queue_trigger(
    arg_name="message", queue_name="%DROPBELL_QUEUE%", connection="DropbellServiceBus"
)
async def deliver(message: func.ServiceBusMessage) -> None:
    await application().deliver(message.get_body(), enqueued_at=message.enqueued_time_utc)
