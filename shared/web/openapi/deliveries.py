"""The operations on deliveries: lists, one, and a file's progress while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from shared.files.events import EventType
from shared.notifications.delivery_record import DeliveryStatus
from shared.web.deliveries import LIMIT_OF_FILE
from shared.web.delivery_bodies import DeliveryBody, DeliveryList, FileProgress
from shared.web.event_stream import EVENT_STREAM
from shared.web.openapi.bodies import JSON
from shared.web.openapi.operation import BINARY, Answer, Operation, Parameter
from shared.web.openapi.parameters import CURSOR, IF_NONE_MATCH, LIMIT
from shared.web.query import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERIES: Final = "Deliveries"
_FILTERS: Final = (
    Parameter("status", "query", list[DeliveryStatus], "Only deliveries in one of these statuses."),
    Parameter(
        "subscription_id",
        "query",
        Annotated[str, Field(pattern="^[0-9a-f]{32}$")],
        "Only deliveries to this subscription.",
    ),
    Parameter("event", "query", EventType, "Only deliveries that tell of this."),
)
_LIMIT_OF_FILE: Final = Parameter(
    "limit",
    "query",
    Annotated[int, Field(ge=1, le=MAX_LIMIT)],
    f"How many to list at most; {LIMIT_OF_FILE} by default.",
    example=20,
)
_PAGE: Final = (
    "A page of deliveries, each with all its attempts. `next_cursor` leads to the next one, `null` after the "
    "last."
)

DELIVERY_OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_deliveries": Operation(
        DELIVERIES,
        "List who was told of a file, and how it went",
        {200: Answer(_PAGE, {JSON: DeliveryList})},
        parameters=(_LIMIT_OF_FILE, CURSOR, *_FILTERS),
        problems=("invalid-query", "invalid-cursor", "not-found"),
    ),
    "list_own_deliveries": Operation(
        DELIVERIES,
        "List deliveries, those of the newest file first",
        {200: Answer(_PAGE, {JSON: DeliveryList})},
        "Of all your files, deleted ones too. A page can be short, or empty, and still not be the last. "
        "Deliveries are forgotten some time after they have ended.",
        (LIMIT, CURSOR, *_FILTERS),
        problems=("invalid-query", "invalid-cursor"),
    ),
    "get_delivery": Operation(
        DELIVERIES,
        "Read a delivery",
        {
            200: Answer(
                "The delivery and all its attempts.",
                {JSON: DeliveryBody},
                headers=("ETag", "Cache-Control"),
            ),
            304: Answer("Not changed since.", headers=("ETag", "Cache-Control")),
        },
        parameters=(IF_NONE_MATCH,),
        problems=("not-found",),
    ),
    "watch_file": Operation(
        DELIVERIES,
        "Watch a file until everybody is told",
        {
            200: Answer(
                "The stream; or for `Accept: application/json` how things stand now, with `Retry-After` as "
                "long as there is something to wait for.",
                {EVENT_STREAM: BINARY, JSON: FileProgress},
                headers=("Cache-Control", "Vary"),
                optional_headers=("Retry-After",),
            ),
            204: Answer("You know the end already: come back no more.", headers=("Vary",)),
        },
        "Server-sent events ([HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html))."
        " First the file (`event: file`) and each of its deliveries (`event: delivery`) as they are, then "
        "whatever changes, as the same JSON bodies that the other routes answer with. When no delivery is "
        'under way any more, `event: end` comes, whose data is `{"reason":"settled"}`, or '
        '`{"reason":"gone"}` for a file that is not there any more. A stream ends after 100 seconds; '
        "connect again with `Last-Event-ID`, as an EventSource does by itself, and what you know is not "
        "repeated. The token needs `Files.Read`, too.",
        (Parameter("Last-Event-ID", "header", str, "The id of the last message that you got; opaque."),),
        problems=("not-found", "too-many-streams"),
        example=("-N", "-H 'Accept: text/event-stream'"),
    ),
}
