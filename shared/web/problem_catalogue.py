"""Every code that an answer's ``type`` can end in: what it means, and what to do about it.

The codes are stable: clients compare ``type`` as a string (RFC 9457 §3.1.1). The OpenAPI document and the
pages under ``/api/problems/`` are made from this table; a test holds it against every code in the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared import errors
from shared.web.problem import TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.errors import ProblemError

    type ErrorClass = type[ProblemError]


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem.

    Args:
        code: Kebab-case; the last segment of ``type``.
        raised_as: The error classes that carry the code: one, or one for each status.
        meaning: What has happened, in a sentence or two.
        remedy: What the caller can do.
        type_uri: ``type`` in the answers that follow another specification.
    """

    code: str
    raised_as: tuple[ErrorClass, ...]
    meaning: str
    remedy: str
    type_uri: str | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """Each ``type`` that an answer can have: our own, and that of the other specification."""
        own = TYPE_PREFIX + self.code
        return (own,) if self.type_uri is None else (own, self.type_uri)

    @property
    def title(self) -> str:
        """The ``title`` of the answer."""
        return self.raised_as[0].title

    @property
    def statuses(self) -> tuple[int, ...]:
        """The HTTP statuses that it comes with."""
        return tuple(error.status for error in self.raised_as)

    @property
    def retryable(self) -> bool:
        """Whether the very same request can succeed later."""
        return all(error.retryable for error in self.raised_as)


