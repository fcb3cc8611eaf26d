"""The way around the service: the bytes go straight into the storage, by a short-lived URL for one blob."""

from __future__ import annotations

import base64
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import requests

from dropbell.answers import Fields
from dropbell.body import BodyPart, RunningDigest
from dropbell.connection import decoded, path_below_api, request_body, retry_after_seconds
from dropbell.errors import DropbellError, InputError, ProblemError, UnexpectedAnswerError
from dropbell.file import File
from dropbell.retrying import Attempts, is_temporary, persistently
from dropbell.transport import connection_failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dropbell.body import Payload
    from dropbell.connection import Connection
    from dropbell.source import Source

MAX_SINGLE_BYTES = 256 * 1024 * 1024
"""Up to this, one Put Blob; above it, blocks (the storage itself takes up to 5,000 MiB at once)."""
BLOCK_BYTES = 32 * 1024 * 1024
MAX_BLOCKS = 50_000
"""https://learn.microsoft.com/rest/api/storageservices/put-block"""
_FOR_PUT_BLOB_ONLY = frozenset({"x-ms-blob-type", "content-type", "content-length", "content-md5"})


@dataclass(frozen=True)
class Ticket:
    """Permission to put one blob, and what to do with it."""

    id: str
    upload_url: str
    method: str
    headers: Mapping[str, Any]
    expires_at: datetime | None
    complete_url: str

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Read it; raises UnexpectedAnswerError."""
        fields = Fields(body, "direct upload")
        return cls(
            id=fields.text("id"),
            upload_url=fields.text("upload_url"),
            method=fields.text("method"),
            headers=fields.mapping("headers"),
            expires_at=fields.optional_time("expires_at"),
            complete_url=fields.text("complete_url"),
        )


def upload_directly(
    connection: Connection,
    source: Source,
    *,
    max_single_bytes: int = MAX_SINGLE_BYTES,
    block_bytes: int = BLOCK_BYTES,
) -> File:
    """Upload into the storage; the file appears once the service has checked size, type and SHA-256.

    Args:
        connection: The service.
        source: A file or a stream that can be read again.
        max_single_bytes: Up to this size one request, above it blocks.
        block_bytes: The size of a block; it is enlarged where there would be too many.

    Raises:
        InputError: It cannot be read twice, as is the case for a pipe.
        DamagedContentError: The stored file is not what was sent.
        ProblemError: The service or the storage refused.
        DropbellError: As ``Connection.request`` does.
    """
    body = source.body
    if body.size_bytes is None:
        raise InputError("What can be read only once, such as a pipe, cannot be uploaded directly.")
    sha256 = RunningDigest(body).of_whole()
    wanted = {
        "name": source.name,
        "content_type": source.content_type,
        "size_bytes": body.size_bytes,
        "sha256": sha256,
    }
    backoff = connection.backoff
    answer = persistently(backoff, lambda: connection.request("POST", "/direct-uploads", json=wanted))
    ticket = Ticket.from_json(decoded(answer))
    complete_path = path_below_api(ticket.complete_url)
    with closing(connection.session_without_token()) as session:
        storage = _Storage(session, ticket, Attempts(backoff))
        if body.size_bytes <= max_single_bytes:
            storage.put_blob(BodyPart(body, 0, body.size_bytes, source.on_progress))
        else:
            storage.put_blocks(source, block_spans(body.size_bytes, block_bytes))
    answer = persistently(backoff, lambda: connection.request("POST", complete_path))
    return File.from_json(decoded(answer)).check_stored(body.size_bytes, sha256)


def block_spans(size_bytes: int, block_bytes: int) -> list[tuple[int, int]]:
    """Divide into blocks, (start, size) each, so that there are not more than the storage takes."""
    block_bytes = max(block_bytes, -(-size_bytes // MAX_BLOCKS))
    return [(start, min(block_bytes, size_bytes - start)) for start in range(0, size_bytes, block_bytes)]


def block_id(number: int) -> str:
    """Return the id of a block; in one blob all have the same length, as the storage demands."""
    return base64.b64encode(f"{number:08d}".encode()).decode()


def block_list(count: int) -> bytes:
    """Write the body of Put Block List: the blocks that make the blob, in order."""
    blocks = "".join(f"<Latest>{block_id(number)}</Latest>" for number in range(count))
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()


class _Storage:
    """Speaks to the storage by the ticket's URL, which is all the permission there is."""

    def __init__(self, session: requests.Session, ticket: Ticket, attempts: Attempts) -> None:
        if urlsplit(ticket.upload_url).scheme not in ("http", "https"):
            raise UnexpectedAnswerError("The service led to a storage that has no web address.")
        self._session = session
        self._ticket = ticket
        self._attempts = attempts
        self._headers = {name: str(value) for name, value in ticket.headers.items()}

    def put_blob(self, body: Payload) -> None:
        self._send(self._ticket.method, self._ticket.upload_url, self._headers, body)

    def put_blocks(self, source: Source, spans: Sequence[tuple[int, int]]) -> None:
        common = {
            name: value for name, value in self._headers.items() if name.lower() not in _FOR_PUT_BLOB_ONLY
        }
        versions = {name: value for name, value in common.items() if name.lower() == "x-ms-version"}
        for number, (start, length) in enumerate(spans):
            url = f"{self._ticket.upload_url}&comp=block&blockid={quote(block_id(number), safe='')}"
            self._send("PUT", url, versions, BodyPart(source.body, start, length, source.on_progress))
        listed = {"x-ms-blob-content-type": source.content_type, "Content-Type": "application/xml"}
        url = f"{self._ticket.upload_url}&comp=blocklist"
        self._send("PUT", url, common | listed, block_list(len(spans)))

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Payload | bytes) -> None:
        while True:
            try:
                self._send_once(method, url, headers, body)
            except DropbellError as error:
                if not self._attempts.is_first and _is_there_already(error):
                    break  # an attempt whose answer was lost; completing tells whether it was whole
                if not is_temporary(error):
                    raise
                self._attempts.wait_after(error)
            else:
                break
        self._attempts.progressed()

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], body: Payload | bytes) -> None:
        data = body if isinstance(body, bytes) else request_body(body)
        try:
            answer = self._session.request(method, url, headers=headers, data=data, allow_redirects=False)
        except requests.RequestException as error:
            raise connection_failed(error, url) from error
        if answer.ok and not answer.is_redirect:
            return
        self._session.close()  # a body refused unread ends its connection
        code = answer.headers.get("x-ms-error-code") or answer.reason or "refused"
        raise ProblemError(
            status=answer.status_code,
            type="about:blank",
            title=code,
            detail=f"The storage refused the upload: {code}.",
            correlation_id=answer.headers.get("x-ms-request-id"),
            retry_after_seconds=retry_after_seconds(answer),
        )


def _is_there_already(error: DropbellError) -> bool:
    return isinstance(error, ProblemError) and (
        error.status in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
        or error.title == "UnauthorizedBlobOverwrite"
    )
