"""``/direct-uploads``: leave to send bytes straight to Blob Storage, and the word that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, Field
from starlette.responses import Response

from shared.files import direct
from shared.files.content_type import MAX_CONTENT_TYPE_CHARACTERS, checked_content_type
from shared.files.direct import MAX_SINGLE_PUT_BYTES, DirectUpload, block_bytes
from shared.notifications.fan_out import deliveries_of
from shared.web.bodies import Instant
from shared.web.file_bodies import FileDetail
from shared.web.json_body import JSON, JsonBody, json_bytes
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from shared.files.direct import DirectUploads
    from shared.ports import TableStore
    from shared.web.call import Call


class NewDirectUpload(JsonBody):
    """A file that the client is about to send straight to Blob Storage."""

    name: str = Field(description="Of 1 to 255 bytes in UTF-8, without folders.", min_length=1)
    content_type: str = Field(
        description="Its media type.", min_length=3, max_length=MAX_CONTENT_TYPE_CHARACTERS
    )
    size_bytes: int = Field(description="How many bytes it has, exactly.", ge=1)
    sha256: str | None = Field(
        None,
        description="Its SHA-256, in hexadecimal digits: other bytes are not published.",
        pattern="^[0-9A-Fa-f]{64}$",
    )

    def wanted(self, call: Call) -> direct.NewDirectUpload:
        """What the caller wants; raises UnsupportedMediaTypeError for what is no media type."""
        return direct.NewDirectUpload(
            owner=call.owner,
            tenant=call.tenant,
            name=self.name,
            content_type=checked_content_type(self.content_type),
            size_bytes=self.size_bytes,
            correlation_id=call.correlation_id,
            traceparent=call.trace.traceparent,
            sha256=None if self.sha256 is None else self.sha256.lower(),
        )


class InBlocks(BaseModel):
    """How to send the file in many requests: Put Block for each part, then Put Block List.

    Each block is a PUT of its bytes to ``block_url``, an RFC 6570 template; ``block_id`` is base64, of one
    length for all blocks. Then ``<BlockList><Latest>{block_id}</Latest>…</BlockList>`` is PUT to
    ``commit_url`` with ``commit_headers``.
    """

    required: bool = Field(description="Whether the file is too large for one PUT.")
    block_size_bytes: int = Field(description="A good size of the blocks; the last one may be smaller.")
    block_url: str = Field(description="Where each block goes; a URI template (RFC 6570).")
    commit_url: str = Field(description="Where the list of the blocks goes.")
    commit_headers: dict[str, str] = Field(description="What the request with the list carries.")


class DirectUploadBody(BaseModel):
    """The next step: send the bytes to `upload_url`, then post to `complete_url`."""

    id: str = Field(description="The id of the file that it becomes.")
    upload_url: str = Field(
        description="Where the bytes go. Whoever has it can write this one blob, and nothing else."
    )
    method: Literal["PUT"] = Field(description="The method of the request with the bytes.")
    headers: dict[str, str] = Field(description="What the request with the bytes carries.")
    expires_at: Instant = Field(description="Until when `upload_url` takes requests.")
    complete_url: str = Field(description="Where to say that all bytes are there, with a POST.")
    in_blocks: InBlocks = Field(description="The other way: in blocks, needed for more than 5000 MiB.")

    @classmethod
    def of(cls, made: DirectUpload, *, public_url: str) -> Self:
        """The answer for ``made``."""
        upload = made.upload
        size_bytes = upload.length_bytes or 0
        return cls(
            id=upload.id,
            upload_url=made.url,
            method="PUT",
            headers={"x-ms-blob-type": "BlockBlob", "Content-Type": upload.content_type},
            expires_at=made.url_expires_at,
            complete_url=f"{public_url.rstrip('/')}{BASE_PATH}/direct-uploads/{upload.id}/complete",
            in_blocks=InBlocks(
                required=size_bytes > MAX_SINGLE_PUT_BYTES,
                block_size_bytes=block_bytes(size_bytes),
                block_url=f"{made.url}&comp=block&blockid={{block_id}}",
                commit_url=f"{made.url}&comp=blocklist",
                commit_headers={
                    "x-ms-blob-content-type": upload.content_type,
                    "Content-Type": "application/xml",
                },
            ),
        )


class DirectUploadRoutes:
    """The routes of direct uploads."""

    def __init__(self, uploads: DirectUploads, tables: TableStore, *, public_url: str) -> None:
        self._uploads = uploads
        self._tables = tables
        self._public_url = public_url

    async def create_direct_upload(self, call: Call) -> Response:
        """``POST /direct-uploads``."""
        wanted = NewDirectUpload.read(await json_bytes(call)).wanted(call)
        body = DirectUploadBody.of(await self._uploads.create(wanted), public_url=self._public_url)
        headers = {"location": _location(body.id)}
        return Response(body.model_dump_json(), 201, headers, media_type=JSON)

    async def complete_direct_upload(self, call: Call) -> Response:
        """``POST /direct-uploads/{upload_id}/complete``: the file, each time that it is asked."""
        file = await self._uploads.complete(call.owner, str(call.request.path_params["upload_id"]))
        body = FileDetail.with_deliveries(file, await deliveries_of(self._tables, file))
        headers = {"etag": body.etag, "location": _location(body.id)}
        return Response(body.model_dump_json(), headers=headers, media_type=JSON)


def _location(file_id: str) -> str:
    """Where the file is, once it is one."""
    return f"{BASE_PATH}/files/{file_id}"
