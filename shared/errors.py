"""The error catalogue: every way a request, an event or a message can fail, in one tree.

::

    DropbellError
    ├── ProblemError                  becomes an answer (RFC 9457 problem details)
    │   ├── InvalidRequestError       400  the request cannot be understood
    │   ├── UploadIncompleteError     400  the body ended before its announced end
    │   ├── UnauthenticatedError      401  no token, or one that proves nothing (RFC 6750 §3)
    │   ├── PermissionDeniedError     403  the token lacks what the route needs
    │   ├── NotFoundError             404  absent, or somebody else's
    │   ├── TooLargeError             413  over a size limit
    │   ├── UnsupportedMediaTypeError 415  a content type this route does not take
    │   ├── TooManyError              422  over a count limit of the owner
    │   ├── InternalError             500  a defect on our side
    │   └── UnavailableError          503  a dependency did not answer; a retry can help
    ├── StoreError                    raised by adapters, handled by the logic
    │   ├── EntityExistsError         insert of a key that is there already
    │   ├── EntityMissingError        update or delete of a key that is not there
    │   └── EntityChangedError        the ETag is behind: somebody else wrote first
    ├── TargetError                   raised by the senders of notifications, handled by the channels
    │   ├── TargetNotAllowedError     an address that must not be connected to
    │   └── TargetFailedError         no answer: refused, cut off, timed out, bad certificate
    └── DeadLetterError               a message that must end in the dead-letter queue

A foreign exception (SDK, HTTP client, JSON) is translated where it enters: in an adapter or at the web edge.
"""

from __future__ import annotations

from typing import ClassVar


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
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.reason = reason
        self.headers = headers or {}


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


class TooLargeError(ProblemError):
    """The content is larger than allowed (RFC 9110 §15.5.14)."""

    status, title, default_code = 413, "Too large", "too-large"


class UnsupportedMediaTypeError(ProblemError):
    """The content type cannot be taken here (RFC 9110 §15.5.16)."""

    status, title, default_code = 415, "Unsupported media type", "unsupported-media-type"


class TooManyError(ProblemError):
    """The owner has as many of these as allowed."""

    status, title, default_code = 422, "Too many", "too-many"


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


class TargetFailedError(TargetError):
    """The target gave no answer: refused, cut off, timed out, or with a certificate that proves nothing."""

    retryable = True


class DeadLetterError(DropbellError):
    """Raised out of the queue trigger: the message must end in the dead-letter queue.

    The host abandons the message; after ``maxDeliveryCount`` deliveries Service Bus dead-letters it.
    """
