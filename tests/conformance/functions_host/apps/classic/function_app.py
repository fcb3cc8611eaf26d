"""HTTP functions that take ``func.HttpRequest``."""

import json
import logging
import os
import sys

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
logger = logging.getLogger(__name__)


@app.route(route="echo/{name}/{number:int?}")
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logger.info("echo was called")
    return func.HttpResponse(
        json.dumps(
            {
                "method": req.method,
                "url": req.url,
                "params": dict(req.route_params),
                "query": dict(req.params),
                "body": req.get_body().decode(),
                "header": req.headers.get("X-Custom"),
                "trace_parent": context.trace_context.trace_parent,
                "invocation_id": context.invocation_id,
                "cwd": os.getcwd(),  # noqa: PTH109 - what the app itself would see
                "first_on_path": sys.path[0],
            }
        ),
        mimetype="application/json",
        headers={"X-Answer": "yes"},
    )


@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    return "plain words"


@app.route(route="cookies")
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("ok")
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax")
    response.headers.add("Set-Cookie", "b=2; Max-Age=60; Secure; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
    return response


@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route(route="fails")
def fails(req: func.HttpRequest) -> str:
    raise ValueError("it went wrong")


@app.route(route="bytes", methods=["POST"])
async def echo_bytes(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), mimetype="application/octet-stream")


@app.route(route="guarded", auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> str:
    return "in"


@app.route(route="owner", auth_level=func.AuthLevel.ADMIN)
def owner(req: func.HttpRequest) -> str:
    return "in"


@app.route(route="exit")
def end_worker(req: func.HttpRequest) -> str:
    os._exit(3)


@app.route(route="sleep/{seconds}")
async def sleep(req: func.HttpRequest) -> str:
    import asyncio

    await asyncio.sleep(float(req.route_params["seconds"]))
    return "slept"
