"""What becomes of a subscription: challenges, pauses, new targets, rotated secrets, races."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook

from shared.adapters.memory import MemoryTables
from shared.errors import (
    ConflictError,
    EntityChangedError,
    NotFoundError,
    PreconditionFailedError,
    TargetFailedError,
    TargetNotAllowedError,
    TooManyError,
    UnavailableError,
)
from shared.notifications import subscription as subscriptions
from shared.notifications.challenge import new_challenge, what_is_missing
from shared.notifications.subscribing import Wish, anything
from shared.notifications.subscription import (
    MAX_SUBSCRIPTIONS_PER_OWNER,
    ChannelKind,
    EventType,
    SealedSecret,
    Subscription,
    SubscriptionStatus,
)
from shared.notifications.subscription_patch import SubscriptionPatch
from shared.ports import Entity, HttpAnswer, Insert
from tests.unit.shared import sample
from tests.unit.web.desk import CHALLENGE, LISTED_TARGET, PROVES, TARGET, Desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PENDING, ACTIVE, PAUSED, DISABLED = SubscriptionStatus
WISH = Wish(ChannelKind.WEBHOOK, TARGET, frozenset({EventType.FILE_STORED}))
PROVES_NOTHING = HttpAnswer(200, body_start=b"hello")


async def subscribe(desk: Desk, wish: Wish = WISH) -> tuple[Subscription, str]:
    return await desk.subscribing.subscribe(sample.OWNER, wish, correlation_id="correlation-1")


async def there(desk: Desk, **changes: Any) -> Subscription:
    """A subscription that is there already."""
    made = sample.subscription(**changes)
    await desk.memory.apply([Insert(subscriptions.to_entity(made))])
    return await stored(desk)


async def stored(desk: Desk) -> Subscription:
    return await desk.subscribing.find(sample.OWNER, sample.subscription().id)


async def change(desk: Desk, **patch: Any) -> Subscription:
    return await desk.subscribing.change(
        sample.OWNER,
        sample.subscription().id,
        SubscriptionPatch(**patch),
        wanted=anything,
        correlation_id="correlation-1",
    )


# -- the challenge -------------------------------------------------------------------------------------------


async def test_a_target_that_sends_the_challenge_back_is_active() -> None:
    desk = Desk(PROVES)
    made, secret = await subscribe(desk)
    assert (made.status, made.status_reason) == (ACTIVE, None)
    ((url, headers, body),) = desk.sender.posts
    event = json.loads(body)
    assert url == TARGET
    assert event["type"] == "dropbell.subscription.challenge.v1"
    assert event["data"] == {"subscription_id": made.id, "challenge": CHALLENGE}
    assert (event["source"], event["subject"]) == (sample.PUBLIC_URL, made.id)
    assert headers["webhook-id"] == event["id"]
    assert headers["traceparent"].split("-")[1] == event["traceparent"].split("-")[1]
    assert headers["webhook-signature"] == Webhook(secret).sign(event["id"], sample.NOW, body.decode())


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (PROVES_NOTHING, "the first 1024 bytes of the target's answer (200) did not hold the challenge"),
        (HttpAnswer(204), "the first 1024 bytes of the target's answer (204) did not hold the challenge"),
        (HttpAnswer(404, body_start=CHALLENGE.encode()), "the target answered the challenge with 404"),
        (HttpAnswer(302, body_start=CHALLENGE.encode()), "the target answered the challenge with 302"),
        (TargetFailedError("the target cannot be connected to"), "the target cannot be connected to"),
        (TargetNotAllowedError("the target's address is not a public one"), None),
    ],
)
async def test_any_other_is_kept_pending_and_told_why(answer: Any, missing: str | None) -> None:
    desk = Desk(answer, PROVES)
    made, _ = await subscribe(desk)
    assert (made.status, made.status_reason) == (PENDING, missing or str(answer))
    assert not made.wants(EventType.FILE_STORED)
    verified = await desk.subscribing.verify(sample.OWNER, made.id, correlation_id="correlation-2")
    assert (verified.status, verified.status_reason) == (ACTIVE, None)
    assert verified == await desk.subscribing.find(sample.OWNER, made.id)


@pytest.mark.parametrize(
    ("before", "after", "is_held"),
    [(b"", b"", True), (b"x" * 980, b"", True), (b"x" * 1003, b"", False), (b"\xff{", b"}\x00", True)],
)
def test_the_challenge_counts_within_the_first_bytes(before: bytes, after: bytes, is_held: bool) -> None:
    answer = HttpAnswer(200, body_start=before + CHALLENGE.encode() + after)
    assert (what_is_missing(answer, CHALLENGE) is None) is is_held


def test_challenges_are_long_random_and_need_no_escaping() -> None:
    made = {new_challenge() for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == 43 and json.dumps(each) == f'"{each}"' for each in made)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(ChannelKind.WEBHOOK, LISTED_TARGET, WISH.events),
        Wish(ChannelKind.EMAIL, "Ann@example.com", WISH.events),
    ],
    ids=["a host that the operator listed", "e-mail"],
)
async def test_others_are_active_at_once_and_nothing_is_sent(wish: Wish) -> None:
    desk = Desk()
    made, _ = await subscribe(desk, wish)
    assert made.status is ACTIVE
    assert not desk.sender.posts


async def test_what_the_check_of_the_channel_makes_of_a_target_is_kept() -> None:
    made, _ = await subscribe(Desk(), Wish(ChannelKind.EMAIL, "Ann@example.com", WISH.events))
    assert made.target == "ann@example.com"


@pytest.mark.parametrize("status", [ACTIVE, PAUSED])
async def test_what_is_proven_is_not_challenged_again(status: SubscriptionStatus) -> None:
    desk = Desk()
    present = await there(desk, status=status)
    assert await desk.subscribing.verify(sample.OWNER, present.id, correlation_id="c") == present
    assert not desk.sender.posts


async def test_what_is_disabled_is_neither_challenged_nor_tested() -> None:
    desk = Desk()
    present = await there(desk, status=DISABLED)
    with pytest.raises(ConflictError) as raised:
        await desk.subscribing.verify(sample.OWNER, present.id, correlation_id="c")
    assert raised.value.code == "subscription-disabled"
    response = await desk.ask(
        desk.routes.test_subscription, "POST", owner=sample.OWNER, subscription_id=present.id
    )
    assert response.status_code == 409
    assert not desk.sender.posts


class Meanwhile:
    """Targets of which the first proves itself; something else happens while it is asked."""

    def __init__(self) -> None:
        self.happens: list[Callable[[], Awaitable[Any]]] = []

    async def post(self, url: str, **_: Any) -> HttpAnswer:
        if not self.happens:
            return PROVES_NOTHING
        await self.happens.pop()()
        return PROVES


async def test_a_challenge_that_was_overtaken_by_a_new_target_proves_nothing() -> None:
    meanwhile = Meanwhile()
    desk = Desk(sender=meanwhile)
    await there(desk, status=PENDING)
    meanwhile.happens.append(lambda: change(desk, target="https://other.example/"))
    verified = await desk.subscribing.verify(sample.OWNER, sample.subscription().id, correlation_id="c")
    assert (verified.status, verified.target) == (PENDING, "https://other.example/")


async def test_a_subscription_that_is_deleted_while_it_is_challenged_is_not_found() -> None:
    meanwhile = Meanwhile()
    desk = Desk(sender=meanwhile)
    made = await there(desk, status=PENDING)
    meanwhile.happens.append(lambda: desk.subscribing.delete(sample.OWNER, made.id, wanted=anything))
    with pytest.raises(NotFoundError):
        await desk.subscribing.verify(sample.OWNER, made.id, correlation_id="c")


# -- changes of status and target ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "patch", "answer", "after"),
    [
        (ACTIVE, {"is_paused": True}, None, PAUSED),
        (PAUSED, {"is_paused": True}, None, PAUSED),
        (PAUSED, {"is_paused": False}, None, ACTIVE),
        (ACTIVE, {"is_paused": False}, None, ACTIVE),
        (PENDING, {"is_paused": False}, PROVES, ACTIVE),
        (PENDING, {"is_paused": False}, PROVES_NOTHING, PENDING),
        (DISABLED, {"is_paused": False}, PROVES, ACTIVE),
        (DISABLED, {"is_paused": False}, PROVES_NOTHING, PENDING),
        (DISABLED, {"events": frozenset({EventType.FILE_DELETED})}, None, DISABLED),
        (ACTIVE, {"target": TARGET}, PROVES, ACTIVE),
        (ACTIVE, {"target": TARGET}, PROVES_NOTHING, PENDING),
        (ACTIVE, {"target": TARGET, "is_paused": True}, PROVES, PAUSED),
        (PAUSED, {"target": TARGET}, PROVES, PAUSED),
        (PAUSED, {"target": TARGET, "is_paused": False}, PROVES, ACTIVE),
        (PAUSED, {"target": TARGET}, PROVES_NOTHING, PENDING),
        (DISABLED, {"target": TARGET}, PROVES, ACTIVE),
        (ACTIVE, {"target": LISTED_TARGET}, None, ACTIVE),
        (PAUSED, {"target": LISTED_TARGET}, None, PAUSED),
        (PENDING, {"target": LISTED_TARGET}, None, ACTIVE),
        (ACTIVE, {"target": sample.subscription().target}, None, ACTIVE),
        (PAUSED, {"target": sample.subscription().target}, None, PAUSED),
    ],
)
async def test_what_a_change_makes_of_the_status(
    before: SubscriptionStatus,
    patch: dict[str, Any],
    answer: HttpAnswer | None,
    after: SubscriptionStatus,
) -> None:
    desk = Desk(answer or AssertionError("nothing is to be posted"))
    await there(desk, status=before)
    changed = await change(desk, **patch)
    assert changed.status is after
    assert (changed.status_reason is None) is (after is not PENDING)
    assert len(desk.sender.posts) == (0 if answer is None else 1)
    assert changed == await stored(desk)


@pytest.mark.parametrize(
    ("before", "code"), [(PENDING, "target-not-proven"), (DISABLED, "subscription-disabled")]
)
async def test_what_tells_nobody_cannot_be_paused(before: SubscriptionStatus, code: str) -> None:
    desk = Desk()
    present = await there(desk, status=before, status_reason="gone")
    with pytest.raises(ConflictError) as raised:
        await change(desk, is_paused=True)
    assert raised.value.code == code
    assert await stored(desk) == present


# -- secrets -------------------------------------------------------------------------------------------------


async def test_during_a_rotation_receivers_verify_by_the_old_secret_and_by_the_new() -> None:
    desk = Desk()
    made, first = await subscribe(desk, Wish(ChannelKind.WEBHOOK, LISTED_TARGET, WISH.events))

    async def believed_by() -> set[str]:
        await desk.ask(desk.routes.test_subscription, "POST", owner=sample.OWNER, subscription_id=made.id)
        _, headers, body = desk.sender.posts[-1]
        sent = headers["webhook-signature"].split(" ")
        now = desk.clock.now()
        secrets = {"first": first, "second": second, "third": third}
        ours = {
            name: Webhook(secret).sign(headers["webhook-id"], now, body.decode())
            for name, secret in secrets.items()
        }
        assert len(sent) <= 2
        return {name for name, signature in ours.items() if signature in sent}

    _, second = await desk.subscribing.rotate_secret(sample.OWNER, made.id)
    third = first
    assert await believed_by() == {"first", "second", "third"}
    desk.clock.advance(3600)
    _, third = await desk.subscribing.rotate_secret(sample.OWNER, made.id)
    assert await believed_by() == {"second", "third"}
    desk.clock.advance(timedelta(hours=24).total_seconds())
    assert await believed_by() == {"third"}


async def test_a_secret_of_the_first_version_of_the_row_can_be_rotated() -> None:
    desk = Desk()
    made = sample.subscription()
    entity = subscriptions.to_entity(made)
    values = {key: value for key, value in entity.values.items() if key != "secrets"}
    values["sealed_secret"] = made.secrets[0].sealed
    await desk.memory.apply([Insert(Entity(entity.partition_key, entity.row_key, values))])
    rotated, secret = await desk.subscribing.rotate_secret(sample.OWNER, made.id)
    opened = [sample.SECRET_BOX.open(each.sealed, subscription_id=made.id) for each in rotated.secrets]
    assert opened == [secret, sample.SECRET]
    assert rotated.secrets[1] == SealedSecret(made.secrets[0].sealed, sample.NOW + timedelta(hours=24))


# -- limits and races ----------------------------------------------------------------------------------------


async def test_an_owner_has_at_most_so_many_subscriptions_and_others_do_not_count() -> None:
    desk = Desk()
    await sample.insert_subscriptions(desk.memory, range(MAX_SUBSCRIPTIONS_PER_OWNER - 1))
    await subscribe(desk)
    with pytest.raises(TooManyError, match=str(MAX_SUBSCRIPTIONS_PER_OWNER)):
        await subscribe(desk)
    await desk.subscribing.subscribe("f" * 32, WISH, correlation_id="c")


class RacedTables(MemoryTables):
    """Somebody else writes first, so many times."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races

    async def apply(self, changes: Any) -> Any:
        if self.races and not isinstance(changes[0], Insert):
            self.races -= 1
            raise EntityChangedError("raced")
        return await super().apply(changes)


@pytest.mark.parametrize("races", [1, 100])
async def test_lost_races_are_fought_again_and_not_for_ever(races: int) -> None:
    tables = RacedTables(races)
    desk = Desk(tables=tables)
    made, _ = await subscribe(desk, Wish(ChannelKind.WEBHOOK, LISTED_TARGET, WISH.events))
    if races > 10:
        with pytest.raises(UnavailableError):
            await desk.subscribing.rotate_secret(sample.OWNER, made.id)
        with pytest.raises(UnavailableError):
            await desk.subscribing.delete(sample.OWNER, made.id, wanted=anything)
    else:
        await desk.subscribing.rotate_secret(sample.OWNER, made.id)
        tables.races = races
        await desk.subscribing.delete(sample.OWNER, made.id, wanted=anything)
        assert not tables.rows


async def test_a_change_that_was_overtaken_is_not_made() -> None:
    desk = Desk()
    present = await there(desk)
    asked = iter([True, False])  # when it was read; when it was to be written
    with pytest.raises(PreconditionFailedError):
        await desk.subscribing.change(
            sample.OWNER,
            present.id,
            SubscriptionPatch(is_paused=True),
            wanted=lambda _: next(asked),
            correlation_id="c",
        )
    assert await stored(desk) == present
