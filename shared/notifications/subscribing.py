"""What an owner can do about being told: make, find, change, prove, rotate and end subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.errors import (
    ConflictError,
    EntityChangedError,
    EntityMissingError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    TargetNotAllowedError,
    TooManyError,
    UnavailableError,
)
from shared.ledger import conditional
from shared.ledger.ranges import rows
from shared.notifications import subscription as subscriptions
from shared.notifications.sealed_secret import new_secret
from shared.notifications.subscription import (
    MAX_SUBSCRIPTIONS_PER_OWNER,
    ROW_KEYS,
    SealedSecret,
    Subscription,
    SubscriptionStatus,
)
from shared.notifications.subscription_patch import Leave, proven
from shared.notifications.target_guard import start_afresh
from shared.ports import Delete, Insert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.notifications.challenge import Challenger
    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.sealed_secret import SecretBox
    from shared.notifications.subscription import ChannelKind, EventType
    from shared.notifications.subscription_patch import SubscriptionPatch
    from shared.notifications.target_guard import FreshStarts
    from shared.ports import Clock, Entity, TableStore

    type Wanted = Callable[[Subscription], bool]
    type TargetCheck = Callable[[str], str]

ROTATION_OVERLAP: Final = timedelta(hours=24)
"""For so long the secret before signs, too."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new subscription shall be."""

    channel: ChannelKind
    target: str
    events: frozenset[EventType]
    filter: str | None = None
    is_tenant_wide: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """Some subscriptions, by their ids."""

    subscriptions: Sequence[Subscription]
    next_row_key: str | None
    """Where the following page starts; None on the last one."""


def anything(_: Subscription) -> bool:
    """The condition of an editor who asks for no version in particular."""
    return True


def checked_url(policy: TargetPolicy) -> TargetCheck:
    """The check of a webhook's target: it raises InvalidRequestError (``target-not-allowed``)."""

    def check(url: str) -> str:
        try:
            return policy.check_url(url).url
        except TargetNotAllowedError as error:
            raise InvalidRequestError(str(error), code="target-not-allowed") from None

    return check


