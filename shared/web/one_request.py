"""``POST /files``: one request brings one file, as its body or in a form (docs/api.md).

With an Idempotency-Key the request is carried out once, however often it is sent.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.errors import (
    ConflictError,
    EntityChangedError,
    EntityMissingError,
    InternalError,
    InvalidRequestError,
    ProblemError,
    UnavailableError,
    UploadIncompleteError,
)
from shared.files.content_type import checked_content_type, is_form
from shared.files.digest import RunningDigest
from shared.files.file import PUBLISHED
from shared.files.intake import Upload
from shared.files.labels import merged
from shared.files.name import checked_name
from shared.ledger import idempotency
from shared.ledger.idempotency import Claim, Content, KeyedRequest
from shared.web.bodies import FileBody
from shared.web.content_disposition import file_name
from shared.web.digest_fields import digests, repr_digest
from shared.web.idempotency_key import idempotency_key
from shared.web.multipart import MAX_FIELDS_BYTES, open_form
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from shared.files.file import File
    from shared.files.intake import Intake
    from shared.ledger.idempotency import IdempotentRequests
    from shared.ports import Change
    from shared.web.call import Call

ROUTE = "create_file"
MAX_LENGTH_DIGITS = 18
"""Of a Content-Length: more than any file has, less than any integer type takes."""
MAX_FORM_BYTES = 2 * MAX_FIELDS_BYTES
"""What a form can have beside its file."""
REPLAYED_FIELD = "idempotent-replayed"
_LEAVES_OPEN = (UnavailableError, InternalError)
"""After these errors there may be a file all the same."""


class OneRequest:
    """Takes files that come in one request."""

    def __init__(self, intake: Intake, requests: IdempotentRequests) -> None:
        self._intake = intake
        self._requests = requests

    async def create_file(self, call: Call) -> Response:
        """``POST /files``."""
        incoming = _Incoming(call, self._intake)
        key = idempotency_key(call.request.headers)
        if key is None:
            upload, content = await incoming.opened()
            async with aclosing(content):
                return _created(_body(await self._intake.accept(upload, content, digest=incoming.digest)))
        caller = call.caller
        id_ = idempotency.key_id(ROUTE, caller.tenant_id, caller.object_id, call.owner, key=key)
        begun = await self._requests.begin(call.owner, id_, result_id=self._intake.new_file_id())
        if isinstance(begun, KeyedRequest):
            return await self._replayed(begun, incoming)
        try:
            return await self._carried_out(begun, incoming)
        except ProblemError as error:
            await (begun.abandon() if isinstance(error, _LEAVES_OPEN) else begun.release())
            raise
        except BaseException:
            await begun.abandon()
            raise

    async def _carried_out(self, claim: Claim, incoming: _Incoming) -> Response:
        """Store the file, unless an earlier try for the key has done so and died."""
        owner, file_id = claim.request.owner, claim.request.result_id
        companion = _Completion(claim)
        if claim.taken_over:
            stored = await self._intake.stored_before(owner, file_id)
            if stored is not None:
                await self._intake.publish(stored, companion)
                return await self._replayed(await self._done(claim), incoming)
        upload, content = await incoming.opened()
        async with aclosing(content):
            try:
                file = await self._intake.accept(
                    replace(upload, file_id=file_id), content, digest=incoming.digest, companion=companion
                )
            except (EntityChangedError, EntityMissingError):
                return await self._overtaken(claim, incoming)
        if companion.content != incoming.content:  # another try for the key was quicker to store its bytes
            return await self._replayed(await self._done(claim), incoming)
        body = _body(file)
        await self._requests.keep_answer(owner, claim.request.id, body)
        return _created(body)

    async def _overtaken(self, claim: Claim, incoming: _Incoming) -> Response:
        """The bytes were stored, and the key was somebody else's by then.

        Every try for the key stores under the same name. So either the blob is the file that the other try
        has found, or the other is still at it and will; or the key is free, and nobody waits for the blob.
        """
        request = claim.request
        found = await self._requests.find(request.owner, request.id)
        if found is not None and found.result_id == request.result_id:
            if found.status is idempotency.RequestStatus.DONE:
                return await self._replayed(found, incoming)
        else:
            stored = await self._intake.stored_before(request.owner, request.result_id)
            if stored is not None:
                await self._intake.take_back(stored)
        raise idempotency.in_progress()

    async def _replayed(self, done: KeyedRequest, incoming: _Incoming) -> Response:
        """The answer of the first request again, once the bytes have been seen to be the same."""
        if not incoming.is_open:
            upload, content = await incoming.opened()
            idempotency.check_same(
                done, described=incoming.described, size_bytes=upload.announced_size_bytes, sha256=None
            )
            async with aclosing(content):
                await self._intake.read(upload, content, incoming.digest)
        told = incoming.content
        idempotency.check_same(done, described=told.described, size_bytes=told.size_bytes, sha256=told.sha256)
        return _created(done.answer or await self._answer_anew(done), replayed=True)

    async def _answer_anew(self, done: KeyedRequest) -> str:
        """For a request that died between its file and its answer."""
        file = await self._intake.find(done.owner, done.result_id)
        if file is None or file.status not in PUBLISHED:
            raise ConflictError("The file that was made for this Idempotency-Key has been deleted.")
        body = _body(file)
        await self._requests.keep_answer(done.owner, done.id, body)
        return body

    async def _done(self, claim: Claim) -> KeyedRequest:
        found = await self._requests.find(claim.request.owner, claim.request.id)
        if found is None or found.content is None:
            raise idempotency.in_progress()
        return found


class _Completion:
    """The key is done in the same transaction as the file appears (see ``Companion``)."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.content: Content | None = None

    async def keep(self) -> None:
        await self._claim.keep()

    def changes(self, file: File) -> Sequence[Change]:
        self.content = Content(
            idempotency.described_by(file.name, file.content_type, file.labels), file.size_bytes, file.sha256
        )
        return [self._claim.finished(self.content)]


