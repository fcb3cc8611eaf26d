"""Who is told of which events: the subscriptions file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError

from local.event_grid.access_log import Api
from local.event_grid.events import BLOB_CREATED, Event
from local.event_grid.retry_policy import RetryPolicy


class SubscriptionsError(ValueError):
    """The subscriptions file cannot be used; the message says why."""


class _Member(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetrySettings(_Member):
    """Limits that Event Grid lets a subscription set."""

    max_attempts: Annotated[int, Field(ge=1, le=30)] = 30
    ttl_minutes: Annotated[int, Field(ge=1, le=1440)] = 1440


class AdvancedFilters(_Member):
    """Conditions on an event's data; a list matches any of its values."""

    data_api: Annotated[tuple[Api, ...], Field(alias="data.api", min_length=1)]


class Subscription(_Member):
    """One event subscription with a webhook endpoint."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    endpoint: HttpUrl
    subject_begins_with: str = ""
    included_event_types: tuple[str, ...] | None = None
    advanced: AdvancedFilters | None = None
    retry: RetrySettings = RetrySettings()
    dead_letter_file: Path | None = None

    def matches(self, event: Event) -> bool:
        """Tell whether this subscription wants ``event``."""
        data = event["data"]
        api = data.get("api") if isinstance(data, dict) else None
        return (
            str(event["subject"]).startswith(self.subject_begins_with)
            and event["eventType"] in (self.included_event_types or (BLOB_CREATED,))
            and (self.advanced is None or api in self.advanced.data_api)
        )

    def policy(self, schedule_seconds: tuple[float, ...] | None) -> RetryPolicy:
        """Return the retry policy: Event Grid's own, or a quicker schedule for a local stack."""
        limits = RetryPolicy(
            max_attempts=self.retry.max_attempts, time_to_live_seconds=self.retry.ttl_minutes * 60.0
        )
        if schedule_seconds is None:
            return limits
        return RetryPolicy(limits.max_attempts, limits.time_to_live_seconds, schedule_seconds, {})


_SUBSCRIPTIONS: TypeAdapter[list[Subscription]] = TypeAdapter(list[Subscription])


def read_subscriptions(text: str | bytes) -> list[Subscription]:
    """Return the subscriptions in a JSON list.

    Raises:
        SubscriptionsError: It is not one, or two subscriptions share a name.
    """
    try:
        subscriptions = _SUBSCRIPTIONS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SubscriptionsError(f"Subscriptions: {where}: {first['msg']}.") from None
    names = [subscription.name for subscription in subscriptions]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SubscriptionsError(f"Subscriptions: the name {min(twice)!r} is used twice.")
    return subscriptions
