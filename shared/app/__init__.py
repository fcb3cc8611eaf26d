"""The composition root: builds each collaborator once, when it is first needed.

``function_app.py`` calls the methods of ``application()``; tests build an ``Application`` of their own and
hand in memory adapters. Imports sit in the properties, so that a cold start pays only for what its first
request needs.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.app.http import Http

if TYPE_CHECKING:
    from datetime import datetime

    from shared.ledger.due import Work


class Application(Http):
    """Every collaborator, built lazily; and what the timer sets going."""

    async def sweep(self) -> None:
        """What the timer does: works off what is due."""
        from shared.files import file, removal, scanning, upload_end
        from shared.ledger import idempotency
        from shared.notifications import happenings, history, lost_messages, redelivery
        from shared.telemetry.spans import SpanKind

        lost = self.lost_messages
        works = {
            happenings.DUE_KIND: lost.after(self.happenings.look),
            redelivery.DUE_KIND: lost.after(self.redelivery.look),
            lost_messages.DUE_KIND: lost.look,
            history.DUE_KIND: self.history.forget,
            file.ANNOUNCE: lost.after(self.fan_out.look),
            scanning.DUE_KIND: lost.after(self.fan_out.look_again),
            upload_end.DUE_KIND: self.upload_ends.look,
            removal.EXPIRY: self.removal.expire,
            removal.PURGE: self.removal.purge_due,
            idempotency.KIND: self.requests.forget,
        }

        def followed(kind: str, look: Work) -> Work:
            async def follow(owner: str, id_: str) -> datetime | None:
                # Each in a part of its own: it may turn out to belong to a file's trace.
                with self.telemetry.work(f"sweep {kind}", SpanKind.CONSUMER, only_if_told=True):
                    return await look(owner, id_)

            return follow

        with self.telemetry.work("sweep", SpanKind.CONSUMER, only_if_told=True):
            await self.due_book.work_off({kind: followed(kind, look) for kind, look in works.items()})


@cache
def application() -> Application:
    """The process's one application."""
    return Application()


def blob_trigger_source() -> str:
    """Where blob events come from, for the trigger's declaration (see ``shared.settings``)."""
    from shared.settings import blob_trigger_source as read

    return read()
