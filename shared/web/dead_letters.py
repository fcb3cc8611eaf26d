"""``/operations/dead-letters`` for operators, and ``/deliveries/{delivery_id}/redeliver`` for owners."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from shared.errors import InvalidRequestError
from shared.files.file import is_file_id
from shared.identity.owner import Owner
from shared.notifications.dead_letters import MAX_LETTERS
from shared.notifications.letter import LetterFilter, LetterIds, is_letter_id
from shared.notifications.subscription import is_subscription_id
from shared.web.bodies import Instant
from shared.web.delivery_bodies import DeliveryBody
from shared.web.json_body import JSON, JsonBody, json_bytes
from shared.web.query import check_known, limit, single
from shared.web.rfc3339 import parsed

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.datastructures import QueryParams

    from shared.ledger.signed_token import Signer
    from shared.notifications.dead_letters import BulkResult, DeadLetters
    from shared.notifications.letter import Letter, Selection
    from shared.notifications.redelivery import Redelivery
    from shared.web.call import Call

MAX_IDS = 500
"""In one body; as many as fit into it."""
MAX_REASON_CHARACTERS = 200
_FILTERS = ("subscription_id", "file_id", "reason", "enqueued_before", "enqueued_after")
_PARAMETERS = frozenset({*_FILTERS, "limit", "cursor"})
_BOUND_BYTES = 16


class LetterBody(BaseModel):
    """A dead letter."""

    id: str = Field(description="The delivery's id; `seq-<n>` for a message that cannot be read.")
    sequence_number: int = Field(description="Its number in the queue; `seq-<n>` names it, too.")
    delivery_id: str | None = Field(description="The delivery; null when the message cannot be read.")
    file_id: str | None = Field(description="The file; null when the message cannot be read.")
    subscription_id: str | None = Field(description="The subscription; null when it cannot be read.")
    status: str | None = Field(
        description="The delivery's status now: `dead`, or what a redrive has made of it since; null "
        "when there is no such delivery any more."
    )
    reason: str | None = Field(description="Why the delivery was given up.")
    queue_reason: str | None = Field(description="Why the queue laid the message aside.")
    attempts: int = Field(description="How often the delivery was tried.")
    enqueued_at: Instant = Field(description="When the message came to the queue.")

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """The answer for ``letter``."""
        message, delivery = letter.message, letter.delivery
        return cls(
            id=letter.id,
            sequence_number=letter.dead.sequence_number,
            delivery_id=message.delivery_id if message else None,
            file_id=message.file_id if message else None,
            subscription_id=message.subscription_id if message else None,
            status=delivery.status.value if delivery else None,
            reason=letter.reason,
            queue_reason=letter.dead.reason,
            attempts=max((attempt.number for attempt in delivery.attempts), default=0) if delivery else 0,
            enqueued_at=letter.dead.enqueued_at,
        )


class LetterList(BaseModel):
    """A page of dead letters, the oldest first."""

    items: list[LetterBody] = Field(description="The dead letters.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null after the last one."
    )


class LetterConditions(JsonBody):
    """Which letters are meant; all that is given must hold. `{}` means all."""

    subscription_id: str | None = Field(None, description="Of this subscription.")
    file_id: str | None = Field(None, description="About this file.")
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_CHARACTERS)] | None = Field(
        None, description="Whose reason contains this text, in any case of letters."
    )
    enqueued_before: str | None = Field(None, description="That came before this time (RFC 3339).")
    enqueued_after: str | None = Field(None, description="That came at this time or later (RFC 3339).")

    @model_validator(mode="after")
    def _checked(self) -> Self:
        self.conditions()
        return self

    def conditions(self) -> LetterFilter:
        """What shall hold; raises ValueError that names the member at fault."""
        return _conditions(self.model_dump())


class LetterChoice(JsonBody):
    """Letters by id, or by what they are like."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MAX_IDS)] | None = Field(
        None, description="Delivery ids, or `seq-<n>`."
    )
    filter: LetterConditions | None = Field(None, description="Instead of `ids`.")
    limit: Annotated[int, Field(ge=1, le=MAX_LETTERS)] = Field(
        MAX_LETTERS, description="At most so many, the oldest first."
    )
    dry_run: bool = Field(False, description="Only count what would be done.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter; the filter {} means all")
        wrong = [id_ for id_ in self.ids or () if not is_letter_id(id_)]
        if wrong:
            raise ValueError(f"ids: {wrong[0][:40]!r} is no id of a dead letter")
        return self

    def selection(self) -> Selection:
        """Which letters are meant."""
        if self.ids is not None:
            return LetterIds(frozenset(self.ids))
        return LetterFilter() if self.filter is None else self.filter.conditions()


class BulkBody(BaseModel):
    """What a redrive or discard did, or with `dry_run` would do."""

    matched: int = Field(description="Letters that are meant.")
    redriven: int = Field(description="Those whose delivery is under way again.")
    discarded: int = Field(description="Those removed for good.")
    skipped: int = Field(
        description="Those left: settled otherwise, gone, unreadable, or held by somebody else."
    )
    dry_run: bool = Field(description="Whether it was only counted.")


