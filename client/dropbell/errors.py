"""Every way a call can fail, in one tree.

::

    DropbellError
    ├── InputError              what the caller gave cannot be used; nothing was sent
    ├── NotSignedInError        there is no token, or the issuer gave none
    ├── ConnectionFailedError   the service or the issuer was not reached, or its answer did not arrive whole
    ├── ProblemError            the service refused (RFC 9457)
    ├── UnexpectedAnswerError   the answer is not one that Dropbell gives
    ├── DamagedContentError     bytes differ between here and there (SHA-256)
    └── NotWorkingError         the service answers, but does not do what it is for (``smoke``)

Errors of the HTTP and sign-in libraries are translated where they enter: in ``transport`` and ``issuer``.
"""

from __future__ import annotations


class DropbellError(Exception):
    """Root of the tree; its text is one sentence for a person."""


class InputError(DropbellError):
    """What the caller gave cannot be used; nothing was sent."""


class NotSignedInError(DropbellError):
    """There is no token, or the issuer gave none."""


class ConnectionFailedError(DropbellError):
    """The service or the issuer was not reached, or its answer did not arrive whole.

    Args:
        sentence: What went wrong on the way.
        connected: Whether there was a connection; without one nothing was sent.
    """

    def __init__(self, sentence: str, *, connected: bool = True) -> None:
        super().__init__(sentence)
        self.connected = connected


class UnexpectedAnswerError(DropbellError):
    """The answer is not one that Dropbell gives; often the URL belongs to something else."""


class DamagedContentError(DropbellError):
    """The bytes that arrived are not those that were sent: their SHA-256 differs."""


class NotWorkingError(DropbellError):
    """The service answers, but does not do what it is for."""


class ProblemError(DropbellError):
    """The service refused the request and says why (RFC 9457).

    Args:
        status: The HTTP status.
        type: The problem's kind as a URI, ``about:blank`` when the answer names none.
        title: The problem's kind in a few words.
        detail: What happened this time, one sentence; may be empty.
        correlation_id: What the service's operators find the request by; None when the answer carries none.
        retry_after_seconds: When the service said to come back (RFC 9110 §10.2.3).
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the RFC's name
        title: str,
        detail: str,
        correlation_id: str | None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.correlation_id = correlation_id
        self.retry_after_seconds = retry_after_seconds
