"""tus 1.0 as the outer contract has it, and the ways in which it is interrupted."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from tests.unit.client.fake_records import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHECKSUM_MISMATCH = 460


@dataclass
class Upload:
    name: str
    content_type: str
    size_bytes: int
    content: bytes = b""
    file_id: str | None = None

    def headers(self) -> dict[str, str]:
        told = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(len(self.content)),
            "Upload-Length": str(self.size_bytes),
        }
        return told if self.file_id is None else told | {"Dropbell-File-Id": self.file_id}


@dataclass
class FakeUploads:
    uploads: dict[str, Upload] = field(default_factory=dict)
    publish: Callable[[str, str, bytes], str] = lambda name, content_type, content: "unset"
    creations: int = 0
    """How many uploads were ever created."""

    def answer(self, request: web.Request, path: str, body: bytes) -> web.Response | None:
        if not path.startswith("/uploads"):
            return None
        if request.headers.get("Tus-Resumable") != "1.0.0":
            return problem(412, "Unsupported version", "Speak tus 1.0.0.")
        if path == "/uploads":
            return self._create(request)
        upload = self.uploads.get(path.removeprefix("/uploads/"))
        if upload is None:
            return problem(404, "Not found", "There is no such upload.")
        if request.method == "HEAD":
            return web.Response(headers=upload.headers())
        return self._append(upload, request, body)

    def _create(self, request: web.Request) -> web.Response:
        metadata = {
            key: base64.b64decode(value).decode()
            for key, value in (each.split(" ") for each in request.headers["Upload-Metadata"].split(","))
        }
        upload = Upload(metadata["filename"], metadata["filetype"], int(request.headers["Upload-Length"]))
        upload_id = f"upload-{self.creations}"
        self.creations += 1
        self.uploads[upload_id] = upload
        if upload.size_bytes == 0:
            self._finish(upload)
        # The service need not know the address by which it is reached.
        location = f"https://inside.example/api/v1/uploads/{upload_id}"
        return web.Response(status=201, headers=upload.headers() | {"Location": location})

    def _append(self, upload: Upload, request: web.Request, body: bytes) -> web.Response:
        if request.headers["Upload-Offset"] != str(len(upload.content)):
            return problem(409, "Conflict", "The upload is at another offset.")
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if request.headers["Upload-Checksum"] != f"sha256 {checksum}":
            return problem(_CHECKSUM_MISMATCH, "Checksum mismatch", "Other bytes were sent.")
        upload.content += body
        if len(upload.content) == upload.size_bytes:
            self._finish(upload)
        return web.Response(status=204, headers=upload.headers())

    def _finish(self, upload: Upload) -> None:
        if upload.file_id is None:
            upload.file_id = self.publish(upload.name, upload.content_type, upload.content)

    def cut_after(self, size_bytes: int) -> Answer:
        """Take so many bytes of the only upload's next part, keep them, and drop the connection."""

        async def answer(request: web.Request) -> web.StreamResponse:
            (upload,) = self.uploads.values()
            upload.content += await request.content.readexactly(size_bytes)
            return dropped(request)

        return answer

    def lose_answer(self) -> Answer:
        """Take the request as a whole, act on it, and drop the connection instead of answering."""

        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.content.read()
            self.answer(request, request.path.removeprefix("/api/v1"), body)
            return dropped(request)

        return answer


def dropped(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