class DeadLetterRoutes:
    """The routes of operators: the whole service's dead letters. ``cursors`` signs cursors, nothing else."""

    def __init__(self, dead_letters: DeadLetters, cursors: Signer) -> None:
        self._dead_letters = dead_letters
        self._cursors = cursors

    async def list_dead_letters(self, call: Call) -> Response:
        """``GET /operations/dead-letters``: the oldest first.

        A page may be short or empty and still have a ``next_cursor``: one request looks at a bounded number.
        """
        query = call.request.query_params
        wanted, limit, cursor = _read_query(query)
        bound = _bound_to(wanted)
        page = await self._dead_letters.list(
            wanted, limit=limit, from_sequence_number=0 if cursor is None else self._read(cursor, bound)
        )
        following = page.next_sequence_number
        body = LetterList(
            items=[LetterBody.of(letter) for letter in page.letters],
            next_cursor=None if following is None else self._cursors.sign(bound + b"%d" % following),
        )
        return Response(body.model_dump_json(), media_type=JSON)

    async def redrive_dead_letters(self, call: Call) -> Response:
        """``POST /operations/dead-letters/redrive``."""
        choice = LetterChoice.read(await json_bytes(call))
        result = await self._dead_letters.redrive(
            choice.selection(), by=_caller(call), limit=choice.limit, dry_run=choice.dry_run
        )
        return _bulk_answer(result, choice, redriven=result.done)

    async def discard_dead_letters(self, call: Call) -> Response:
        """``POST /operations/dead-letters/discard``."""
        choice = LetterChoice.read(await json_bytes(call))
        result = await self._dead_letters.discard(
            choice.selection(), by=_caller(call), limit=choice.limit, dry_run=choice.dry_run
        )
        return _bulk_answer(result, choice, discarded=result.done)

    def _read(self, cursor: str, bound: bytes) -> int:
        payload = self._cursors.read(cursor)
        if payload is None or payload[:_BOUND_BYTES] != bound:
            raise InvalidRequestError(
                "This cursor is not from a list with the same filters; start without one.",
                code="invalid-cursor",
            )
        return int(payload[_BOUND_BYTES:])


class DeliveryActionRoutes:
    """What owners do with their deliveries."""

    def __init__(self, redelivery: Redelivery) -> None:
        self._redelivery = redelivery

    async def redeliver(self, call: Call) -> Response:
        """``POST /deliveries/{delivery_id}/redeliver``: 202 and the delivery, queued again."""
        delivery_id = str(call.request.path_params["delivery_id"])
        delivery = await self._redelivery.redeliver(call.owner, delivery_id, by=_caller(call))
        return Response(DeliveryBody.of(delivery).model_dump_json(), 202, media_type=JSON)


def _bulk_answer(
    result: BulkResult, choice: LetterChoice, *, redriven: int = 0, discarded: int = 0
) -> Response:
    body = BulkBody(
        matched=result.matched,
        redriven=redriven,
        discarded=discarded,
        skipped=result.skipped,
        dry_run=choice.dry_run,
    )
    return Response(body.model_dump_json(), media_type=JSON)


def _caller(call: Call) -> str:
    """Who asks, for the record: the caller itself, not the owner it may act for."""
    return str(Owner(call.caller.tenant_id, call.caller.object_id))


def _read_query(query: QueryParams) -> tuple[LetterFilter, int, str | None]:
    check_known(query, _PARAMETERS)
    told = {name: single(query, name) for name in _FILTERS}
    if len(told["reason"] or "") > MAX_REASON_CHARACTERS:
        raise _invalid(f"reason can have at most {MAX_REASON_CHARACTERS} characters")
    try:
        wanted = _conditions(told)
    except ValueError as error:
        raise _invalid(str(error)) from None
    return wanted, limit(query), single(query, "cursor")


def _conditions(told: dict[str, str | None]) -> LetterFilter:
    """The filter; raises ValueError that names the member at fault."""
    if (file_id := told["file_id"]) is not None and not is_file_id(file_id):
        raise ValueError("file_id is no id of a file")
    if (subscription_id := told["subscription_id"]) is not None and not is_subscription_id(subscription_id):
        raise ValueError("subscription_id is no id of a subscription")
    return LetterFilter(
        subscription_id=subscription_id,
        file_id=file_id,
        reason=told["reason"],
        enqueued_before=_instant("enqueued_before", told["enqueued_before"]),
        enqueued_after=_instant("enqueued_after", told["enqueued_after"]),
    )


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsed(text.replace(" ", "+"))  # a plus sign that was not encoded
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _bound_to(wanted: LetterFilter) -> bytes:
    """What a cursor belongs to, as a digest."""
    told = json.dumps(asdict(wanted), default=str, sort_keys=True)
    return hashlib.sha256(told.encode()).digest()[:_BOUND_BYTES]


def _invalid(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The query parameter {why}.", code="invalid-query")
