"""The operations on files: sending one in a request, the catalogue, the content, share links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from shared.files.file import FileStatus
from shared.files.name import MAX_NAME_BYTES
from shared.web.openapi.bodies import (
    ANY,
    FORM,
    JSON,
    MERGE_PATCH,
    FileBody,
    FileDetail,
    FileList,
    FilePatch,
    NewShareLink,
    ShareLinkBody,
    ShareLinkList,
)
from shared.web.openapi.operation import BINARY, Answer, Operation, Parameter, Request
from shared.web.openapi.parameters import (
    CONTENT_DIGEST,
    CONTENT_DISPOSITION,
    CURSOR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_MATCH_OPTIONAL,
    IF_NONE_MATCH,
    LIMIT,
    REPR_DIGEST,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES: Final = "Files"
CONTENT: Final = "Content"
SHARING: Final = "Sharing"

OF_CONTENT_POLICY: Final = ("content-type-not-allowed", "content-type-mismatch")
OF_IDEMPOTENCY: Final = ("invalid-idempotency-key", "request-in-progress", "idempotency-key-reused")
OF_DIGESTS: Final = ("invalid-digest", "digest-mismatch")
_KEPT: Final = ("ETag", "Cache-Control")
_DISPOSITION: Final = Parameter(
    "disposition",
    "query",
    Literal["attachment", "inline"],
    "`inline` lets a browser show what is harmless, instead of saving it.",
)
_RANGE: Final = (
    Parameter(
        "Range", "header", str, "The bytes to send (RFC 9110 §14.2); one range.", example="bytes=0-1023"
    ),
    Parameter(
        "If-Range", "header", str, "The range only while this is still the ETag; the whole file otherwise."
    ),
    IF_NONE_MATCH,
    Parameter("If-Modified-Since", "header", str, "The Last-Modified that you have; not newer: 304."),
    Parameter("If-Match", "header", str, "Only while this is the ETag: 412 otherwise."),
    _DISPOSITION,
)
_OF_CONTENT: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Security-Policy",
    "Last-Modified",
    "Repr-Digest",
)
_FORM: Final = {
    "type": "object",
    "properties": {
        "file": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "The file; its part's `filename` and `Content-Type` count.",
        }
    },
    "required": ["file"],
}
_BYTES: Final = {
    200: Answer(
        "The whole file.",
        {ANY: BINARY},
        headers=(*_KEPT, *_OF_CONTENT),
    ),
    206: Answer("The range.", {ANY: BINARY}, headers=(*_KEPT, *_OF_CONTENT, "Content-Range")),
    304: Answer("Not changed since.", headers=_KEPT, optional_headers=("Last-Modified",)),
}

FILE_OPERATIONS: Final[Mapping[str, Operation]] = {
    "create_file": Operation(
        FILES,
        "Send a file in one request",
        {
            201: Answer(
                "The file is stored whole, and its subscribers are about to be told.",
                {JSON: FileBody},
                headers=("Location", "ETag"),
                optional_headers=("Idempotent-Replayed", "Repr-Digest"),
            )
        },
        "The body is the file itself, with `Content-Length` or chunked; its `Content-Type`, which may be "
        "any, is that of the file. The file becomes visible whole or not at all. Where connections break, "
        "use a resumable upload.",
        (CONTENT_DISPOSITION, IDEMPOTENCY_KEY, CONTENT_DIGEST, REPR_DIGEST),
        Request({ANY: BINARY, FORM: _FORM}, meaning="The file, or a form with the one file in it."),
        (
            "invalid-request",
            "invalid-name",
            "body-missing",
            "invalid-form",
            "upload-incomplete",
            "conflict",
            "too-large",
            "quota-exceeded",
            "unsupported-media-type",
            *OF_CONTENT_POLICY,
            "unprocessable",
            *OF_DIGESTS,
            *OF_IDEMPOTENCY,
        ),
        example=(
            "-H 'Content-Type: image/png'",
            "-H \"Content-Disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.png\"",
            "--data-binary @greeting.png",
        ),
    ),
    "list_files": Operation(
        FILES,
        "List files, newest first",
        {
            200: Answer(
                "A page of files. `next_cursor` leads to the next one, `null` after the last.",
                {JSON: FileList},
            )
        },
        "Without `status`, files that are stored, announced or settled are listed.",
        (
            LIMIT,
            CURSOR,
            Parameter("status", "query", list[FileStatus], "Only files in one of these statuses."),
            Parameter(
                "content_type",
                "query",
                str,
                "Only files of this media type, or of a range of them such as `image/*`.",
                example="image/*",
            ),
            Parameter(
                "name_prefix",
                "query",
                Annotated[str, Field(max_length=MAX_NAME_BYTES)],
                "Only files whose name begins so.",
            ),
            Parameter("created_after", "query", AwareDatetime, "Only files made after this instant."),
            Parameter("created_before", "query", AwareDatetime, "Only files made before this instant."),
        ),
        problems=("invalid-query", "invalid-cursor"),
    ),
    "get_file": Operation(
        FILES,
        "Read what is known of a file",
        {
            200: Answer("The file, and how far the word of it has got.", {JSON: FileDetail}, headers=_KEPT),
            304: Answer("Not changed since.", headers=_KEPT),
        },
        parameters=(IF_NONE_MATCH,),
        problems=("not-found",),
    ),
    "update_file": Operation(
        FILES,
        "Change name, labels or expiry",
        {200: Answer("The file as it is now.", {JSON: FileDetail}, headers=("ETag",))},
        "A JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)). `If-Match` is required: of "
        "two who change the same version, one wins and the other is told.",
        (IF_MATCH,),
        Request(
            {MERGE_PATCH: FilePatch, JSON: FilePatch},
            example={"name": "invoice.pdf", "labels": {"project": "roof", "draft": None}},
        ),
        (
            "invalid-request",
            "invalid-body",
            "invalid-name",
            "upload-incomplete",
            "not-found",
            "changed",
            "too-large",
            "unsupported-media-type",
            "if-match-missing",
        ),
    ),
    "delete_file": Operation(
        FILES,
        "Delete a file",
        {204: Answer("It is gone for readers now, and its bytes a while later.")},
        parameters=(
            IF_MATCH_OPTIONAL,
            Parameter("purge", "query", Literal["true", "false"], "Remove the bytes at once, too."),
        ),
        problems=("invalid-request", "invalid-query", "not-found", "changed"),
    ),
    "get_content": Operation(
        CONTENT,
        "Download a file",
        {
            **_BYTES,
            302: Answer("Where the bytes can be had for a short while.", headers=("Location",)),
        },
        "The bytes as they were sent, streamed; whole, or a range of them.",
        (
            *_RANGE,
            Parameter(
                "redirect",
                "query",
                Literal["true", "false"],
                "Ask for a short-lived URL of the bytes instead.",
            ),
        ),
        problems=("invalid-query", "not-found", "being-scanned", "changed", "range-not-satisfiable"),
        example=("-H 'Range: bytes=0-1023'", "-o part.bin"),
    ),
    "create_share_link": Operation(
        SHARING,
        "Make a link that anybody can download by",
        {201: Answer("The link.", {JSON: ShareLinkBody}, headers=("Location",))},
        request=Request({JSON: NewShareLink}, required=False, example={"expires_in_seconds": 3600}),
        problems=(
            "invalid-request",
            "invalid-body",
            "upload-incomplete",
            "not-found",
            "too-large",
            "unsupported-media-type",
            "too-many",
        ),
    ),
    "list_share_links": Operation(
        SHARING,
        "List the links of a file",
        {200: Answer("The links, with those that hold no more.", {JSON: ShareLinkList})},
        problems=("not-found",),
    ),
    "delete_share_link": Operation(
        SHARING,
        "Revoke a link",
        {204: Answer("The link does not work any more.")},
        problems=("not-found",),
    ),
    "get_shared_content": Operation(
        SHARING,
        "Download by a share link",
        _BYTES,
        "The link itself is the permission: no token is needed.",
        _RANGE,
        problems=(
            "invalid-query",
            "not-found",
            "being-scanned",
            "gone",
            "share-link-expired",
            "changed",
            "range-not-satisfiable",
            "unavailable",
        ),
    ),
}