class _Incoming:
    """The file that a request brings: first what its header says, then its bytes."""

    def __init__(self, call: Call, intake: Intake) -> None:
        """Read the header; raises all that can be found out before the body."""
        headers = call.request.headers
        self._call = call
        self._intake = intake
        self._length_bytes = _content_length(headers.get("content-length"))
        self._is_form = is_form(headers.get("content-type"))
        of_body, of_file = digests(headers, "Content-Digest"), digests(headers, "Repr-Digest")
        self.digest = RunningDigest(of_file) if self._is_form else RunningDigest(of_body, of_file)
        self._body_digest = RunningDigest(of_body) if self._is_form and of_body else None
        self.is_open = False
        self.described = ""
        if self._is_form:
            self._check_form_size()
        else:
            self._upload = self._checked(
                file_name(headers.get("content-disposition")),
                checked_content_type(headers.get("content-type")),
                size_bytes=self._length_bytes,
            )

    @property
    def content(self) -> Content:
        """What has arrived."""
        return Content(self.described, self.digest.size_bytes, self.digest.sha256)

    async def opened(self) -> tuple[Upload, AsyncGenerator[bytes]]:
        """The file and its bytes; of a form, as much as stands before them is read."""
        self.is_open = True
        if not self._is_form:
            return self._upload, self._bytes()
        form = await open_form(self._bytes(), self._call.request.headers["content-type"])
        name = form.fields.get("name")
        upload = self._checked(
            form.file_name if name is None else checked_name(name),
            form.content_type,
            labels=_labels(form.fields.get("labels")),
        )
        return upload, form.content()

    def _checked(
        self,
        name: str,
        content_type: str,
        *,
        size_bytes: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Upload:
        upload = Upload(
            owner=self._call.owner,
            tenant=self._call.tenant,
            name=name,
            content_type=content_type,
            announced_size_bytes=size_bytes,
            least_size_bytes=max(1, (self._length_bytes or 0) - MAX_FORM_BYTES),
            correlation_id=self._call.correlation_id,
            traceparent=self._call.trace.traceparent,
            labels=labels or {},
        )
        self._intake.check(upload)
        self.described = idempotency.described_by(name, content_type, upload.labels)
        return upload

    def _check_form_size(self) -> None:
        """A form is larger than its file, by a bounded number of bytes."""
        if (
            self._length_bytes is not None
            and self._length_bytes > self._intake.max_file_bytes + MAX_FORM_BYTES
        ):
            raise self._intake.too_large()

    async def _bytes(self) -> AsyncGenerator[bytes]:
        """The body. That of a form is counted and compared here, that of a file by the intake."""
        size_bytes = 0
        async for chunk in self._call.body():
            size_bytes += len(chunk)
            if self._body_digest is not None:
                self._body_digest.update(chunk)
            yield chunk
        if not self._is_form:
            return
        if self._length_bytes is not None and size_bytes != self._length_bytes:
            raise UploadIncompleteError(
                f"The body ended after {size_bytes} of {self._length_bytes} bytes; nothing is stored."
            )
        if self._body_digest is not None:
            self._body_digest.check()


def _labels(field: str | None) -> Mapping[str, str]:
    if field is None:
        return {}
    try:
        told = json.loads(field)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise InvalidRequestError(
            'labels: write them as a JSON object of texts, such as {"project": "roof"}.', code="invalid-form"
        )
    try:
        return merged({}, told)
    except InvalidRequestError as error:
        raise InvalidRequestError(error.detail, code="invalid-form") from None


def _content_length(header: str | None) -> int | None:
    if header is None:
        return None
    if not header.isdecimal() or not header.isascii() or len(header) > MAX_LENGTH_DIGITS:
        raise InvalidRequestError("Content-Length must be a whole number of bytes.")
    return int(header)


def _body(file: File) -> str:
    return FileBody.of(file).model_dump_json()


def _created(body: str, *, replayed: bool = False) -> Response:
    told = json.loads(body)
    headers = {
        "location": f"{BASE_PATH}/files/{told['id']}",
        "etag": told["etag"],
        "repr-digest": repr_digest(told["sha256"]),
        **({REPLAYED_FIELD: "true"} if replayed else {}),
    }
    return Response(body, 201, headers, media_type="application/json")
