"""E-mail: one mail for each delivery, in text and HTML, with a way out of one click (RFC 8058)."""

from __future__ import annotations

from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, Final

from shared.errors import InvalidRequestError, MailRefusedError, TargetFailedError
from shared.notifications.channels import Fault, Outcome, Verdict
from shared.notifications.channels.announcement import announcement_of
from shared.notifications.channels.email_address import checked_address
from shared.notifications.channels.email_body import html_body, text_body

if TYPE_CHECKING:
    from email.policy import Policy

    from shared.notifications.channels import Notification
    from shared.notifications.unsubscribing import Unsubscribing
    from shared.ports import Clock, MailSender

SENDER_NAME: Final = "Dropbell"
MAX_MAIL_BYTES: Final = 50_000
"""What bounds the texts keeps a mail far below; mail programs cut longer ones."""
UNSUBSCRIBE_PATH: Final = "/api/v1/unsubscribe/"


class MailBusyError(TargetFailedError):
    """The mail service asked to be left alone for a while."""

    def __init__(self, detail: str, *, retry_after_seconds: float | None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class EmailChannel:
    """Sends a mail to the subscription's address.

    Args:
        mail: What carries it.
        unsubscribing: Makes the token of the link to unsubscribe.
        sender_address: An address of a domain whose SPF and DKIM records name the mail service.
        public_url: Where readers find the service, without a path.
    """

    def __init__(
        self,
        mail: MailSender,
        unsubscribing: Unsubscribing,
        clock: Clock,
        *,
        sender_address: str,
        public_url: str,
    ) -> None:
        self._mail = mail
        self._unsubscribing = unsubscribing
        self._clock = clock
        self._sender = Address(SENDER_NAME, addr_spec=sender_address)
        self._public_url = public_url.rstrip("/")

    async def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """See ``Channel``. Between us and the reader stands our own mail server: only a refusal is theirs."""
        try:
            mail = self.mail_for(notification)
        except InvalidRequestError as error:
            return Outcome(Verdict.REJECTED, str(error))
        try:
            await self._mail.send(mail, timeout_seconds=timeout_seconds)
        except MailRefusedError as error:
            return Outcome(Verdict.REJECTED, str(error))
        except TargetFailedError as error:
            wait_seconds = error.retry_after_seconds if isinstance(error, MailBusyError) else None
            return Outcome(
                Verdict.TRY_AGAIN, str(error), retry_after_seconds=wait_seconds, whose_fault=Fault.OURS
            )
        return Outcome(Verdict.DELIVERED, "accepted by the mail server")

    def mail_for(self, notification: Notification) -> EmailMessage:
        """The mail. Every attempt of a delivery has the same Message-ID, so that repeats can be dropped.

        Raises InvalidRequestError for a target that is no address.
        """
        subscription = notification.subscription
        announcement = announcement_of(notification.event)
        unsubscribe_url = f"{self._public_url}{UNSUBSCRIBE_PATH}{self._unsubscribing.token(subscription)}"
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self._sender
        mail["To"] = Address(addr_spec=checked_address(subscription.target))
        mail["Subject"] = announcement.title
        mail["Date"] = self._clock.now()
        mail["Message-ID"] = f"<{notification.delivery_id}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no out-of-office answers
        mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 §3.1
        mail["X-Correlation-ID"] = notification.correlation_id
        mail["traceparent"] = notification.traceparent
        # Quoted-printable also where a server would take 8 bits: no relay has to encode it again, which would
        # break the DKIM signature.
        reason = (announcement, self._public_url, unsubscribe_url)
        mail.set_content(text_body(*reason), cte="quoted-printable")
        mail.add_alternative(html_body(*reason), subtype="html", cte="quoted-printable")
        return mail


class _WholeHeader(UnstructuredHeader, BaseHeader):
    """A field that is not folded.

    The standard library breaks a long token up into encoded words, which are not allowed in these fields
    (RFC 2047 §5) and which no mail program undoes: the link would lead nowhere.
    """

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


def _registry() -> HeaderRegistry:
    registry = HeaderRegistry()
    for name in ("List-Unsubscribe", "List-Unsubscribe-Post", "X-Correlation-ID", "traceparent"):
        registry.map_to_type(name, _WholeHeader)
    return registry


_POLICY: Final = SMTP.clone(header_factory=_registry())
