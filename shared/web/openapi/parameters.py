"""Parameters that more than one route takes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from shared.web.openapi.operation import Parameter
from shared.web.query import DEFAULT_LIMIT, MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH_PARAMETERS: Final[Mapping[str, tuple[Any, str]]] = {
    "file_id": (uuid.UUID, "Id of the file."),
    "upload_id": (uuid.UUID, "Id of the upload; the file will have the same."),
    "subscription_id": (Annotated[str, Field(pattern="^[0-9a-f]{32}$")], "Id of the subscription."),
    "link_id": (Annotated[str, Field(pattern="^[0-9A-Za-z_-]{1,64}$")], "Id of the share link."),
    "delivery_id": (
        Annotated[str, Field(pattern="^[0-9a-f-]{36}_[a-z0-9-]{1,40}_[0-9a-f]{32}$")],
        "Id of the delivery.",
    ),
    "token": (
        Annotated[str, Field(pattern="^[0-9A-Za-z._~-]+$", max_length=1024)],
        "The secret part of a share link.",
    ),
    "code": (Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")], "The last segment of a problem's type."),
}
"""Type and meaning of what stands in the paths."""

OWNER: Final = Parameter(
    "Dropbell-Owner",
    "header",
    Annotated[str, Field(max_length=1024)],
    "Whose data to work on, as `<tenant id>/<object id>`: for applications only.",
)
CORRELATION_ID: Final = Parameter(
    "X-Correlation-ID",
    "header",
    str,
    "Your own id of the request: up to 64 letters, digits, `.`, `_`, `-`; anything else is replaced.",
)
TRACEPARENT: Final = Parameter(
    "traceparent", "header", str, "Your trace, which the request becomes a part of (W3C Trace Context)."
)
OF_EVERY_ROUTE: Final = (OWNER, CORRELATION_ID, TRACEPARENT)

LIMIT: Final = Parameter(
    "limit",
    "query",
    Annotated[int, Field(ge=1, le=MAX_LIMIT)],
    f"How many to list at most; {DEFAULT_LIMIT} by default.",
    example=20,
)
CURSOR: Final = Parameter(
    "cursor",
    "query",
    str,
    "`next_cursor` of the page before. Opaque and signed; keep the other parameters as they were.",
)
IF_MATCH: Final = Parameter(
    "If-Match",
    "header",
    str,
    "The ETag of the version to change. Without it: 428; changed since: 412.",
    required=True,
    example='"3f0a.77c1"',
)
IF_MATCH_OPTIONAL: Final = Parameter(
    "If-Match", "header", str, "Only if this is still the version. Changed since: 412."
)
IF_NONE_MATCH: Final = Parameter(
    "If-None-Match", "header", str, "The ETag that you have; still the same: 304 without content."
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    Annotated[str, Field(min_length=1, max_length=255)],
    "A name for this one wish, new for each, of your own choice. Sent again within 24 hours with the same "
    "content, the first answer is given again; with other content: 422; while the first is still at work: "
    "409.",
    example="0d0f2f4c-6a0f-4a63-8a52-3f9f1b0f4a11",
)
CONTENT_DIGEST: Final = Parameter(
    "Content-Digest",
    "header",
    str,
    "Digest of the bytes of this request, `sha-256` or `sha-512` (RFC 9530); verified before the file is "
    "visible.",
    example="sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
)
REPR_DIGEST: Final = Parameter(
    "Repr-Digest",
    "header",
    str,
    "Digest of the whole file, `sha-256` or `sha-512` (RFC 9530); verified before the file becomes visible.",
)
CONTENT_DISPOSITION: Final = Parameter(
    "Content-Disposition",
    "header",
    str,
    "The file's name (RFC 6266, RFC 8187). Without it the file is called `unnamed`.",
    example="attachment; filename*=UTF-8''report.pdf",
)
