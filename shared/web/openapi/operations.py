"""Every operation by the name of its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.web.openapi.files import FILE_OPERATIONS
from shared.web.openapi.notifications import NOTIFICATION_OPERATIONS
from shared.web.openapi.service import SERVICE_OPERATIONS
from shared.web.openapi.uploads import UPLOAD_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.web.openapi.operation import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {
    **FILE_OPERATIONS,
    **UPLOAD_OPERATIONS,
    **NOTIFICATION_OPERATIONS,
    **SERVICE_OPERATIONS,
}
"""Of the routes in ``shared.web.routes`` and those that need no token."""

CHAPTERS: Final[Mapping[str, str]] = {
    "Files": "The catalogue: send a file in one request, list, read, change, delete.",
    "Content": "The bytes.",
    "Sharing": "Links for people without an account.",
    "Resumable uploads": "Uploads that survive a broken connection, by tus 1.0 or the IETF draft.",
    "Direct uploads": "Bytes that go straight to Blob Storage.",
    "Subscriptions": "Who is told of files.",
    "Service": "About the service itself; without a token.",
}
"""The tags in reading order."""
