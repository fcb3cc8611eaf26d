"""Unsubscribing by a link in a mail: who has the link may end the subscription, and nothing else.

The link carries its own proof, a signed text of partition and subscription, so that made-up ones cost no
look-up. It does not expire: a mail can be read years later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from shared.errors import EntityMissingError, NotFoundError
from shared.ledger import conditional
from shared.notifications import subscription as subscriptions
from shared.notifications.subscription import SubscriptionStatus

if TYPE_CHECKING:
    from shared.ledger.signed_token import Signer
    from shared.notifications.subscription import Subscription
    from shared.ports import Clock, Entity, TableStore

UNSUBSCRIBED: Final = "unsubscribed"
"""``status_reason`` of a subscription whose reader wants no more."""
MAX_TOKEN_CHARACTERS: Final = 128
_PART_BYTES: Final = 16
"""Partition and subscription id are 128 bits each."""


class Unsubscribing:
    """Makes and honours the links. ``signer`` is of the purpose ``unsubscribe``."""

    def __init__(self, tables: TableStore, clock: Clock, signer: Signer) -> None:
        self._tables = tables
        self._clock = clock
        self._signer = signer

    def token(self, subscription: Subscription) -> str:
        """What the link ends in; always the same for a subscription."""
        return self._signer.sign(bytes.fromhex(subscription.owner) + bytes.fromhex(subscription.id))

    async def is_subscribed(self, token: str) -> bool:
        """Whether there is something to end; raises NotFoundError for a token that was never made here."""
        partition, subscription_id = self._read(token)
        entity = await self._tables.get(partition, subscriptions.row_key(subscription_id))
        return (
            entity is not None and subscriptions.from_entity(entity).status is not SubscriptionStatus.DISABLED
        )

    async def unsubscribe(self, token: str) -> None:
        """End the subscription; one that has ended, or was deleted, is no error.

        Raises NotFoundError for a token that was never made here.
        """

        def decide(entity: Entity) -> tuple[Entity | None, None]:
            present, now = subscriptions.from_entity(entity), self._clock.now()
            if present.status is not SubscriptionStatus.DISABLED:
                ended = present.moved_to(SubscriptionStatus.DISABLED, now, reason=UNSUBSCRIBED)
            elif present.status_reason != UNSUBSCRIBED:  # failing before; now nobody wants it back
                ended = replace(present, status_reason=UNSUBSCRIBED, updated_at=now)
            else:
                return None, None
            return subscriptions.to_entity(ended), None

        partition, subscription_id = self._read(token)
        try:
            await conditional.update(self._tables, partition, subscriptions.row_key(subscription_id), decide)
        except EntityMissingError:
            return

    def _read(self, token: str) -> tuple[str, str]:
        payload = self._signer.read(token) if len(token) <= MAX_TOKEN_CHARACTERS else None
        if payload is None or len(payload) != 2 * _PART_BYTES:
            raise NotFoundError("There is no such link.")
        return payload[:_PART_BYTES].hex(), payload[_PART_BYTES:].hex()
