"""Recognise created blobs in Azurite's access log.

Azurite writes one line in the Common Log Format for each request to any of its three services. A blob comes
into being by Put Blob and Put Block List (201) and by Copy Blob (202); a request with any other ``comp`` only
changes or reads something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

_LINE = re.compile(r'\S+ - \S+ \[[^\]]*\] "PUT (?P<target>/\S*) HTTP/[0-9.]+" (?P<status>[0-9]{3}) \S+')


class Api(StrEnum):
    """The operation that created a blob, as ``data.api`` names it."""

    PUT_BLOB = "PutBlob"
    PUT_BLOCK_LIST = "PutBlockList"
    COPY_BLOB = "CopyBlob"


_CREATIONS = {
    ("", 201): Api.PUT_BLOB,
    ("blocklist", 201): Api.PUT_BLOCK_LIST,
    ("", 202): Api.COPY_BLOB,
}
"""By ``comp`` and status."""


@dataclass(frozen=True, slots=True)
class BlobCreation:
    """One blob came into being (again, when it was overwritten)."""

    container: str
    name: str
    api: Api


def parse_line(line: bytes, account_path: str) -> BlobCreation | None:
    """Return the creation that a log line tells of, or None.

    Args:
        line: One line, with or without its end.
        account_path: Path of the account in the blob endpoint: ``/devstoreaccount1``, or empty where the host
            name carries the account.
    """
    match = _LINE.fullmatch(line.decode(errors="replace").strip("\0\r\n"))
    if match is None:
        return None
    path, _, query = match["target"].partition("?")
    parameters = parse_qs(query, keep_blank_values=True)
    api = _CREATIONS.get((parameters.get("comp", [""])[0], int(match["status"])))
    if api is None or "restype" in parameters or not path.startswith(f"{account_path}/"):
        return None
    # A queue or a table is the only segment of its path, so neither can look like a blob.
    container, separator, name = path.removeprefix(f"{account_path}/").partition("/")
    if not (container and separator and name):
        return None
    return BlobCreation(unquote(container), unquote(name), api)


def account_path(blob_endpoint: str) -> str:
    """Return the ``account_path`` of an account's blob endpoint."""
    return urlsplit(blob_endpoint).path.rstrip("/")
