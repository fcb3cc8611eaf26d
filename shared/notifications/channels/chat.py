"""Chat: Slack, Microsoft Teams, and everything that takes ``{"text": …}`` at a webhook of its own.

What users wrote is put where each chat reads no markup, so that a file's name can be neither a link nor a
mention; ``shared.notifications.channels.chat_forms`` says how.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from shared.errors import TargetFailedError, TargetNotAllowedError
from shared.notifications.channels import Fault, Outcome, Verdict
from shared.notifications.channels.announcement import announcement_of
from shared.notifications.channels.chat_forms import plain_text, slack_blocks, teams_card
from shared.notifications.channels.webhook import USER_AGENT, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.notifications.channels import Notification
    from shared.notifications.channels.announcement import Announcement
    from shared.notifications.channels.target_policy import TargetPolicy
    from shared.ports import Clock, HttpAnswer, HttpSender

    type Form = Callable[[Announcement], Mapping[str, object]]

_FORMS: Final[Mapping[str, Form]] = {
    "hooks.slack.com": slack_blocks,
    "hooks.slack-gov.com": slack_blocks,
    ".logic.azure.com": teams_card,
    ".powerplatform.com": teams_card,
    ".webhook.office.com": teams_card,
}
"""By host; one with a leading full stop stands for everything below it. All others get plain text.

The last three are where Power Automate's Workflows, which Teams posts by, and Teams' older connectors listen.
"""

_SLACK_GONE: Final = frozenset(
    {
        b"channel_is_archived",
        b"channel_not_found",
        b"invalid_token",
        b"no_active_hooks",
        b"no_service",
        b"no_team",
        b"user_not_found",
    }
)
"""What Slack answers when the webhook leads nowhere any more
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""
_CONNECTOR_FAILED: Final = b"Webhook message delivery failed"
"""Teams' connectors say this with status 200 when Teams did not take the message."""


class ChatChannel:
    """Posts a message to the subscription's chat webhook, whose URL is a secret in itself."""

    def __init__(self, sender: HttpSender, policy: TargetPolicy, clock: Clock) -> None:
        self._sender = sender
        self._policy = policy
        self._clock = clock

    async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """See ``Channel``."""
        url = notification.subscription.target
        try:
            form = form_for(self._policy.check_url(url).host)
            answer = await self._sender.post(
                url,
                headers={
                    "content-type": "application/json; charset=utf-8",
                    "user-agent": USER_AGENT,
                    "traceparent": notification.traceparent,
                    "x-correlation-id": notification.correlation_id,
                },
                body=json.dumps(form(announcement_of(notification.event)), ensure_ascii=False).encode(),
                timeout_seconds=timeout_seconds,
            )
        except TargetNotAllowedError as error:
            return Outcome(Verdict.REJECTED, str(error))
        except TargetFailedError as error:
            return Outcome(Verdict.TRY_AGAIN, str(error))
        return _judged(outcome_of(answer, now=self._clock.now()), answer, form)


def form_for(host: str) -> Form:
    """How a message is written for the chat at ``host`` (in lower case)."""
    for known, form in _FORMS.items():
        if host == known or (known.startswith(".") and host.endswith(known)):
            return form
    return plain_text


def _judged(outcome: Outcome, answer: HttpAnswer, form: Form) -> Outcome:
    """The outcome as for webhooks, but for what is known to mean something else in this chat."""
    said = answer.body_start.strip()
    if form is slack_blocks:
        if said in _SLACK_GONE and not 200 <= answer.status_code < 300:
            return replace(
                outcome,
                verdict=Verdict.REJECTED,
                detail=f"the webhook leads nowhere any more ({answer.status_code})",
                retry_after_seconds=None,
                target_gone=True,
            )
        if answer.status_code == 404:
            return replace(
                outcome, verdict=Verdict.REJECTED, detail="the target is gone (404)", target_gone=True
            )
        if answer.status_code == 400:
            return replace(
                outcome,
                verdict=Verdict.REJECTED,
                detail="the chat did not understand the message (400)",
                whose_fault=Fault.OURS,
            )
    if form is teams_card and said.startswith(_CONNECTOR_FAILED):
        return replace(outcome, verdict=Verdict.TRY_AGAIN, detail="the chat did not take the message")
    return outcome
