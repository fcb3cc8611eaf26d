"""The ways of bytes in and out that the bench compares, each as a client goes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from azure.storage.blob.aio import BlobClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

MEBIBYTE = 1024 * 1024
PATCH_BYTES = 8 * MEBIBYTE
BLOCK_BYTES = 4 * MEBIBYTE
CONCURRENCY = 3
"""Of the SDK's blocks: what Dropbell itself does for one request."""
CHUNK = bytes(range(256)) * (MEBIBYTE // 256)
READ_BYTES = 256 * 1024


async def content(size_bytes: int) -> AsyncIterator[bytes]:
    """That many bytes, which are a whole number of MiB."""
    for _ in range(size_bytes // MEBIBYTE):
        yield CHUNK


async def _check(answer: aiohttp.ClientResponse) -> None:
    if not answer.ok:
        raise RuntimeError(
            f"{answer.method} {answer.url} was answered {answer.status}: {await answer.text()}"
        )


@dataclass(frozen=True)
class Dropbell:
    """Dropbell's own ways; each returns the id of the file that it made."""

    session: aiohttp.ClientSession
    """Signed in."""
    base_url: str
    """Ends in ``/api/v1``."""

    async def one_request(self, size_bytes: int) -> str:
        """POST /files."""
        headers = {"content-length": str(size_bytes), "content-type": "application/octet-stream"}
        url = f"{self.base_url}/files"
        async with self.session.post(url, data=content(size_bytes), headers=headers) as answer:
            await _check(answer)
            return str((await answer.json())["id"])

    async def direct(self, size_bytes: int) -> str:
        """POST /direct-uploads, the SDK with the address that it gives, and the word that it is done."""
        wish = {"name": "direct.bin", "content_type": "application/octet-stream", "size_bytes": size_bytes}
        async with self.session.post(f"{self.base_url}/direct-uploads", json=wish) as answer:
            await _check(answer)
            told = await answer.json()
        async with BlobClient.from_blob_url(told["upload_url"], max_block_size=BLOCK_BYTES) as blob:
            await blob.upload_blob(content(size_bytes), length=size_bytes, max_concurrency=CONCURRENCY)
        async with self.session.post(urljoin(self.base_url, told["complete_url"])) as answer:
            await _check(answer)
        return str(told["id"])

    async def download(self, file_id: str) -> None:
        """GET /files/{id}/content."""
        async with self.session.get(f"{self.base_url}/files/{file_id}/content") as answer:
            await _check(answer)
            async for _ in answer.content.iter_chunked(READ_BYTES):
                pass

    async def delete(self, file_id: str) -> None:
        """Make room for the next one."""
        async with self.session.delete(f"{self.base_url}/files/{file_id}") as answer:
            await _check(answer)


@dataclass(frozen=True)
class Tus:
    """A client of the tus protocol, for whichever server."""

    session: aiohttp.ClientSession
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=lambda: {"tus-resumable": "1.0.0"})

    async def upload(self, size_bytes: int, patch_bytes: int = PATCH_BYTES) -> str | None:
        """Send it in PATCH requests of that size; the file's id, where the server tells one."""
        creation = {
            **self.headers,
            "upload-length": str(size_bytes),
            "upload-metadata": "filename YmVuY2guYmlu",
        }
        async with self.session.post(self.endpoint, headers=creation) as answer:
            await _check(answer)
            url = urljoin(self.endpoint, answer.headers["location"])
        file_id = None
        for offset in range(0, size_bytes, patch_bytes):
            length = min(patch_bytes, size_bytes - offset)
            headers = {
                **self.headers,
                "content-type": "application/offset+octet-stream",
                "content-length": str(length),
                "upload-offset": str(offset),
            }
            async with self.session.patch(url, data=content(length), headers=headers) as answer:
                await _check(answer)
                file_id = answer.headers.get("dropbell-file-id")
        return file_id


@dataclass(frozen=True)
class Storage:
    """The storage account by its SDK alone: what any server between can at best come near to."""

    connection_string: str
    container: str

    async def upload(self, size_bytes: int) -> None:
        """Parallel blocks, as large as Dropbell's."""
        async with self._blob() as blob:
            await blob.upload_blob(
                content(size_bytes), length=size_bytes, max_concurrency=CONCURRENCY, overwrite=True
            )

    async def download(self) -> None:
        """What was uploaded last, as one stream."""
        async with self._blob() as blob:
            async for _ in (await blob.download_blob()).chunks():
                pass

    def _blob(self) -> BlobClient:
        return BlobClient.from_connection_string(
            self.connection_string, self.container, "straight", max_block_size=BLOCK_BYTES
        )
