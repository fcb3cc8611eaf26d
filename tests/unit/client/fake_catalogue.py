"""Files, their content and their share links, as the outer contract has them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.unit.client.fake_records import file_json, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass
class StoredFile:
    record: dict[str, Any]
    content: bytes
    revision: int = 1
    links: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{self.revision}.0"'


@dataclass
class FakeCatalogue:
    files: dict[str, StoredFile] = field(default_factory=dict)

    def add(self, name: str, content_type: str, content: bytes) -> str:
        file_id = f"0193-{len(self.files):04}"
        record = file_json(
            id=file_id,
            name=name,
            content_type=content_type,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            labels={},
        )
        self.files[file_id] = StoredFile(record, content)
        return file_id

    def answer(self, request: web.Request, path: str, body: bytes) -> web.Response | None:
        if (request.method, path) == ("GET", "/files"):
            return self._page(request)
        match = re.fullmatch(r"/files/([^/]+)(/content|/share-links)?(?:/([^/]+))?", path)
        if match is None or match[1] not in self.files:
            return None
        file = self.files[match[1]]
        match request.method, match[2]:
            case "GET", None:
                return web.json_response(file.record | {"etag": file.etag})
            case "PATCH", None:
                return _patch(file, request, body)
            case "DELETE", None:
                return self._delete(match[1], request)
            case "GET", "/content":
                return _content(file, request)
            case _, "/share-links":
                return _share_links(file, request.method, match[3], body)
        return None

    def _page(self, request: web.Request) -> web.Response:
        records = [file.record for file in reversed(self.files.values())]
        prefix = request.query.get("name_prefix", "")
        records = [record for record in records if record["name"].startswith(prefix)]
        start, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        end = start + limit
        cursor = str(end) if end < len(records) else None
        return web.json_response({"items": records[start:end], "next_cursor": cursor})

    def _delete(self, file_id: str, request: web.Request) -> web.Response:
        if request.headers.get("If-Match") not in (None, self.files[file_id].etag):
            return problem(412, "Changed by someone else", "Changed; reload.")
        del self.files[file_id]
        return web.Response(status=204)


def _patch(file: StoredFile, request: web.Request, body: bytes) -> web.Response:
    if request.content_type != "application/merge-patch+json":
        return problem(415, "Unsupported media type", "Send a merge patch.")
    if "If-Match" not in request.headers:
        return problem(428, "If-Match is missing", "Say what you change.")
    if request.headers["If-Match"] != file.etag:
        return problem(412, "Changed by someone else", "Changed; reload.")
    patch = json.loads(body)
    labels = {**file.record["labels"], **patch.pop("labels", {})}
    file.record |= patch | {"labels": {name: value for name, value in labels.items() if value is not None}}
    file.revision += 1
    return web.json_response(file.record | {"etag": file.etag})


def _content(file: StoredFile, request: web.Request) -> web.Response:
    whole = file.content
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    headers = {"ETag": f'"{hashlib.sha256(whole).hexdigest()[:16]}"'}
    if match is None or request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        return web.Response(body=whole, headers=headers)
    start = int(match[1]) if match[1] else len(whole) - int(match[2])
    end = int(match[2]) + 1 if match[1] and match[2] else len(whole)
    if start >= len(whole):
        return problem(416, "Range not satisfiable", "There is no such byte.")
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(whole)}"
    return web.Response(status=206, body=whole[start:end], headers=headers)


def _share_links(file: StoredFile, method: str, link_id: str | None, body: bytes) -> web.Response:
    if method == "GET":
        return web.json_response({"items": list(file.links.values()), "next_cursor": None})
    if method == "DELETE" and link_id is not None:
        if file.links.pop(link_id, None) is None:
            return problem(404, "Not found", "There is no such link.")
        return web.Response(status=204)
    made = {
        "id": f"link-{len(file.links)}",
        "url": f"https://dropbell.example/s/{len(file.links)}",
        "created_at": "2026-01-02T03:04:05Z",
        **json.loads(body),
    }
    file.links[made["id"]] = made
    return web.json_response(made, status=201)


def cut_after(
    size_bytes: int, content: bytes, **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An answer that announces ``content`` and breaks off after so many bytes of it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content)), **headers})
        await response.prepare(request)
        await response.write(content[:size_bytes])
        assert request.transport is not None
        request.transport.close()
        return response

    return answer
