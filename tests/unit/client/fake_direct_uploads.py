"""Direct uploads as the outer contract has them, with a storage that takes Put Blob and Put Block (List)."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.unit.client.fake_records import file_json, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIGNATURE = "sv=2026-01-01&sig=secret"


@dataclass
class FakeDirectUploads:
    storage_url: str = ""
    publish: Callable[[str, str, bytes], str] = lambda name, content_type, content: "unset"
    wanted: dict[str, Any] = field(default_factory=dict)
    blob: bytes | None = None
    blocks: dict[str, bytes] = field(default_factory=dict)
    storage_requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    next_storage_answers: deque[Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=deque
    )

    def answer(self, request: web.Request, path: str, body: bytes) -> web.Response | None:
        match request.method, path:
            case "POST", "/direct-uploads":
                self.wanted = json.loads(body)
                ticket = {
                    "id": "direct-1",
                    "upload_url": f"{self.storage_url}/storage/incoming/direct-1?{SIGNATURE}",
                    "method": "PUT",
                    "headers": {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2026-02-06"},
                    "expires_at": "2026-01-02T03:34:05Z",
                    "complete_url": "https://inside.example/api/v1/direct-uploads/direct-1/complete",
                }
                return web.json_response(ticket, status=201)
            case "POST", "/direct-uploads/direct-1/complete":
                if self.blob is None:
                    return problem(409, "Conflict", "Nothing was uploaded.")
                file_id = self.publish(self.wanted["name"], self.wanted["content_type"], self.blob)
                named = {name: self.wanted[name] for name in ("name", "content_type", "sha256")}
                return web.json_response(file_json(id=file_id, size_bytes=len(self.blob), **named))
        return None

    async def put_into_storage(self, request: web.Request) -> web.StreamResponse:
        self.storage_requests.append((request.query_string, dict(request.headers)))
        if self.next_storage_answers:
            return await self.next_storage_answers.popleft()(request)
        body = await request.content.read()
        match request.query.get("comp"):
            case "block":
                self.blocks[request.query["blockid"]] = body
            case "blocklist":
                listed = re.findall(r"<Latest>(.+?)</Latest>", body.decode())
                self.blob = b"".join(self.blocks[each] for each in listed)
            case _:
                if self.blob is not None:
                    return refused(409, "BlobAlreadyExists")
                self.blob = body
        return web.Response(status=201)


def refused(status: int, code: str) -> web.Response:
    """A refusal of the storage: XML, and its code in a header."""
    xml = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
    headers = {"x-ms-error-code": code, "x-ms-request-id": "storage-request-1"}
    return web.Response(status=status, text=xml, content_type="application/xml", headers=headers)
