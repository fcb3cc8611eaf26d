"""The resource ``/uploads``, called as its bindings do: the whole application over memory adapters."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from shared.web.resumable_draft import MEDIA_TYPE as PARTIAL
from shared.web.tus import MEDIA_TYPE as OFFSET
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import Portal, bearer

if TYPE_CHECKING:
    from starlette.responses import Response

ROUTES = {
    "HEAD": "get_upload",
    "GET": "get_upload",
    "PATCH": "append_upload",
    "DELETE": "delete_upload",
    "POST": "override_upload",
}
type Headers = dict[str, Any]
"""By their names in Python."""

TUS: Headers = {"tus_resumable": "1.0.0"}
APPEND: Headers = {**TUS, "content_type": OFFSET}
DRAFT: Headers = {"upload_draft_interop_version": "9"}
DRAFT_APPEND: Headers = {**DRAFT, "content_type": PARTIAL}
CONTENT = b"ring the bell"
SOMEBODY_S = "019cacff-0000-7000-8000-000000000009"


class Api:
    """Calls the application as its bindings do."""

    def __init__(self) -> None:
        self.portal = Portal()

    async def send(
        self,
        method: str,
        where: str = "",
        *parts: bytes,
        hangs_up: bool = False,
        user: str = forge.USER,
        client: Any = None,
        **headers: str,
    ) -> Response:
        """``where`` is an upload's path or id; without it the request goes to the collection."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if "transfer-encoding" not in named:
            named.setdefault("content-length", str(sum(map(len, parts))))
        sent = request(
            method,
            headers=bearer(user=user) | named,
            client=client or Client(parts, hangs_up=hangs_up),
            **({"upload_id": where.rpartition("/")[2]} if where else {}),
        )
        return await self.portal.app.answer(ROUTES[method] if where else "create_upload", sent)

    async def begin(self, *parts: bytes, **headers: str) -> str:
        answer = await self.send(
            "POST", "", *parts, **({**TUS, "upload_length": str(len(CONTENT))} | headers)
        )
        assert answer.status_code == 201, bytes(answer.body)
        return answer.headers["location"]

    async def offset(self, where: str) -> int:
        return int((await self.send("HEAD", where, **TUS)).headers["upload-offset"])

    async def file(self, file_id: str, *, user: str = forge.USER) -> dict[str, Any]:
        answer = await self.portal.app.answer(
            "get_file", request("GET", headers=bearer(user=user), file_id=file_id)
        )
        assert answer.status_code == 200, bytes(answer.body)
        told: dict[str, Any] = body_of(answer)
        return told

    async def assert_is_file(self, answer: Response, content: bytes = CONTENT, **expected: str) -> None:
        file = await self.file(answer.headers["dropbell-file-id"])
        digest = hashlib.sha256(content).hexdigest()
        expected_file = {"size_bytes": len(content), "sha256": digest, **expected}
        assert {name: file[name] for name in expected_file} == expected_file


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def sha256_field(content: bytes) -> str:
    return f"sha-256=:{encoded(hashlib.sha256(content).digest())}:"


def problem(answer: Response) -> str:
    told: str = body_of(answer)["type"]
    return told.rpartition("/")[2]
