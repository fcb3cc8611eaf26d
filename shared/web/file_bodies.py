"""The JSON bodies of the catalogue and of share links."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field

from shared.errors import InvalidRequestError
from shared.files.catalogue import FilePatch as Patch
from shared.files.labels import KEY_PATTERN, MAX_VALUE_CHARACTERS
from shared.files.name import checked_name
from shared.files.share_link import MAX_LIFE
from shared.web.bodies import FileBody, Instant
from shared.web.entity_tag import file_tag
from shared.web.json_body import JsonBody
from shared.web.rfc3339 import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.files.file import File
    from shared.files.share_link import ShareLink
    from shared.notifications.delivery_record import Delivery


def _instant(value: object) -> object:
    return parsed(value) if isinstance(value, str) else value


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out of a patch stays as it is; no value stands for that."""
    schema.pop("default", None)


_LabelPatch = Annotated[
    dict[
        Annotated[str, Field(pattern=KEY_PATTERN)],
        Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)] | None,
    ],
    Field(json_schema_extra={"additionalProperties": False}),
]

type FutureInstant = Annotated[datetime, BeforeValidator(_instant), Field(strict=True)]
"""A time with its zone (RFC 3339); whether it is in the future is for the clock to say."""


class DeliverySummary(BaseModel):
    """How many of a file's deliveries are in each status."""

    queued: int = Field(description="Not tried yet.")
    delivering: int = Field(description="Being sent.")
    retrying: int = Field(description="Failed, and to be tried again.")
    delivered: int = Field(description="Taken by the subscriber.")
    dead: int = Field(description="Given up.")
    suppressed: int = Field(description="Not wanted any more.")

    @classmethod
    def of(cls, deliveries: Iterable[Delivery]) -> Self:
        """The counts of these deliveries."""
        counts = Counter(delivery.status.value for delivery in deliveries)
        return cls(**{status: counts[status] for status in cls.model_fields})


class FileDetail(FileBody):
    """A file, and how far the word of it has got."""

    deliveries: DeliverySummary = Field(description="How many deliveries are in each status.")

    @classmethod
    def with_deliveries(cls, file: File, deliveries: Iterable[Delivery]) -> Self:
        """The answer for ``file``; its tag changes with the counts, too."""
        summary = DeliverySummary.of(deliveries)
        beside = summary.model_dump_json() if any(summary.model_dump().values()) else ""
        told = FileBody.of(file).model_dump() | {"etag": file_tag(file, beside=beside)}
        return cls(**told, deliveries=summary)


class FileList(BaseModel):
    """A page of files, newest first. It can be short, or empty, and still not be the last."""

    items: list[FileBody] = Field(description="The files.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null after the last one."
    )


class FilePatch(JsonBody):
    """A JSON merge patch of a file (RFC 7396): what is left out stays, `null` removes."""

    name: str = Field(
        "", description="Of at most 255 bytes in UTF-8; not null.", json_schema_extra=_without_default
    )
    labels: _LabelPatch | None = Field(
        None,
        description="Merged into those that are there; null for a value removes that label, null for all "
        "removes all. A file can have 32.",
        json_schema_extra=_without_default,
    )
    expires_at: FutureInstant | None = Field(
        None,
        description="When the file deletes itself, within ten years; null for never.",
        json_schema_extra=_without_default,
    )

    def patch(self) -> Patch:
        """What shall change; raises InvalidRequestError (``invalid-name``)."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "name" in told:
            told["name"] = checked_name(self.name)
        return Patch(**told)


class NewShareLink(JsonBody):
    """How long a share link shall hold: a day unless said otherwise, thirty at most."""

    expires_at: FutureInstant | None = Field(None, description="Until when.")
    expires_in_seconds: int | None = Field(
        None,
        description="Or for how long.",
        ge=1,
        le=int(MAX_LIFE.total_seconds()),
    )

    def life(self) -> timedelta | None:
        """How long it shall hold; raises InvalidRequestError when that is said twice."""
        if self.expires_at is not None and self.expires_in_seconds is not None:
            raise InvalidRequestError("Send expires_at or expires_in_seconds, not both.", code="invalid-body")
        return None if self.expires_in_seconds is None else timedelta(seconds=self.expires_in_seconds)


class ShareLinkBody(BaseModel):
    """A link by which anybody can read one file."""

    id: str = Field(description="The id, by which the link is revoked.")
    file_id: str = Field(description="The file's id.")
    url: str = Field(description="The link itself. Whoever has it can read the file.")
    created_at: Instant = Field(description="When it was made.")
    expires_at: Instant = Field(description="Until when it holds.")
    revoked_at: Instant | None = Field(description="When it was revoked; null if it was not.")

    @classmethod
    def of(cls, link: ShareLink, *, url: str) -> Self:
        """The answer for ``link``."""
        return cls(
            id=link.id,
            file_id=link.file_id,
            url=url,
            created_at=link.created_at,
            expires_at=link.expires_at,
            revoked_at=link.revoked_at,
        )


class ShareLinkList(BaseModel):
    """The share links of a file, newest first."""

    items: list[ShareLinkBody] = Field(description="The links.")
    next_cursor: str | None = Field(None, description="Always null: all links are on this page.")
