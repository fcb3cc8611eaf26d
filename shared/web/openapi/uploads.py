"""The operations of resumable and direct uploads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from shared.web.openapi.bodies import (
    ANY,
    JSON,
    PARTIAL_UPLOAD,
    TUS_OCTETS,
    DirectUploadBody,
    FileDetail,
    NewDirectUpload,
)
from shared.web.openapi.files import OF_CONTENT_POLICY, OF_DIGESTS
from shared.web.openapi.operation import BINARY, Answer, Operation, Parameter, Request
from shared.web.openapi.parameters import CONTENT_DIGEST, CONTENT_DISPOSITION, REPR_DIGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

RESUMABLE: Final = "Resumable uploads"
DIRECT: Final = "Direct uploads"

_Bytes = Annotated[int, Field(ge=0)]
_Flag = Literal["?0", "?1"]

_TUS_VERSION: Final = Parameter(
    "Tus-Resumable",
    "header",
    Literal["1.0.0"],
    "Asks for the tus protocol, in this version.",
    example="1.0.0",
)
_DRAFT_VERSION: Final = Parameter(
    "Upload-Draft-Interop-Version", "header", str, "Revision of the IETF draft that the client follows."
)
_COMPLETE: Final = Parameter(
    "Upload-Complete", "header", _Flag, "IETF draft: `?1` when the upload ends with this request's body."
)
_LENGTH: Final = Parameter("Upload-Length", "header", _Bytes, "Bytes that the whole upload will have.")
_CHECKSUM: Final = Parameter(
    "Upload-Checksum", "header", str, "tus: algorithm and Base64 checksum of this request's body."
)
_SPOKEN: Final = ("Tus-Resumable", "Upload-Draft-Interop-Version")
_PROGRESS: Final = (
    *_SPOKEN,
    "Upload-Offset",
    "Upload-Complete",
    "Upload-Expires",
    "Upload-Limit",
    "Upload-Incomplete",
    "Dropbell-File-Id",
    "Content-Location",
)
_PART_PROBLEMS: Final = (
    "invalid-request",
    "inconsistent-length",
    "upload-incomplete",
    "not-found",
    "conflict",
    "offset-mismatch",
    "upload-complete",
    "upload-overtaken",
    "upload-contended",
    "gone",
    "upload-ended",
    "tus-version-not-supported",
    "too-large",
    "length-exceeded",
    "too-many-parts",
    "quota-exceeded",
    "unsupported-media-type",
    *OF_CONTENT_POLICY,
    "unprocessable",
    *OF_DIGESTS,
    "checksum-mismatch",
)

_STATE_PROBLEMS: Final = (
    "invalid-request",
    "not-found",
    "conflict",
    "upload-contended",
    "upload-overtaken",
    "gone",
    "upload-ended",
    "tus-version-not-supported",
)

_APPEND: Final = Operation(
    RESUMABLE,
    "Send more bytes",
    {
        201: Answer(
            "IETF draft: the upload is complete, and the file is the content. Before revision 7 of the draft "
            "also: the bytes are kept.",
            headers=("Upload-Offset",),
            optional_headers=_PROGRESS,
        ),
        204: Answer(
            "The bytes are kept; `Upload-Offset` says where to go on.",
            headers=("Upload-Offset",),
            optional_headers=_PROGRESS,
        ),
    },
    "The body goes on from `Upload-Offset`, which must be where the upload stands: 409 otherwise. What had "
    "arrived before a connection broke is kept. With the last byte the upload becomes a file, whose id is in "
    "`Dropbell-File-Id`.",
    (
        Parameter("Upload-Offset", "header", _Bytes, "Where the body goes on.", required=True, example=0),
        _TUS_VERSION,
        _CHECKSUM,
        _COMPLETE,
        _LENGTH,
        _DRAFT_VERSION,
        CONTENT_DIGEST,
        REPR_DIGEST,
    ),
    Request({TUS_OCTETS: BINARY, PARTIAL_UPLOAD: BINARY}, meaning="The next bytes."),
    _PART_PROBLEMS,
    example=(
        "-H 'Tus-Resumable: 1.0.0'",
        "-H 'Upload-Offset: 5242880'",
        "-H 'Content-Type: application/offset+octet-stream'",
        "--data-binary @next-part.bin",
    ),
)

UPLOAD_OPERATIONS: Final[Mapping[str, Operation]] = {
    "create_upload": Operation(
        RESUMABLE,
        "Begin an upload that can be resumed",
        {
            201: Answer(
                "The upload is at `Location`. IETF draft: where it is complete, the file is the content.",
                headers=("Location", "Upload-Offset"),
                optional_headers=_PROGRESS,
            ),
        },
        "By the [tus 1.0](https://tus.io/protocols/resumable-upload) protocol, with `Tus-Resumable`, or the "
        "IETF draft [Resumable Uploads for "
        "HTTP](https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/), with "
        "`Upload-Complete`. Either can bring first bytes along.",
        (
            _TUS_VERSION,
            _LENGTH,
            Parameter("Upload-Defer-Length", "header", Literal["1"], "tus: the length is told later."),
            Parameter("Upload-Metadata", "header", str, "tus: `filename` and `filetype`, each in Base64."),
            Parameter(
                "Upload-Concat", "header", str, "tus: `partial`, or `final;` and the URLs of the parts."
            ),
            _CHECKSUM,
            _COMPLETE,
            _DRAFT_VERSION,
            CONTENT_DISPOSITION,
            CONTENT_DIGEST,
            REPR_DIGEST,
        ),
        Request({TUS_OCTETS: BINARY, ANY: BINARY}, required=False, meaning="The first bytes."),
        ("invalid-name", "invalid-parts", *_PART_PROBLEMS),
        example=(
            "-H 'Tus-Resumable: 1.0.0'",
            "-H 'Upload-Length: 104857600'",
            "-H 'Upload-Metadata: filename cmVwb3J0LnBkZg=='",
        ),
    ),
    "get_upload": Operation(
        RESUMABLE,
        "Ask how far an upload is",
        {
            200: Answer(
                "tus: where to go on.",
                headers=("Upload-Offset",),
                optional_headers=(
                    *_PROGRESS,
                    "Upload-Length",
                    "Upload-Defer-Length",
                    "Upload-Metadata",
                    "Upload-Concat",
                    "Cache-Control",
                ),
            ),
            204: Answer(
                "IETF draft: where to go on.",
                headers=("Upload-Offset",),
                optional_headers=(*_PROGRESS, "Upload-Length", "Cache-Control"),
            ),
        },
        "Also takes the upload over: a request that is still sending loses its right to write, so that the "
        "offset told here stays true.",
        (_TUS_VERSION, _DRAFT_VERSION),
        problems=_STATE_PROBLEMS,
        example=("-H 'Tus-Resumable: 1.0.0'",),
    ),
    "append_upload": _APPEND,
    "override_upload": replace(
        _APPEND,
        summary="Do what X-HTTP-Method-Override says",
        answers={
            200: Answer("HEAD by tus: where to go on.", optional_headers=_PROGRESS),
            201: _APPEND.answers[201],
            204: Answer(
                "Done; by HEAD or PATCH, `Upload-Offset` says where to go on.",
                optional_headers=("Upload-Offset", *_PROGRESS),
            ),
        },
        meaning="For clients that can send nothing but GET and POST: what the named method does (tus).",
        parameters=(
            Parameter(
                "X-HTTP-Method-Override",
                "header",
                Literal["HEAD", "PATCH", "DELETE"],
                "The method that is meant.",
                required=True,
            ),
            *(replace(each, required=False) for each in _APPEND.parameters),
        ),
        request=Request(
            {TUS_OCTETS: BINARY, PARTIAL_UPLOAD: BINARY}, required=False, meaning="The next bytes."
        ),
        example=("-H 'X-HTTP-Method-Override: PATCH'", *_APPEND.example),
    ),
    "delete_upload": Operation(
        RESUMABLE,
        "Give an upload up",
        {204: Answer("Its bytes are gone.", optional_headers=_SPOKEN)},
        parameters=(_TUS_VERSION, _DRAFT_VERSION),
        problems=_STATE_PROBLEMS,
    ),
    "create_direct_upload": Operation(
        DIRECT,
        "Get leave to send a file straight to Blob Storage",
        {201: Answer("Where and how to send the bytes.", {JSON: DirectUploadBody}, headers=("Location",))},
        "The answer holds a URL that can create this one blob and nothing else, for a short while. Send the "
        "bytes there with the `method` and `headers` of the answer, then post to `complete_url`. The file is "
        "not visible before size, type and digest were checked.",
        (),
        Request(
            {JSON: NewDirectUpload},
            example={"name": "film.mp4", "content_type": "video/mp4", "size_bytes": 1073741824},
        ),
        (
            "invalid-request",
            "invalid-body",
            "invalid-name",
            "upload-incomplete",
            "conflict",
            "too-large",
            "quota-exceeded",
            "unsupported-media-type",
            *OF_CONTENT_POLICY,
            "unprocessable",
        ),
    ),
    "complete_direct_upload": Operation(
        DIRECT,
        "Say that all bytes are there",
        {200: Answer("The file.", {JSON: FileDetail}, headers=("ETag", "Location"))},
        "Can be sent again: the answer is the same file.",
        problems=(
            "invalid-request",
            "not-found",
            "conflict",
            "not-uploaded",
            "changed-while-checked",
            "gone",
            "upload-ended",
            "too-large",
            "quota-exceeded",
            "unsupported-media-type",
            *OF_CONTENT_POLICY,
            "unprocessable",
            "size-mismatch",
            "digest-mismatch",
        ),
    ),
}
