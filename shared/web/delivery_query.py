"""Query parameters of the lists of deliveries. What is wrong is refused by its name (``invalid-query``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.files.events import EventType
from shared.notifications.delivery_record import DeliveryStatus
from shared.notifications.history import DeliveryFilter
from shared.notifications.subscription import is_subscription_id
from shared.web.query import check_known, invalid, limit, single

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

_PARAMETERS = frozenset(
    {
        "limit",
        "cursor",
        "status",
        "subscription_id",
        "event",
    }
)


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """What a list of deliveries is asked for."""

    wanted: DeliveryFilter
    limit: int
    cursor: str | None


def delivery_query(query: QueryParams, *, default_limit: int) -> DeliveryQuery:
    """Read the parameters; raises InvalidRequestError that names the one at fault."""
    check_known(query, _PARAMETERS)
    wanted = DeliveryFilter(
        subscription_id=_subscription_id(single(query, "subscription_id")),
        event=_event(single(query, "event")),
        **({"statuses": _statuses(query.getlist("status"))} if "status" in query else {}),
    )
    return DeliveryQuery(wanted, limit(query, default_limit), single(query, "cursor"))


def _statuses(texts: list[str]) -> frozenset[DeliveryStatus]:
    try:
        return frozenset(DeliveryStatus(each.strip()) for text in texts for each in text.split(","))
    except ValueError:
        raise invalid("status", f"must be of: {', '.join(DeliveryStatus)}") from None


def _subscription_id(text: str | None) -> str | None:
    if text is not None and not is_subscription_id(text):
        raise invalid("subscription_id", "is no id of a subscription")
    return text


def _event(text: str | None) -> EventType | None:
    try:
        return None if text is None else EventType(text)
    except ValueError:
        raise invalid("event", f"must be one of: {', '.join(EventType)}") from None
