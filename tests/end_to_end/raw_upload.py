"""Resumable uploads by plain HTTP: requests, and sockets where a connection has to be slow or cut."""

from __future__ import annotations

import base64
import hashlib
import socket
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from types import TracebackType

    from tests.end_to_end.running_stack import RunningStack

type Headers = dict[str, Any]
"""Header fields by their names in Python."""

TUS = {"tus-resumable": "1.0.0"}
OFFSET = "application/offset+octet-stream"
PARTIAL = "application/partial-upload"


class Uploader:
    """Sends as one user; a token is asked for once, since tests are short."""

    def __init__(self, stack: RunningStack, user: str = "alice") -> None:
        self.stack = stack
        self.signed_in = stack.headers(user)

    def send(self, method: str, url: str = "", content: bytes = b"", **headers: str) -> requests.Response:
        """``url`` as it was answered; without it the request goes to the collection."""
        return requests.request(
            method,
            urljoin(self.stack.url("/uploads"), url),
            data=content,
            headers=self.signed_in | {name.replace("_", "-"): value for name, value in headers.items()},
            timeout=HTTP_TIMEOUT_SECONDS,
        )

    def begin(self, size_bytes: int, **headers: Any) -> str:
        answer = self.send("POST", tus_resumable="1.0.0", upload_length=str(size_bytes), **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def append(self, url: str, offset_bytes: int, content: bytes, **headers: str) -> requests.Response:
        given: Headers = {
            "tus_resumable": "1.0.0",
            "upload_offset": str(offset_bytes),
            "content_type": OFFSET,
        }
        return self.send("PATCH", url, content, **given | headers)

    def offset(self, url: str) -> int:
        answer = self.send("HEAD", url, tus_resumable="1.0.0")
        assert answer.status_code == 200, answer.headers
        return int(answer.headers["Upload-Offset"])

    def slow_append(self, url: str, offset_bytes: int, size_bytes: int) -> SlowAppend:
        """A PATCH of ``size_bytes`` whose bytes are sent piece by piece."""
        fields = self.signed_in | TUS | {"upload-offset": str(offset_bytes), "content-type": OFFSET}
        return SlowAppend(urljoin(self.stack.url("/uploads"), url), fields, size_bytes)


class SlowAppend:
    """A request that is under way for as long as the test likes. Leaving it cuts the connection."""

    def __init__(self, url: str, fields: dict[str, str], size_bytes: int) -> None:
        address = urlsplit(url)
        lines = [f"PATCH {address.path} HTTP/1.1", f"host: {address.netloc}", f"content-length: {size_bytes}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        self._socket = socket.create_connection(
            (address.hostname or "", address.port or 80), HTTP_TIMEOUT_SECONDS
        )
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def send_if_let(self, content: bytes) -> None:
        """Send as much as is taken: the service may have ended the connection."""
        try:
            self.send(content)
        except OSError:
            return

    def status(self) -> int | None:
        """Of the answer; None where the connection ended without one."""
        response = HTTPResponse(self._socket)
        try:
            response.begin()
        except (OSError, ValueError):
            return None
        return response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def staged_blocks(stack: RunningStack, url: str) -> int:
    """How many blocks of an upload are in the store and in no blob yet."""
    upload_id = url.rpartition("/")[2]
    with BlobServiceClient.from_connection_string(stack.addresses["storage_connection_string"]) as service:
        container = service.get_container_client("uploads")
        names = [blob.name for blob in container.list_blobs(include=["uncommittedblobs"])]
        for name in names:
            if name.endswith(upload_id):
                _, uncommitted = container.get_blob_client(name).get_block_list("uncommitted")
                return len(uncommitted)
    return 0


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def checksum(algorithm: str, content: bytes) -> str:
    """An Upload-Checksum."""
    return f"{algorithm} {encoded(hashlib.new(algorithm, content).digest())}"
