"""Dropbell's functions: every trigger, one call each. What they do is in ``shared``."""

import azure.functions as func

from shared.adapters.blob_reference import BlobReference
from shared.app import application, blob_trigger_source
from shared.web.streaming import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # tokens decide: shared.web.routes


@app.route("health", methods=["GET"])
async def health(req: Request) -> Response:
    return await application().health.answer(req)


@app.route("openapi.json", methods=["GET"])
async def openapi(req: Request) -> Response:
    return await application().answer_open("openapi", req)


@app.route("docs", methods=["GET"])
async def docs(req: Request) -> Response:
    return await application().answer_open("docs", req)


@app.route("problems/{code}", methods=["GET"])
async def problem(req: Request) -> Response:
    return await application().answer_open("problem", req)


@app.route("v1/shared/{token}", methods=["GET", "HEAD"])
async def get_shared_content(req: Request) -> Response:
    return await application().answer_open("get_shared_content", req)


@app.route("v1/unsubscribe/{token}", methods=["GET"])
async def show_unsubscribe(req: Request) -> Response:
    return await application().answer_open("show_unsubscribe", req)


@app.route("v1/unsubscribe/{token}", methods=["POST"])
async def unsubscribe(req: Request) -> Response:
    return await application().answer_open("unsubscribe", req)


@app.route("{*path}", methods=["OPTIONS"])
async def options(req: Request) -> Response:
    return await application().answer_open("options", req)


@app.route("v1/files", methods=["POST"])
async def create_file(req: Request) -> Response:
    return await application().answer("create_file", req)


@app.route("v1/files", methods=["GET"])
async def list_files(req: Request) -> Response:
    return await application().answer("list_files", req)


@app.route("v1/files/{file_id}", methods=["GET", "HEAD"])
async def get_file(req: Request) -> Response:
    return await application().answer("get_file", req)


@app.route("v1/files/{file_id}", methods=["PATCH"])
async def update_file(req: Request) -> Response:
    return await application().answer("update_file", req)


@app.route("v1/files/{file_id}", methods=["DELETE"])
async def delete_file(req: Request) -> Response:
    return await application().answer("delete_file", req)


@app.route("v1/files/{file_id}/content", methods=["GET", "HEAD"])
async def get_content(req: Request) -> Response:
    return await application().answer("get_content", req)


@app.route("v1/files/{file_id}/deliveries", methods=["GET"])
async def list_deliveries(req: Request) -> Response:
    return await application().answer("list_deliveries", req)


@app.route("v1/files/{file_id}/events", methods=["GET"])
async def watch_file(req: Request) -> Response:
    return await application().answer("watch_file", req)


@app.route("v1/deliveries", methods=["GET"])
async def list_own_deliveries(req: Request) -> Response:
    return await application().answer("list_own_deliveries", req)


@app.route("v1/deliveries/{delivery_id}", methods=["GET"])
async def get_delivery(req: Request) -> Response:
    return await application().answer("get_delivery", req)


@app.route("v1/files/{file_id}/share-links", methods=["POST"])
async def create_share_link(req: Request) -> Response:
    return await application().answer("create_share_link", req)


@app.route("v1/files/{file_id}/share-links", methods=["GET"])
async def list_share_links(req: Request) -> Response:
    return await application().answer("list_share_links", req)


@app.route("v1/files/{file_id}/share-links/{link_id}", methods=["DELETE"])
async def delete_share_link(req: Request) -> Response:
    return await application().answer("delete_share_link", req)


@app.route("v1/uploads", methods=["POST"])
async def create_upload(req: Request) -> Response:
    return await application().answer("create_upload", req)


@app.route("v1/uploads/{upload_id}", methods=["GET", "HEAD"])
async def get_upload(req: Request) -> Response:
    return await application().answer("get_upload", req)


@app.route("v1/uploads/{upload_id}", methods=["PATCH"])
async def append_upload(req: Request) -> Response:
    return await application().answer("append_upload", req)


@app.route("v1/uploads/{upload_id}", methods=["DELETE"])
async def delete_upload(req: Request) -> Response:
    return await application().answer("delete_upload", req)


@app.route("v1/uploads/{upload_id}", methods=["POST"])
async def override_upload(req: Request) -> Response:
    return await application().answer("override_upload", req)


@app.route("v1/direct-uploads", methods=["POST"])
async def create_direct_upload(req: Request) -> Response:
    return await application().answer("create_direct_upload", req)


@app.route("v1/direct-uploads/{upload_id}/complete", methods=["POST"])
async def complete_direct_upload(req: Request) -> Response:
    return await application().answer("complete_direct_upload", req)


@app.route("v1/subscriptions", methods=["POST"])
async def create_subscription(req: Request) -> Response:
    return await application().answer("create_subscription", req)


@app.route("v1/subscriptions/{subscription_id}", methods=["GET"])
async def get_subscription(req: Request) -> Response:
    return await application().answer("get_subscription", req)


@app.route("v1/subscriptions", methods=["GET"])
async def list_subscriptions(req: Request) -> Response:
    return await application().answer("list_subscriptions", req)


@app.route("v1/subscriptions/{subscription_id}", methods=["PATCH"])
async def update_subscription(req: Request) -> Response:
    return await application().answer("update_subscription", req)


@app.route("v1/subscriptions/{subscription_id}", methods=["DELETE"])
async def delete_subscription(req: Request) -> Response:
    return await application().answer("delete_subscription", req)


@app.route("v1/subscriptions/{subscription_id}/rotate-secret", methods=["POST"])
async def rotate_secret(req: Request) -> Response:
    return await application().answer("rotate_secret", req)


@app.route("v1/subscriptions/{subscription_id}/test", methods=["POST"])
async def test_subscription(req: Request) -> Response:
    return await application().answer("test_subscription", req)


@app.route("v1/subscriptions/{subscription_id}/verify", methods=["POST"])
async def verify_subscription(req: Request) -> Response:
    return await application().answer("verify_subscription", req)


@app.route("v1/deliveries/{delivery_id}/redeliver", methods=["POST"])
async def redeliver(req: Request) -> Response:
    return await application().answer("redeliver", req)


@app.route("v1/operations/dead-letters", methods=["GET"])
async def list_dead_letters(req: Request) -> Response:
    return await application().answer("list_dead_letters", req)


@app.route("v1/operations/dead-letters/redrive", methods=["POST"])
async def redrive_dead_letters(req: Request) -> Response:
    return await application().answer("redrive_dead_letters", req)


@app.route("v1/operations/dead-letters/discard", methods=["POST"])
async def discard_dead_letters(req: Request) -> Response:
    return await application().answer("discard_dead_letters", req)


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


@app.timer_trigger(arg_name="timer", schedule="%DROPBELL_SWEEP_SCHEDULE%")
async def sweep(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by this name
    await application().sweep()
