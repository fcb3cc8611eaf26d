"""Uploads that can be resumed, over HTTP: one resource, spoken to by tus 1.0 or by the IETF draft.

An upload that was begun by one protocol can be continued by the other. Each verb works on the caller's own
uploads and on no others.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.errors import GoneError, InvalidRequestError, ProblemError
from shared.files.digest import DigestAlgorithm
from shared.files.new_upload import NewUpload
from shared.files.upload import Upload, UploadStatus
from shared.web import resumable_draft, tus
from shared.web.bodies import FileBody
from shared.web.digest_fields import digests
from shared.web.resumable_draft import Draft
from shared.web.routes import BASE_PATH
from shared.web.tus import Tus
from shared.web.upload_protocol import Fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from shared.files.file import File
    from shared.files.uploading import Uploads
    from shared.ports import Clock
    from shared.web.call import Call
    from shared.web.upload_protocol import Answer, Append, Creation, UploadProtocol

    type FindFile = Callable[[str, str], Awaitable[File]]
    """The file of an owner; raises NotFoundError."""

TUS_FIELD = "Tus-Resumable"
METHOD_OVERRIDE = "X-HTTP-Method-Override"
_WITHOUT_BODY = frozenset({"HEAD", "GET", "DELETE"})


class UploadRoutes:
    """The handlers of ``/uploads`` and ``/uploads/{upload_id}``."""

    def __init__(self, uploads: Uploads, clock: Clock, *, find_file: FindFile) -> None:
        self._uploads = uploads
        self._clock = clock
        self._find_file = find_file

    def options_headers(self) -> dict[str, str]:
        """What OPTIONS tells on both paths, in both protocols."""
        max_size_bytes = self._uploads.policy.max_file_bytes
        return {
            **tus.capabilities(max_size_bytes),
            **resumable_draft.limits(max_size_bytes),
            "Accept-Patch": f"{tus.MEDIA_TYPE}, {resumable_draft.MEDIA_TYPE}",
        }

    async def create_upload(self, call: Call) -> Response:
        """``POST /uploads``: begin an upload, with its first bytes where they come along."""
        fields = Fields(call.request.headers)
        protocol = self._protocol(fields, "POST")
        made: Upload | None = None
        try:
            wanted = protocol.creation(fields)
            made = upload = await self._begun(call, wanted, fields)
            if wanted.first is not None and not made.is_complete:
                upload = await self._append(call, made.id, wanted.first, fields)
        except ProblemError as error:
            raise protocol.worded(error, await self._discarded(made)) from None
        return await self._response(protocol.created(upload), upload)

    async def get_upload(self, call: Call) -> Response:
        """``GET`` and ``HEAD /uploads/{upload_id}``: where to go on. Ends the right of who still writes."""
        fields = Fields(call.request.headers)
        protocol = self._protocol(fields, "HEAD")
        protocol.check_bare(fields)
        upload = await self._uploads.offset(call.owner, _upload_id(call))
        if upload.status is UploadStatus.REJECTED:
            gone = GoneError("What was uploaded was refused; begin a new upload.", code="upload-ended")
            raise protocol.worded(gone, upload)
        return await self._response(protocol.state(upload), upload)

    async def append_upload(self, call: Call) -> Response:
        """``PATCH /uploads/{upload_id}``: add the body where the upload ends."""
        fields = Fields(call.request.headers)
        protocol = self._protocol(fields, "PATCH")
        try:
            upload = await self._append(call, _upload_id(call), protocol.append(fields), fields)
        except ProblemError as error:
            present = await self._present(call.owner, _upload_id(call))
            if present is not None and protocol.is_the_end(error, present):
                await self._discarded(present)
            raise protocol.worded(error, present) from None
        return await self._response(protocol.appended(upload), upload)

    async def delete_upload(self, call: Call) -> Response:
        """``DELETE /uploads/{upload_id}``: give the upload up."""
        fields = Fields(call.request.headers)
        self._protocol(fields, "DELETE").check_bare(fields)
        await self._uploads.terminate(call.owner, _upload_id(call))
        return Response(status_code=204)

    async def override_upload(self, call: Call) -> Response:
        """``POST /uploads/{upload_id}``: what X-HTTP-Method-Override says, for clients that know no PATCH."""
        methods = {"HEAD": self.get_upload, "PATCH": self.append_upload, "DELETE": self.delete_upload}
        method = methods.get((call.request.headers.get(METHOD_OVERRIDE) or "").upper())
        if method is None:
            raise InvalidRequestError(
                f"To an upload, POST takes no bytes; send PATCH, or {METHOD_OVERRIDE}: PATCH, DELETE or HEAD."
            )
        return await method(call)

    def _protocol(self, fields: Fields, method: str) -> UploadProtocol:
        """The protocol that the request speaks; raises InvalidRequestError, or 412 for a version of tus."""
        version = fields.text(TUS_FIELD)
        if version is not None:
            return Tus(version)
        if resumable_draft.is_spoken(fields) or method in _WITHOUT_BODY:
            revision = resumable_draft.revision_of(fields)
            return Draft(revision, self._clock, max_size_bytes=self._uploads.policy.max_file_bytes)
        raise InvalidRequestError(
            f"Send {TUS_FIELD}: {tus.VERSION} to speak tus, or Upload-Complete: ?0 or ?1 to speak the IETF "
            "draft Resumable Uploads for HTTP. A file in one request goes to POST /files."
        )

    async def _begun(self, call: Call, wanted: Creation, fields: Fields) -> Upload:
        expected = digests(fields.headers, "Repr-Digest")
        sha256, sha512 = expected.get(DigestAlgorithm.SHA_256), expected.get(DigestAlgorithm.SHA_512)
        new = NewUpload(
            owner=call.owner,
            tenant=call.tenant,
            name=wanted.name,
            content_type=wanted.content_type,
            length_bytes=wanted.length_bytes,
            correlation_id=call.correlation_id,
            traceparent=call.trace.traceparent,
            client_metadata=wanted.client_metadata,
            partial=wanted.partial,
            expected_sha256=sha256.hex() if sha256 else None,
            expected_sha512=sha512.hex() if sha512 else None,
        )
        if wanted.part_ids:
            return await self._uploads.concatenate(new, wanted.part_ids)
        if wanted.length_bytes == 0 and wanted.first is not None:
            await _check_empty(call)
        return await self._uploads.create(new)

    async def _append(self, call: Call, upload_id: str, append: Append, fields: Fields) -> Upload:
        return await self._uploads.append(
            call.owner,
            upload_id,
            call.body(),
            offset_bytes=append.offset_bytes,
            announced_size_bytes=fields.body_bytes,
            length_bytes=append.length_bytes,
            complete=append.complete,
            checksum=append.checksum,
        )

    async def _discarded(self, made: Upload | None) -> Upload | None:
        """End an upload that its client cannot go on with; returns what had become of it."""
        present = None if made is None else await self._present(made.owner, made.id)
        if present is not None and present.status is UploadStatus.OPEN:
            with suppress(ProblemError):
                await self._uploads.terminate(present.owner, present.id)
        return present

    async def _present(self, owner: str, upload_id: str) -> Upload | None:
        with suppress(ProblemError):
            return await self._uploads.find(owner, upload_id)
        return None

    async def _response(self, answer: Answer, upload: Upload) -> Response:
        response = Response(status_code=answer.status, headers=dict(answer.headers))
        if answer.with_file and not upload.partial:
            with suppress(ProblemError):  # deleted since
                file = FileBody.of(await self._find_file(upload.owner, upload.id))
                response = Response(
                    file.model_dump_json(),
                    answer.status,
                    {**answer.headers, "Content-Location": f"{BASE_PATH}/files/{file.id}"},
                    media_type="application/json",
                )
        return response


def with_protocol_headers(request: Request, response: Response) -> None:
    """Add what a protocol wants on every answer, also on those given before a handler here was asked."""
    fields = Fields(request.headers)
    if fields.text(TUS_FIELD) is not None:
        response.headers.update(tus.SPOKEN)
    elif resumable_draft.is_spoken(fields):
        for name, value in resumable_draft.on_every_answer(fields, response.status_code).items():
            response.headers.setdefault(name, value)


def _upload_id(call: Call) -> str:
    return str(call.request.path_params["upload_id"])


async def _check_empty(call: Call) -> None:
    async for _ in call.body():
        raise InvalidRequestError("The upload is said to be empty and has bytes.", code="inconsistent-length")
