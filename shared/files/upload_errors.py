"""How requests to an upload are refused."""

from __future__ import annotations

from shared.errors import ConflictError, InvalidRequestError, NotFoundError, TooLargeError


class OffsetMismatchError(ConflictError):
    """The request does not begin where the upload ends."""

    default_code = "offset-mismatch"

    def __init__(self, expected_bytes: int, given_bytes: int) -> None:
        super().__init__(
            f"The upload has {expected_bytes} bytes; the request begins at {given_bytes}. Go on from its end."
        )
        self.expected_bytes = expected_bytes
        self.given_bytes = given_bytes


def not_found() -> NotFoundError:
    """No upload, or none of the caller's."""
    return NotFoundError("You have no upload of this id.")


def overtaken() -> ConflictError:
    """Somebody else has the right to write."""
    return ConflictError(
        "Another request has taken over this upload; ask for its offset before going on.",
        code="upload-overtaken",
    )


def contended() -> ConflictError:
    """Every race for the right to write was lost."""
    return ConflictError("Too many requests write to this upload at once.", code="upload-contended")


def length_exceeded() -> TooLargeError:
    """More bytes than announced, or than a file can have."""
    return TooLargeError("There are more bytes than the upload can have.", code="length-exceeded")


def inconsistent_length(why: str) -> InvalidRequestError:
    """Two lengths that cannot both be true."""
    return InvalidRequestError(why, code="inconsistent-length")


def invalid_parts(why: str) -> InvalidRequestError:
    """Uploads that cannot be joined."""
    return InvalidRequestError(why, code="invalid-parts")
