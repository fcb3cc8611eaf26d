"""HTTP functions that stream, on Microsoft's base classes for web extensions and Starlette."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import uvicorn
from azurefunctions.extensions.base import (
    RequestSynchronizer,
    RequestTrackerMeta,
    ResponseLabels,
    ResponseTrackerMeta,
)
from azurefunctions.extensions.base import (
    WebApp as BaseApp,
)
from azurefunctions.extensions.base import (
    WebServer as BaseServer,
)
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
logger = logging.getLogger(__name__)
MARKS = Path(os.environ.get("MARKS_DIR", "."))


class _Synchronizer(RequestSynchronizer):  # type: ignore[misc]  # the package ships no types
    def sync_route_params(self, request: Request, path_params: dict[str, str]) -> None:
        request.path_params.update(path_params)


class _Request(metaclass=RequestTrackerMeta):  # type: ignore[metaclass]  # as above
    request_type = Request
    synchronizer = _Synchronizer()


class _Response(metaclass=ResponseTrackerMeta):  # type: ignore[metaclass]  # as above
    label = ResponseLabels.STANDARD
    response_type = Response


class WebApp(BaseApp):  # type: ignore[misc]  # the package ships no types
    answer: Callable[[Request], Awaitable[Response]]

    def route(self, func: Callable[[Request], Awaitable[Response]]) -> None:
        self.answer = func

    def get_app(self) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            scope["path_params"] = {}
            response = await self.answer(Request(scope, receive, send))
            await response(scope, receive, send)

        return serve


class WebServer(BaseServer):  # type: ignore[misc]  # the package ships no types
    async def serve(self) -> None:
        config = uvicorn.Config(
            self.web_app,
            host=self.hostname,
            port=self.port,
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        await uvicorn.Server(config).serve()


@app.route(route="files/{*path}")
async def files(req: Request) -> Response:
    return JSONResponse({"path": req.path_params.get("path"), "target": req.scope["raw_path"].decode()})


@app.route(route="upload", methods=["POST", "PUT"])
async def upload(req: Request) -> Response:
    digest, size = hashlib.sha256(), 0
    try:
        async for chunk in req.stream():
            digest.update(chunk)
            size += len(chunk)
    except ClientDisconnect:
        (MARKS / "disconnected").write_text(str(size))
        raise
    (MARKS / "completed").write_text(str(size))
    return JSONResponse({"size": size, "sha256": digest.hexdigest(), "headers": dict(req.headers)})


@app.route(route="refuse", methods=["POST"])
async def refuse(req: Request) -> Response:
    return Response("too much", status_code=413, media_type="text/plain")


@app.route(route="download/{mebibytes:int}/{framing}", methods=["GET", "HEAD"])
async def download(req: Request) -> Response:
    mebibytes = int(req.path_params["mebibytes"])

    async def content() -> AsyncIterator[bytes]:
        sent = 0
        try:
            for sent in range(mebibytes):  # noqa: B007 - told at the end
                await asyncio.sleep(0)  # as reading from storage would
                yield b"x" * 2**20
        finally:
            (MARKS / "sent").write_text(str(sent))

    return StreamingResponse(content(), headers=_framing(req, mebibytes * 2**20) | {"X-Kind": "stream"})


@app.route(route="sized", methods=["GET", "HEAD"])
async def sized(req: Request) -> Response:
    response = Response("0123456789", media_type="text/plain")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    response.headers["Connection"] = "X-Private"
    response.headers["X-Private"] = "for one connection only"
    return response


@app.route(route="status/{code:int}")
async def status(req: Request) -> Response:
    return Response(status_code=int(req.path_params["code"]))


@app.route(route="fails")
async def fails(req: Request) -> Response:
    raise ValueError("it went wrong")


@app.route(route="hang")
async def hang(req: Request) -> Response:
    logger.info("hanging")
    await asyncio.sleep(60)
    return Response()


@app.route(route="cut/{framing}")
async def cut(req: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.sleep(0.2)
        os._exit(3)

    return StreamingResponse(content(), headers=_framing(req, 2000))


@app.route(route="raises/{framing}")
async def raises(req: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.sleep(0.2)
        raise ValueError("in the middle")

    return StreamingResponse(content(), headers=_framing(req, 2000))


def _framing(req: Request, size_bytes: int) -> dict[str, str]:
    return {"Content-Length": str(size_bytes)} if req.path_params["framing"] == "sized" else {}


@app.route(route="{*path}", methods=["OPTIONS"])
async def options(req: Request) -> Response:
    return Response(status_code=204, headers={"X-Path": req.path_params.get("path", "")})


@app.route(route="things/{id}", methods=["GET"])
async def read_thing(req: Request) -> Response:
    return Response(f"read {req.path_params['id']}")


@app.route(route="things/{id}", methods=["HEAD"])
async def measure_thing(req: Request) -> Response:
    return Response(headers={"Upload-Offset": "7", "Content-Length": "123456"})


@app.route(route="things/{id}", methods=["PATCH"])
async def change_thing(req: Request) -> Response:
    return Response(f"changed {req.path_params['id']} by {len(await req.body())} bytes")