_PROBLEMS: Final = (
    # 400
    Problem(
        "invalid-request",
        (errors.InvalidRequestError,),
        "The request cannot be understood: a header field, a query parameter or the framing is not as it "
        "should be.",
        "Read detail, which names the part at fault, and send a corrected request.",
    ),
    Problem(
        "invalid-body",
        (errors.InvalidRequestError,),
        "The JSON body does not have the shape that the route takes.",
        "Correct the fields that detail names; the schema of the body is in the description of the API.",
    ),
    Problem(
        "invalid-query",
        (errors.InvalidRequestError,),
        "A query parameter cannot be taken; detail names it.",
        "Correct it, or leave it out.",
    ),
    Problem(
        "invalid-cursor",
        (errors.InvalidRequestError,),
        "The cursor was not made by a list of yours with the same filters.",
        "Begin the list again without a cursor, and send each next_cursor with the same parameters.",
    ),
    Problem(
        "invalid-digest",
        (errors.InvalidRequestError,),
        "Content-Digest or Repr-Digest cannot be read.",
        "Write it as RFC 9530 does: sha-256=:…:, with the digest in Base64 between the colons.",
    ),
    Problem(
        "invalid-form",
        (errors.InvalidRequestError,),
        "The multipart/form-data body cannot be read, or does not hold exactly one file.",
        "Send one file part, or the file's bytes as the body itself.",
    ),
    Problem(
        "invalid-idempotency-key",
        (errors.InvalidRequestError,),
        "The Idempotency-Key cannot be read.",
        "Use a UUID or another text of up to 255 visible ASCII characters.",
    ),
    Problem(
        "invalid-name",
        (errors.InvalidRequestError,),
        "The file name cannot be taken: empty, longer than 255 bytes in UTF-8, with a slash or backslash, or "
        "with control or invisible characters.",
        "Send a plain name without folders, in filename* where it has other than ASCII letters (RFC 8187).",
    ),
    Problem(
        "invalid-owner",
        (errors.InvalidRequestError,),
        "The header field Dropbell-Owner does not name an owner.",
        "Write it as <tenant id>/<object id>, or leave it out to work on your own data.",
    ),
    Problem(
        "invalid-parts",
        (errors.InvalidRequestError,),
        "The uploads named in Upload-Concat cannot be put together: one is missing, unfinished, no partial "
        "upload, or named in a way that cannot be read.",
        "Finish every part first, each begun with Upload-Concat: partial, and name them in their order.",
    ),
    Problem(
        "inconsistent-length",
        (errors.InvalidRequestError,),
        "The request gives the upload another length than it has.",
        "Leave the length out once it is known, or repeat the same one.",
        type_uri="https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
    ),
    Problem(
        "body-missing",
        (errors.InvalidRequestError,),
        "The request has no body where a file's bytes were expected.",
        "Send the file as the body. Empty files are not taken.",
    ),
    Problem(
        "invalid-filter",
        (errors.InvalidRequestError,),
        "The filter of a subscription cannot be read; `position` says where, `detail` what was expected.",
        "Write it as docs/filters.md shows.",
    ),
    Problem(
        "channel-not-offered",
        (errors.InvalidRequestError,),
        "This service does not tell by that channel; e-mail has to be set up by its operators.",
        "Use another channel.",
    ),
    Problem(
        "target-not-allowed",
        (errors.InvalidRequestError,),
        "Notifications cannot be sent to this target: it is no public https address, or it carries a user "
        "name, a password or a fragment.",
        "Give an https URL that is reachable from the internet.",
    ),
    Problem(
        "upload-incomplete",
        (errors.UploadIncompleteError,),
        "The body ended before its announced end. Nothing was stored.",
        "Send it again, or use a resumable upload where connections break.",
    ),
    # 401
    Problem(
        "token-missing",
        (errors.UnauthenticatedError,),
        "The request carries no bearer token.",
        "Send Authorization: Bearer <access token>; WWW-Authenticate names the scope to ask for.",
    ),
    Problem(
        "token-invalid",
        (errors.UnauthenticatedError,),
        "The access token proves nothing here: wrong signature, issuer, audience or form.",
        "Ask the issuer for an access token for this API; an ID token or one for another API does not do.",
    ),
    Problem(
        "token-expired",
        (errors.UnauthenticatedError,),
        "The access token was good once and has expired.",
        "Renew it and send the request again; an upload under way goes on where it was.",
    ),
    Problem(
        "claims-missing",
        (errors.UnauthenticatedError, errors.PermissionDeniedError),
        "A stronger sign-in is needed than the one behind the token. Clients that can take a claims "
        "challenge get 401 with one, others get 403.",
        "Sign in again with the claims that WWW-Authenticate holds.",
    ),
    # 403
    Problem(
        "permission-missing",
        (errors.PermissionDeniedError,),
        "The token is good, and does not grant what this route needs.",
        "Ask for the scope or app role that WWW-Authenticate names.",
    ),
    Problem(
        "owner-not-allowed",
        (errors.PermissionDeniedError,),
        "A user named another owner in Dropbell-Owner, or an application one of another tenant.",
        "Leave Dropbell-Owner out; only an application can act for others, within its own tenant.",
    ),
    # 404 to 428
    Problem(
        "not-found",
        (errors.NotFoundError,),
        "There is nothing of this id, or it belongs to somebody else: the two look the same from outside.",
        "Check the id and who is signed in.",
    ),
    Problem(
        "conflict",
        (errors.ConflictError,),
        "The thing is in another state than the request takes it to be in, or another request is at work on "
        "it.",
        "Read its present state and decide anew.",
    ),
    Problem(
        "request-in-progress",
        (errors.ConflictError,),
        "A request with the same Idempotency-Key is still at work.",
        "Ask again with the same key once Retry-After has passed; the answer will be that of the first "
        "request.",
    ),
    Problem(
        "delivery-under-way",
        (errors.ConflictError,),
        "The delivery is not settled yet.",
        "Wait until it is; `next_attempt_at` says when it is tried.",
    ),
    Problem(
        "subscription-not-active",
        (errors.ConflictError,),
        "The subscription is paused, disabled, not proven or deleted; only an active one is told.",
        "Resume it first, or verify its target.",
    ),
    Problem(
        "subscription-disabled",
        (errors.ConflictError,),
        "The subscription is disabled; `status_reason` says why.",
        "Mend the cause, then set its status to active.",
    ),
    Problem(
        "target-not-proven",
        (errors.ConflictError,),
        "The target has not proved yet that it wants to be told.",
        "Have it answer the challenge, then ask for another one with `verify`.",
    ),
    Problem(
        "being-scanned",
        (errors.ConflictError,),
        "The file waits for its scan for malware; until it is found clean, nobody can read its content.",
        "Ask again once Retry-After has passed; the file's `status` leaves `stored` when it can be read, and "
        "becomes `rejected` for malware.",
    ),
    Problem(
        "offset-mismatch",
        (errors.ConflictError,),
        "The part does not begin where the upload ends. Nothing of it was kept.",
        "Ask how far the upload is, with HEAD, and go on from there.",
        type_uri="https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
    ),
    Problem(
        "upload-complete",
        (errors.ConflictError, errors.PermissionDeniedError, errors.InvalidRequestError),
        "All bytes of the upload are there; nothing can be added. By tus the status is 409, or 403 for an "
        "upload that was joined of others; by the IETF draft it is 400.",
        "Nothing is left to send: the file's id is in Dropbell-File-Id.",
        type_uri="https://iana.org/assignments/http-problem-types#completed-upload",
    ),
    Problem(
        "upload-overtaken",
        (errors.ConflictError,),
        "Another request has taken the upload over; this one has lost its right to write, and none of its "
        "later bytes were kept.",
        "Leave the upload to the other request, or ask how far it is, with HEAD, and take it over.",
    ),
    Problem(
        "upload-contended",
        (errors.ConflictError,),
        "Too many requests write to the upload at once, so that none came through.",
        "Let one request at a time write to an upload.",
    ),
    Problem(
        "not-uploaded",
        (errors.ConflictError,),
        "The upload was said to be complete before its bytes were there.",
        "Send the bytes to upload_url first, then say so again.",
    ),
    Problem(
        "changed-while-checked",
        (errors.ConflictError,),
        "The bytes were written again while they were checked, so that the check proves nothing.",
        "Say that the upload is complete once more, when nothing writes to it any longer.",
    ),
    Problem(
        "gone",
        (errors.GoneError,),
        "It was there and has expired or was ended.",
        "Begin anew; the same address will not come back.",
    ),
    Problem(
        "share-link-expired",
        (errors.GoneError,),
        "The share link has expired or was revoked.",
        "Ask whoever gave you the link for a new one.",
    ),
    Problem(
        "upload-ended",
        (errors.GoneError,),
        "The upload has expired, was given up or was refused; its bytes are gone.",
        "Begin a new upload.",
    ),
    Problem(
        "changed",
        (errors.PreconditionFailedError,),
        "Someone else has changed it since you read it; your change was not made.",
        "Read it again, look at what has changed, and send your change with the new ETag.",
    ),
    Problem(
        "tus-version-not-supported",
        (errors.PreconditionFailedError,),
        "The client speaks another version of tus than is spoken here.",
        "Speak the version that Tus-Version names.",
    ),
    Problem(
        "too-large",
        (errors.TooLargeError,),
        "The content is larger than allowed here.",
        "detail names the limit. Nothing was stored.",
    ),
    Problem(
        "length-exceeded",
        (errors.TooLargeError,),
        "More bytes came than the upload was said to have.",
        "Send as many as announced; begin a new upload for a larger file.",
    ),
    Problem(
        "too-many-parts",
        (errors.TooLargeError,),
        "The upload came in more pieces than storage can put together.",
        "Begin a new upload and send larger pieces, of some MiB each.",
    ),
    Problem(
        "quota-exceeded",
        (errors.TooLargeError,),
        "With this file you would have more bytes or files than you may keep.",
        "Delete what you do not need, or ask for more.",
    ),
    Problem(
        "unsupported-media-type",
        (errors.UnsupportedMediaTypeError,),
        "The Content-Type is not one that the route takes, or is no media type at all.",
        "Send one of the media types that the route's description lists.",
    ),
    Problem(
        "content-type-not-allowed",
        (errors.UnsupportedMediaTypeError,),
        "Files of this type are not taken here, by what they are declared to be or by their first bytes.",
        "Send another kind of file; detail names the type.",
    ),
    Problem(
        "content-type-mismatch",
        (errors.UnsupportedMediaTypeError,),
        "The file's first bytes are not of the type that it is declared to be.",
        "Declare the type that the file has, or leave Content-Type out.",
    ),
    Problem(
        "range-not-satisfiable",
        (errors.RangeNotSatisfiableError,),
        "No byte of the content lies in the range asked for.",
        "Content-Range names the whole size; ask for a range within it.",
    ),
    Problem(
        "unprocessable",
        (errors.UnprocessableError,),
        "The request is understood, and its content is still wrong.",
        "Read detail; the same request will fail again.",
    ),
    Problem(
        "digest-mismatch",
        (errors.UnprocessableError,),
        "The bytes that arrived have another digest than announced. They were not published.",
        "Send the file again, with the digest of the very bytes that are sent.",
    ),
    Problem(
        "idempotency-key-reused",
        (errors.UnprocessableError,),
        "The Idempotency-Key was used for another request within the last 24 hours.",
        "Take a new key for each new wish, and the same one only to repeat the same request.",
    ),
    Problem(
        "size-mismatch",
        (errors.UnprocessableError,),
        "Another number of bytes arrived than was announced. They were not published.",
        "Begin anew with the right size_bytes.",
    ),
    Problem(
        "too-many",
        (errors.TooManyError,),
        "You have as many of these as allowed.",
        "Delete one first.",
    ),
    Problem(
        "too-many-subscriptions",
        (errors.TooManyError,),
        "You have as many subscriptions as an owner can have.",
        "Delete a subscription first.",
    ),
    Problem(
        "if-match-missing",
        (errors.PreconditionMissingError,),
        "A change must say by If-Match which version it changes, so that no work is overwritten unseen.",
        "Read the thing, and send its ETag as If-Match.",
    ),
    Problem(
        "too-many-streams",
        (errors.RateLimitedError, errors.UnavailableError),
        "You follow as many files as you can (429), or this instance does (503).",
        "Ask for `application/json` instead, and again after Retry-After.",
    ),
    Problem(
        "rate-limited",
        (errors.RateLimitedError,),
        "Too many requests in a short while.",
        "Wait for as long as Retry-After says; RateLimit tells how much is left before it comes to this.",
    ),
    Problem(
        "checksum-mismatch",
        (errors.ChecksumMismatchError,),
        "The bytes of this request are not those of its checksum. They were discarded, and the upload stands "
        "where it stood.",
        "Send the same part again.",
    ),
    # 500 and above
    Problem(
        "internal-error",
        (errors.InternalError,),
        "A defect on our side. Nothing more is told, so that nothing leaks.",
        "Quote the correlation id when you ask about it.",
    ),
    Problem(
        "unavailable",
        (errors.UnavailableError,),
        "Storage, the queue or the token issuer did not answer in time.",
        "Try again in a moment, with growing pauses.",
    ),
)

PROBLEMS: Final[Mapping[str, Problem]] = {problem.code: problem for problem in _PROBLEMS}


def by_status(codes: Iterable[str]) -> dict[int, list[Problem]]:
    """The problems of ``codes`` by their statuses, lowest first; raises KeyError for an unknown code."""
    grouped: dict[int, list[Problem]] = {}
    for problem in (PROBLEMS[code] for code in codes):
        for status in problem.statuses:
            grouped.setdefault(status, []).append(problem)
    return dict(sorted(grouped.items()))
