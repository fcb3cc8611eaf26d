"""Reading JSON bodies: a bounded number of bytes, the right media type, faults named field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import InvalidRequestError, TooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.web.call import Call

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
MAX_JSON_BYTES: Final = 64 * 1024
_MAX_FAULTS_TOLD: Final = 5
_MAX_PLACE_CHARACTERS: Final = 80


class JsonBody(BaseModel):
    """A JSON object that a client sends: known members only, of the type they should be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Parse a body; raises InvalidRequestError (``invalid-body``) that names each member at fault."""
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            told = [
                f"{_place(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in faults[:_MAX_FAULTS_TOLD]
            ]
            raise InvalidRequestError(
                f"The body is not as it should be. {'; '.join(told)}.", code="invalid-body"
            ) from None


def _place(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location))[:_MAX_PLACE_CHARACTERS] or "body"


async def json_bytes(call: Call, *media_types: str) -> bytes:
    """The body, of one of ``media_types`` (the default: JSON) or of no declared type.

    Raises UnsupportedMediaTypeError, TooLargeError or UploadIncompleteError.
    """
    taken = media_types or (JSON,)
    content_type = call.request.headers.get("content-type", taken[0]).partition(";")[0].strip().lower()
    if content_type not in taken:
        raise UnsupportedMediaTypeError(
            f"Send a JSON body with Content-Type: {taken[0]}.",
            headers={"accept-patch" if call.request.method == "PATCH" else "accept": ", ".join(taken)},
        )
    raw = bytearray()
    async for chunk in call.body():
        raw += chunk
        if len(raw) > MAX_JSON_BYTES:
            raise TooLargeError(f"A JSON body can have at most {MAX_JSON_BYTES} bytes here.")
    return bytes(raw)
