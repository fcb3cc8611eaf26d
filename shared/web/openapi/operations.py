"""Every operation by the name of its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.web.openapi.deliveries import DELIVERY_OPERATIONS
from shared.web.openapi.files import FILE_OPERATIONS
from shared.web.openapi.notifications import NOTIFICATION_OPERATIONS
from shared.web.openapi.operating import OPERATING_OPERATIONS
from shared.web.openapi.service import SERVICE_OPERATIONS
from shared.web.openapi.uploads import UPLOAD_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.web.openapi.operation import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {
    **FILE_OPERATIONS,
    **UPLOAD_OPERATIONS,
    **DELIVERY_OPERATIONS,
    **NOTIFICATION_OPERATIONS,
    **OPERATING_OPERATIONS,
    **SERVICE_OPERATIONS,
}
"""Of the routes in ``shared.web.routes`` and those that need no token."""

CHAPTERS: Final[Mapping[str, str]] = {
    "Files": "The catalogue: send a file in one request, list, read, change, delete.",
    "Content": "The bytes.",
    "Sharing": "Links for people without an account.",
    "Resumable uploads": "Uploads that survive a broken connection, by tus 1.0 or the IETF draft.",
    "Direct uploads": "Bytes that go straight to Blob Storage.",
    "Deliveries": "Who was told of what, and how it went.",
    "Subscriptions": "Who is told of files.",
    "Operating": "Dead letters, for operators; and the end of unwanted mail.",
    "Service": "About the service itself; without a token.",
}
"""The tags in reading order."""
