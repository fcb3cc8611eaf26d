"""``/files/{file_id}/content``: the bytes, streamed; whole or a range of them."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from shared.errors import EntityMissingError, NotFoundError
from shared.files import file as files
from shared.files.scanning import check_passed
from shared.web.byte_range import byte_range
from shared.web.conditional import allows_range, check_precondition, field, is_not_modified
from shared.web.content_headers import disposition, of_content, validators
from shared.web.entity_tag import content_tag
from shared.web.query import choice, flag

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import Send

    from shared.files.catalogue import Catalogue
    from shared.files.file import File
    from shared.ports import BlobStore, Clock, UrlSigner
    from shared.web.call import Call

URL_LIFE = timedelta(minutes=5)
"""Of a URL that leads past us. It is followed at once."""


class ContentRoutes:
    """Serves the bytes of files; with ``only_scanned``, of none that waits for the scan for malware."""

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: BlobStore,
        urls: UrlSigner,
        clock: Clock,
        *,
        only_scanned: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._urls = urls
        self._clock = clock
        self._only_scanned = only_scanned

    async def get_content(self, call: Call) -> Response:
        """``GET`` and ``HEAD /files/{file_id}/content``; ``?redirect=true`` leads to a short-lived URL."""
        request = call.request
        file = await self._catalogue.find_published(call.owner, str(request.path_params["file_id"]))
        if flag(request.query_params, "redirect"):
            return await self._redirect(file, inline=_inline(request))
        return await self.serve(request, file)

    async def serve(self, request: Request, file: File) -> Response:
        """The file's bytes as the request's Range and conditions ask for (order: RFC 9110 §13.2.2).

        Memory stays bounded: chunks are passed on as Blob Storage sends them. When it fails in the middle,
        the connection breaks, so that half a file is never taken for a whole one.
        """
        self._check_passed(file)
        tag = content_tag(file)
        inline = _inline(request)
        check_precondition(request, tag)
        if is_not_modified(request, tag, file.stored_at):
            return Response(status_code=304, headers=validators(file))
        headers = of_content(file, inline=inline)
        if request.method == "HEAD":
            return Response(headers=headers | {"content-length": str(file.size_bytes)})
        wanted = byte_range(field(request, "range"), file.size_bytes) if allows_range(request, tag) else None
        if wanted is None:
            return await self._streamed(file, 0, file.size_bytes, 200, headers)
        headers["content-range"] = wanted.content_range(file.size_bytes)
        return await self._streamed(file, wanted.first, wanted.size_bytes, 206, headers)

    async def _streamed(
        self, file: File, offset_bytes: int, size_bytes: int, status_code: int, headers: dict[str, str]
    ) -> Response:
        headers["content-length"] = str(size_bytes)
        if size_bytes == 0:
            return Response(status_code=status_code, headers=headers)
        chunks = self._blobs.read(
            files.blob_name(file.owner, file.id), offset_bytes=offset_bytes, size_bytes=size_bytes
        )
        # The first chunk is awaited before anything is answered, so that a store that is down is a clean 503.
        try:
            first = await anext(chunks, b"")
        except EntityMissingError:
            raise NotFoundError("You have no file of this id.", reason="blob-missing") from None
        return _Stream(_joined(first, chunks), status_code, headers)

    def _check_passed(self, file: File) -> None:
        if self._only_scanned:
            check_passed(file, self._clock.now())

    async def _redirect(self, file: File, *, inline: bool) -> Response:
        self._check_passed(file)
        url = await self._urls.download_url(
            files.blob_name(file.owner, file.id),
            expires_at=self._clock.now() + URL_LIFE,
            content_type=file.content_type,
            content_disposition=disposition(file, inline=inline),
        )
        return Response(status_code=302, headers={"location": url, "cache-control": "no-store"})


class _Stream(StreamingResponse):
    """Lets go of the read as soon as the client is gone."""

    body_iterator: AsyncGenerator[bytes]

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


async def _joined(first: bytes, following: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(following):
        yield first
        async for chunk in following:
            yield chunk


def _inline(request: Request) -> bool:
    return choice(request.query_params, "disposition", ("attachment", "inline")) == "inline"
