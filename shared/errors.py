"""The error catalogue: every way a request, an event or a message can fail, in one tree.

::

    DropbellError
    ├── ProblemError                  becomes an answer (RFC 9457 problem details)
    │   ├── InvalidRequestError       400  the request cannot be understood
    │   ├── UploadIncompleteError     400  the body ended before its announced end
    │   ├── UnauthenticatedError      401  no token, or one that proves nothing (RFC 6750 §3)
    │   ├── PermissionDeniedError     403  the token lacks what the route needs
    │   ├── NotFoundError             404  absent, or somebody else's
    │   ├── ConflictError             409  not in this state of the thing, or not while another request runs
    │   ├── GoneError                 410  it was there and has expired
    │   ├── PreconditionFailedError   412  changed by somebody else since it was read
    │   ├── TooLargeError             413  over a size limit
    │   ├── UnsupportedMediaTypeError 415  a content type this route does not take
    │   ├── RangeNotSatisfiableError  416  no byte of the content is in the range
    │   ├── UnprocessableError        422  understood, and still wrong: a digest that differs, say
    │   ├── TooManyError              422  over a count limit of the owner
    │   ├── PreconditionMissingError  428  a change must say by If-Match what it changes
    │   ├── RateLimitedError          429  too many requests; Retry-After says when to go on
    │   ├── ChecksumMismatchError     460  the bytes of one request are not those of its checksum (tus)
    │   ├── InternalError             500  a defect on our side
    │   └── UnavailableError          503  a dependency did not answer; a retry can help
    ├── StoreError                    raised by adapters, handled by the logic
    │   ├── EntityExistsError         insert of a key that is there already
    │   ├── EntityMissingError        update or delete of a key that is not there
    │   └── EntityChangedError        the ETag is behind: somebody else wrote first
    ├── TargetError                   raised by the senders of notifications, handled by the channels
    │   ├── TargetNotAllowedError     an address that must not be connected to
    │   ├── MailRefusedError          an address or a mail that the mail server refuses for good
    │   └── TargetFailedError         no answer: refused, cut off, timed out, bad certificate
    └── DeadLetterError               a message that must end in the dead-letter queue

A foreign exception (SDK, HTTP client, JSON) is translated where it enters: in an adapter or at the web edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class DropbellError(Exception):
    """Root of the tree. ``retryable`` says whether the same attempt can succeed later."""

    retryable: ClassVar[bool] = False


class ProblemError(DropbellError):
    """An error a client is told about, as problem details (RFC 9457).

    Args:
        detail: One sentence that helps the reader; it is sent to the client, so no secret and no input body.
        code: A more exact code than the class's own; stable, kebab-case, the last segment of ``type``.
        reason: What exactly failed, for telemetry only.
        headers: Header fields that belong to the answer, such as ``WWW-Authenticate``.
        type_uri: ``type`` where another specification defines it; by default it is made of the code.
        extensions: Further members of the problem (RFC 9457 §3.2).
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_code: ClassVar[str] = "internal-error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        type_uri: str | None = None,
        extensions: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.reason = reason
        self.headers = dict(headers or {})
        self.type_uri = type_uri
        self.extensions = dict(extensions or {})


class InvalidRequestError(ProblemError):
    """The request cannot be understood (RFC 9110 §15.5.1)."""

    status, title, default_code = 400, "Invalid request", "invalid-request"


class UploadIncompleteError(ProblemError):
    """The body ended before its announced end; nothing was stored."""

    status, title, default_code = 400, "Upload incomplete", "upload-incomplete"
    retryable = True


class UnauthenticatedError(ProblemError):
    """No token, or one that proves nothing (RFC 6750 §3.1)."""

    status, title, default_code = 401, "Not signed in", "token-invalid"


class PermissionDeniedError(ProblemError):
    """The token is good but lacks the permission the route needs (RFC 6750 §3.1, insufficient_scope)."""

    status, title, default_code = 403, "Permission missing", "permission-missing"


class NotFoundError(ProblemError):
    """Absent, or somebody else's: the two look the same from outside."""

    status, title, default_code = 404, "Not found", "not-found"


class ConflictError(ProblemError):
    """The thing is in another state than the request takes it to be in (RFC 9110 §15.5.10)."""

    status, title, default_code = 409, "Conflict", "conflict"


class GoneError(ProblemError):
    """It was there and has expired (RFC 9110 §15.5.11)."""

    status, title, default_code = 410, "Gone", "gone"


class PreconditionFailedError(ProblemError):
    """Changed since the caller read it (RFC 9110 §15.5.13)."""

    status, title, default_code = 412, "Changed by someone else", "changed"


class TooLargeError(ProblemError):
    """The content is larger than allowed (RFC 9110 §15.5.14)."""

    status, title, default_code = 413, "Too large", "too-large"


class UnsupportedMediaTypeError(ProblemError):
    """The content type cannot be taken here (RFC 9110 §15.5.16)."""

    status, title, default_code = 415, "Unsupported media type", "unsupported-media-type"


class RangeNotSatisfiableError(ProblemError):
    """No byte of the content is in the range asked for (RFC 9110 §15.5.17)."""

    status, title, default_code = 416, "Range not satisfiable", "range-not-satisfiable"


class UnprocessableError(ProblemError):
    """The request is understood, and its content is still wrong (RFC 9110 §15.5.21)."""

    status, title, default_code = 422, "Cannot be processed", "unprocessable"


class TooManyError(ProblemError):
    """The owner has as many of these as allowed."""

    status, title, default_code = 422, "Too many", "too-many"


class PreconditionMissingError(ProblemError):
    """The change must be conditional (RFC 6585 §3)."""

    status, title, default_code = 428, "If-Match is missing", "if-match-missing"


class RateLimitedError(ProblemError):
    """Too many requests in a while (RFC 6585 §4)."""

    status, title, default_code = 429, "Too many requests", "rate-limited"
    retryable = True


class ChecksumMismatchError(ProblemError):
    """What arrived is not what was sent (tus 1.0, checksum extension); the bytes were discarded."""

    status, title, default_code = 460, "Checksum mismatch", "checksum-mismatch"
    retryable = True


class InternalError(ProblemError):
    """A defect on our side; the client gets the correlation id and nothing else."""


class UnavailableError(ProblemError):
    """Storage, the queue or the token issuer did not answer in time (RFC 9110 §15.6.4)."""

    status, title, default_code = 503, "Temporarily unavailable", "unavailable"
    retryable = True


class StoreError(DropbellError):
    """What a store reports and the logic decides upon. It never reaches a client as it is."""


class EntityExistsError(StoreError):
    """An insert met a key that is there already."""


class EntityMissingError(StoreError):
    """An update or delete met no such key."""


class EntityChangedError(StoreError):
    """An update carried an ETag that is behind: somebody else wrote first."""

    retryable = True


class TargetError(DropbellError):
    """A notification could not be handed over."""


class TargetNotAllowedError(TargetError):
    """The target's address must not be connected to: private, reserved, or not https."""


class MailRefusedError(TargetError):
    """The mail server refuses this address or this mail, and would again (RFC 5321 §4.2.1, 5yz)."""


class TargetFailedError(TargetError):
    """The target gave no answer: refused, cut off, timed out, or with a certificate that proves nothing."""

    retryable = True


class DeadLetterError(DropbellError):
    """Raised out of the queue trigger: the message must end in the dead-letter queue.

    The host abandons the message; after ``maxDeliveryCount`` deliveries Service Bus dead-letters it.
    """
