"""Making and finding subscriptions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError, TargetNotAllowedError, TooManyError
from shared.ledger.ranges import rows
from shared.notifications import subscription as subscriptions
from shared.notifications.sealed_secret import new_secret
from shared.notifications.subscription import (
    MAX_SUBSCRIPTIONS_PER_OWNER,
    ROW_KEYS,
    Subscription,
    SubscriptionStatus,
)
from shared.ports import Insert

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.notifications.sealed_secret import SecretBox
    from shared.notifications.subscription import ChannelKind, EventType
    from shared.ports import Clock, TableStore


class Subscribing:
    """What an owner can do about being told."""

    def __init__(
        self, tables: TableStore, clock: Clock, secrets: SecretBox, target_policy: TargetPolicy
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._secrets = secrets
        self._target_policy = target_policy

    async def subscribe(
        self, owner: str, *, channel: ChannelKind, target: str, events: AbstractSet[EventType]
    ) -> tuple[Subscription, str]:
        """A new subscription, and its signing secret: the only time that the secret can be read.

        Raises InvalidRequestError (``target-not-allowed``), TooManyError (``too-many-subscriptions``).
        """
        try:
            self._target_policy.check_url(target)
        except TargetNotAllowedError as error:
            raise InvalidRequestError(str(error), code="target-not-allowed") from None
        await self._check_count(owner)
        secret = new_secret()
        subscription_id = subscriptions.new_subscription_id()
        made = Subscription(
            id=subscription_id,
            owner=owner,
            channel=channel,
            target=target,
            events=frozenset(events),
            status=SubscriptionStatus.ACTIVE,
            sealed_secret=self._secrets.seal(secret, subscription_id=subscription_id),
            created_at=self._clock.now(),
        )
        (etag,) = await self._tables.apply([Insert(subscriptions.to_entity(made))])
        return replace(made, etag=etag), secret

    async def find(self, owner: str, subscription_id: str) -> Subscription | None:
        """The owner's subscription of that id."""
        if not subscriptions.is_subscription_id(subscription_id):
            return None
        entity = await self._tables.get(owner, subscriptions.row_key(subscription_id))
        return None if entity is None else subscriptions.from_entity(entity)

    async def _check_count(self, owner: str) -> None:
        first, end = ROW_KEYS
        count = 0
        async for _ in rows(self._tables, owner, first_row_key=first, end_row_key=end):
            count += 1
        if count >= MAX_SUBSCRIPTIONS_PER_OWNER:
            raise TooManyError(
                f"You have {count} subscriptions, as many as are allowed; delete one first.",
                code="too-many-subscriptions",
            )
