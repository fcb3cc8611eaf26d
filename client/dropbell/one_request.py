"""The plain way: a file in one request, sent again under the same key when its answer was lost."""

from __future__ import annotations

import base64
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

from dropbell.body import RunningDigest
from dropbell.connection import decoded
from dropbell.errors import DropbellError, ProblemError
from dropbell.file import File
from dropbell.retrying import Attempts, is_temporary, never_reached
from dropbell.source import content_disposition

if TYPE_CHECKING:
    from dropbell.connection import Connection
    from dropbell.source import Source


def upload_in_one_request(connection: Connection, source: Source) -> File:
    """Upload by one ``POST /files``.

    A file is read once before, for its ``Repr-Digest`` (RFC 9530): the service refuses what arrives damaged.
    Its ``Idempotency-Key`` lets it be sent again without being stored twice; a pipe is sent once.

    Raises:
        DamagedContentError: The stored file is not what was sent.
        DropbellError: As ``Connection.request`` does.
    """
    body = source.body
    headers = {
        "Content-Type": source.content_type,
        "Content-Disposition": content_disposition(source.name),
        "Idempotency-Key": f'"{uuid.uuid4()}"',
    }
    if body.replayable:
        digest = bytes.fromhex(RunningDigest(body).of_whole())
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
    attempts = Attempts(connection.backoff)
    while True:
        try:
            answer = connection.request("POST", "/files", body=body, headers=headers)
        except DropbellError as error:
            if not body.replayable or not _may_succeed(error, attempts):
                raise
            attempts.wait_after(error)
        else:
            file = File.from_json(decoded(answer))
            sent_bytes = file.size_bytes if body.size_bytes is None else body.size_bytes
            return file.check_stored(sent_bytes, body.sent_sha256)


def _may_succeed(error: DropbellError, attempts: Attempts) -> bool:
    if attempts.is_first:
        return is_temporary(error) and not never_reached(error)
    # The first attempt may still be worked on (Idempotency-Key).
    return is_temporary(error) or (isinstance(error, ProblemError) and error.status == HTTPStatus.CONFLICT)
