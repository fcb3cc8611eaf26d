"""The JSON bodies of the API: what is taken and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, PlainSerializer

from shared.notifications.subscribing import Wish
from shared.notifications.subscription import ChannelKind, EventType, SubscriptionStatus
from shared.notifications.subscription_patch import SubscriptionPatch
from shared.web.entity_tag import entity_tag, file_tag
from shared.web.json_body import JsonBody

if TYPE_CHECKING:
    from shared.files.file import File
    from shared.notifications.subscription import Subscription
    from shared.notifications.trial import TrialResult

OWN_SCOPE: Final = "own"
TENANT_SCOPE: Final = "tenant"


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


type Instant = Annotated[datetime, PlainSerializer(_rfc3339, when_used="json")]


class FileBody(BaseModel):
    """A file."""

    id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    status: str
    labels: dict[str, str]
    created_at: Instant
    stored_at: Instant
    announced_at: Instant | None
    settled_at: Instant | None
    updated_at: Instant
    expires_at: Instant | None
    deleted_at: Instant | None
    reason: str | None
    trace_id: str
    correlation_id: str
    etag: str

    @classmethod
    def of(cls, file: File) -> Self:
        """The answer for ``file``."""
        return cls(
            id=file.id,
            name=file.name,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            status=file.status.value,
            labels=dict(file.labels),
            created_at=file.accepted_at,
            stored_at=file.stored_at,
            announced_at=file.announced_at,
            settled_at=file.settled_at,
            updated_at=file.updated_at,
            expires_at=file.expires_at,
            deleted_at=file.deleted_at,
            reason=file.reason,
            trace_id=file.trace_id,
            correlation_id=file.correlation_id,
            etag=file_tag(file),
        )


_Channel = Annotated[ChannelKind, Field(strict=False)]
_Events = Annotated[list[Annotated[EventType, Field(strict=False)]], Field(min_length=1)]


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out of a patch stays as it is; no value stands for that."""
    schema.pop("default", None)


class NewSubscription(JsonBody):
    """A wish to be told."""

    channel: _Channel = Field(description="How to tell.")
    target: str = Field(description="An https URL, or for `email` an address.")
    events: _Events = Field(default=[EventType.FILE_STORED], description="What to tell of.")
    filter: str | None = Field(None, description="Which files; all when left out.")
    scope: Literal["own", "tenant"] = Field(
        "own",
        description="`tenant`: the files of everybody in the tenant, for an application with "
        "`Subscriptions.Manage.All` that acts for itself.",
    )

    def wish(self) -> Wish:
        """What shall be made."""
        return Wish(
            self.channel, self.target, frozenset(self.events), self.filter, self.scope == TENANT_SCOPE
        )


class SubscriptionChange(JsonBody):
    """A JSON merge patch of a subscription (RFC 7396): what is left out stays."""

    target: str = Field(
        "", description="Another target proves itself anew.", json_schema_extra=_without_default
    )
    events: _Events = Field([], description="All that to tell of.", json_schema_extra=_without_default)
    filter: str | None = Field(
        None, description="Which files; null for all.", json_schema_extra=_without_default
    )
    status: Literal["active", "paused"] = Field(
        "active",
        description="`paused`: nothing is told, nor told later. `active` also brings a disabled "
        "subscription back.",
        json_schema_extra=_without_default,
    )

    def patch(self) -> SubscriptionPatch:
        """What shall change."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "events" in told:
            told["events"] = frozenset(told["events"])
        if "status" in told:
            told["is_paused"] = told.pop("status") == SubscriptionStatus.PAUSED
        return SubscriptionPatch(**told)


class SubscriptionBody(BaseModel):
    """A subscription; `secret` only in the answers that make one."""

    id: str = Field(description="The id.")
    channel: str = Field(description="How its target is told.")
    target: str = Field(description="Who is told.")
    events: list[str] = Field(description="What it is told of.")
    filter: str | None = Field(description="Which files; null for all.")
    scope: str = Field(description="`own` files, or those of everybody in the `tenant`.")
    status: str = Field(
        description="`pending` until the target has proved itself, `active`, `paused`, or `disabled`."
    )
    status_reason: str | None = Field(description="Why it is pending or disabled.")
    created_at: Instant = Field(description="When it was made.")
    updated_at: Instant = Field(description="When it was last changed.")
    etag: str = Field(description="The version, as in ETag.")
    secret: str | None = Field(
        None, description="What its webhooks are signed with, told this once; null in all other answers."
    )
    previous_secret_retires_at: Instant | None = Field(
        None, description="Until when the secret before signs, too; null when there is none."
    )

    @classmethod
    def of(cls, subscription: Subscription, *, now: datetime, secret: str | None = None) -> Self:
        """The answer for ``subscription`` at ``now``."""
        retiring = [each.retires_at for each in subscription.secrets if each.retires_at is not None]
        return cls(
            id=subscription.id,
            channel=subscription.channel.value,
            target=subscription.target,
            events=sorted(event.value for event in subscription.events),
            filter=subscription.filter,
            scope=TENANT_SCOPE if subscription.is_tenant_wide else OWN_SCOPE,
            status=subscription.status.value,
            status_reason=subscription.status_reason,
            created_at=subscription.created_at,
            updated_at=subscription.updated_at,
            etag=entity_tag(subscription.etag),
            secret=secret,
            previous_secret_retires_at=max((at for at in retiring if now < at), default=None),
        )


class SubscriptionList(BaseModel):
    """A page of subscriptions, in the order of their ids."""

    items: list[SubscriptionBody] = Field(description="The subscriptions.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null after the last one."
    )


class TrialBody(BaseModel):
    """What came of a test."""

    outcome: str = Field(description="`delivered`, `failed` (a delivery would be tried again) or `rejected`.")
    status_code: int | None = Field(description="The HTTP status, if one came.")
    detail: str = Field(description="What happened, in a few words.")
    duration_ms: int = Field(description="How long it took.")

    @classmethod
    def of(cls, result: TrialResult) -> Self:
        """The answer for ``result``."""
        return cls(
            outcome=result.outcome.value,
            status_code=result.status_code,
            detail=result.detail,
            duration_ms=result.duration_ms,
        )