class Subscribing:
    """The subscriptions of every owner, and of tenants; ``partition`` says whose."""

    def __init__(
        self,
        tables: TableStore,
        clock: Clock,
        secrets: SecretBox,
        challenger: Challenger,
        *,
        target_checks: Mapping[ChannelKind, TargetCheck],
        check_filter: Callable[[str], object],
        targets: FreshStarts | None = None,
    ) -> None:
        """Take the collaborators.

        ``target_checks`` holds the channels that are offered; each check returns the target as it is to be
        kept, or raises InvalidRequestError. ``check_filter`` raises InvalidRequestError (``invalid-filter``).
        """
        self._tables = tables
        self._clock = clock
        self._secrets = secrets
        self._challenger = challenger
        self._target_checks = target_checks
        self._check_filter = check_filter
        self._targets = targets

    async def subscribe(self, partition: str, wish: Wish, *, correlation_id: str) -> tuple[Subscription, str]:
        """A new subscription, and its signing secret: the only time that the secret can be read.

        A webhook target is challenged at once; the subscription is kept whether or not it proves itself.

        Raises InvalidRequestError (``channel-not-offered``, ``target-not-allowed``, ``invalid-filter``),
        TooManyError (``too-many-subscriptions``).
        """
        target = self._checked_target(wish.channel, wish.target)
        if wish.filter is not None:
            self._check_filter(wish.filter)
        await self._check_count(partition)
        is_pending = self._challenger.is_needed(wish.channel, target)
        secret = new_secret()
        now = self._clock.now()
        id_ = subscriptions.new_subscription_id()
        made = Subscription(
            id=id_,
            owner=partition,
            channel=wish.channel,
            target=target,
            events=wish.events,
            status=SubscriptionStatus.PENDING if is_pending else SubscriptionStatus.ACTIVE,
            secrets=(self._sealed(secret, id_),),
            created_at=now,
            updated_at=now,
            filter=wish.filter,
            is_tenant_wide=wish.is_tenant_wide,
        )
        (etag,) = await self._tables.apply([Insert(subscriptions.to_entity(made))])
        return await self._challenged(replace(made, etag=etag), correlation_id), secret

    async def find(self, partition: str, subscription_id: str) -> Subscription:
        """The subscription of that id; raises NotFoundError."""
        if not subscriptions.is_subscription_id(subscription_id):
            raise _not_found()
        entity = await self._tables.get(partition, subscriptions.row_key(subscription_id))
        if entity is None:
            raise _not_found()
        return subscriptions.from_entity(entity)

    async def page(self, partition: str, *, limit: int, first_row_key: str | None = None) -> SubscriptionPage:
        """Up to ``limit`` subscriptions from ``first_row_key`` on, in the order of their ids."""
        first, end = ROW_KEYS
        page = await self._tables.query(
            partition, first_row_key=first_row_key or first, end_row_key=end, limit=limit
        )
        return SubscriptionPage(
            [subscriptions.from_entity(entity) for entity in page.entities], page.next_row_key
        )

    async def change(
        self,
        partition: str,
        subscription_id: str,
        patch: SubscriptionPatch,
        *,
        wanted: Wanted,
        correlation_id: str,
    ) -> Subscription:
        """Change the subscription if it is ``wanted``: in the version that the editor has seen.

        A target that has to prove itself is challenged at once. Raises NotFoundError,
        PreconditionFailedError, InvalidRequestError as ``subscribe`` does, ConflictError for a status that
        it cannot be brought to.
        """
        found = await self.find(partition, subscription_id)
        check(found, wanted)
        if patch.target is not Leave.LEAVE:
            patch = replace(patch, target=self._checked_target(found.channel, patch.target))
        if isinstance(patch.filter, str):
            self._check_filter(patch.filter)
        target = found.target if patch.target is Leave.LEAVE else patch.target
        must_prove_itself = self._challenger.is_needed(found.channel, target)

        def apply(present: Subscription) -> Subscription:
            return patch.applied(present, self._clock.now(), must_prove_itself=must_prove_itself)

        changed = await self._update(found, apply, wanted=wanted)
        if self._targets is not None and found.status is SubscriptionStatus.DISABLED:
            await start_afresh(self._targets, changed)  # what was known of the target counts no more
        return await self._challenged(changed, correlation_id, then_paused=patch.leaves_paused(found))

    async def delete(self, partition: str, subscription_id: str, *, wanted: Wanted) -> None:
        """End the subscription; raises NotFoundError or PreconditionFailedError."""
        for tries_left in reversed(range(conditional.MAX_TRIES)):
            found = await self.find(partition, subscription_id)
            check(found, wanted)
            try:
                await self._tables.apply([Delete(subscriptions.to_entity(found))])
            except EntityMissingError:
                raise _not_found() from None
            except EntityChangedError:
                if not tries_left:
                    raise _changing_too_fast() from None
            else:
                return

    async def rotate_secret(
        self, partition: str, subscription_id: str, *, wanted: Wanted = anything
    ) -> tuple[Subscription, str]:
        """A new secret; the one before signs, too, for a day. Raises as ``find`` and ``change`` do.

        At most two are live: rotated again within the day, the oldest stops at once.
        """
        found = await self.find(partition, subscription_id)
        secret = new_secret()

        def rotate(present: Subscription) -> Subscription:
            now = self._clock.now()
            before = replace(present.secrets[0], retires_at=now + ROTATION_OVERLAP)
            return replace(present, secrets=(self._sealed(secret, present.id), before), updated_at=now)

        return await self._update(found, rotate, wanted=wanted), secret

    async def verify(self, partition: str, subscription_id: str, *, correlation_id: str) -> Subscription:
        """Challenge the target again; a subscription that is active or paused has nothing to prove.

        Raises NotFoundError, ConflictError for one that is disabled.
        """
        found = await self.find(partition, subscription_id)
        if found.status is SubscriptionStatus.DISABLED:
            raise ConflictError(
                "The subscription is disabled; set its status to active first.", code="subscription-disabled"
            )
        return await self._challenged(found, correlation_id)

    async def _challenged(
        self, subscription: Subscription, correlation_id: str, *, then_paused: bool = False
    ) -> Subscription:
        """What becomes of a pending subscription by the challenge; any other stays as it is."""
        if subscription.status is not SubscriptionStatus.PENDING:
            return subscription
        missing = None
        if self._challenger.is_needed(subscription.channel, subscription.target):
            missing = await self._challenger.challenge(subscription, correlation_id=correlation_id)

        def settle(present: Subscription) -> Subscription:
            if present.status is not SubscriptionStatus.PENDING or present.target != subscription.target:
                return present  # somebody else was quicker: this challenge says nothing about what is there
            if missing is None:
                return proven(present, self._clock.now(), then_paused=then_paused)
            return replace(present, status_reason=missing)

        return await self._update(subscription, settle)

    async def _update(
        self,
        subscription: Subscription,
        apply: Callable[[Subscription], Subscription],
        *,
        wanted: Wanted = anything,
    ) -> Subscription:
        def decide(entity: Entity) -> tuple[Entity | None, None]:
            present = subscriptions.from_entity(entity)
            check(present, wanted)
            changed = apply(present)
            return (None if changed == present else subscriptions.to_entity(changed)), None

        try:
            entity, _ = await conditional.update(
                self._tables, subscription.owner, subscriptions.row_key(subscription.id), decide
            )
        except EntityMissingError:
            raise _not_found() from None
        except EntityChangedError:
            raise _changing_too_fast() from None
        return subscriptions.from_entity(entity)

    def _checked_target(self, channel: ChannelKind, target: str) -> str:
        check_target = self._target_checks.get(channel)
        if check_target is None:
            raise InvalidRequestError(
                f"The channel {channel} is not offered here.", code="channel-not-offered"
            )
        return check_target(target)

    def _sealed(self, secret: str, subscription_id: str) -> SealedSecret:
        return SealedSecret(self._secrets.seal(secret, subscription_id=subscription_id))

    async def _check_count(self, partition: str) -> None:
        first, end = ROW_KEYS
        count = 0
        async for _ in rows(self._tables, partition, first_row_key=first, end_row_key=end):
            count += 1
        if count >= MAX_SUBSCRIPTIONS_PER_OWNER:
            raise TooManyError(
                f"You have {count} subscriptions, as many as are allowed; delete one first.",
                code="too-many-subscriptions",
            )


def check(subscription: Subscription, wanted: Wanted) -> None:
    """Raise PreconditionFailedError when the subscription is not in a version that the editor has seen."""
    if not wanted(subscription):
        raise PreconditionFailedError(
            "The subscription has changed since you read it; reload it and send your change again."
        )


def _not_found() -> NotFoundError:
    return NotFoundError("You have no subscription of this id.")


def _changing_too_fast() -> UnavailableError:
    return UnavailableError(
        "The subscription is changing too fast; try again in a moment.", reason="subscription-race"
    )
