"""Outgoing mail: any server that speaks SMTP, or Azure Communication Services by its REST API."""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import aiohttp
import aiosmtplib
from azure.core.exceptions import AzureError

from shared.errors import MailRefusedError, TargetFailedError
from shared.notifications.channels.email import MailBusyError

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.errors import TargetError

CONNECT_TIMEOUT_SECONDS: Final = 5.0
QUIT_TIMEOUT_SECONDS: Final = 1.0
"""The mail is accepted by then; a server that does not say good-bye changes nothing about that."""

_NOT_SIGNED_IN: Final = frozenset({530, 534, 535, 538})
"""Replies about our account (RFC 4954 §6): the operator can mend that, so it is no refusal of the mail."""


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    TLS = "tls"
    """From the first byte (RFC 8314 §3.3), usually on port 465."""
    STARTTLS = "starttls"
    """By the command (RFC 3207), usually on port 587; without it nothing is sent."""
    NONE = "none"
    """Not at all: on this machine only."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over. Raises ValueError for plain text over a network."""

    host: str
    port: int
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.security is SmtpSecurity.NONE and not _is_loopback(self.host):
            raise ValueError("mail goes over a network with TLS or STARTTLS only")


class SmtpMail:
    """``MailSender`` over SMTP submission (RFC 6409), with a connection for each mail.

    Notifications come one at a time and with long pauses, in which servers and gateways drop an idle
    connection without a word. A mail sent on one of those fails, or worse, leaves open whether it was taken;
    the handshake that reuse would save is some 10 ms.

    ``tls_context`` is for servers whose certificate the system's roots do not vouch for.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        tls_context: ssl.SSLContext | None = None,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    ) -> None:
        self._server = server
        self._tls_context = tls_context
        self._connect_timeout_seconds = connect_timeout_seconds

    async def send(self, mail: EmailMessage, *, timeout_seconds: float) -> None:
        """See ``MailSender``."""
        (sender,) = mail["From"].addresses
        recipients = [address.addr_spec for address in mail["To"].addresses]
        client = self._client(local_hostname=sender.domain, timeout_seconds=timeout_seconds)
        try:
            async with asyncio.timeout(timeout_seconds):
                await client.connect(timeout=min(self._connect_timeout_seconds, timeout_seconds))
                # Not send_message: it writes the mail by a policy of its own.
                await client.sendmail(sender.addr_spec, recipients, mail.as_bytes())
            await _say_good_bye(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _failure(error, timeout_seconds) from error
        finally:
            client.close()

    def _client(self, *, local_hostname: str, timeout_seconds: float) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=local_hostname,  # else the library asks the resolver what this machine is called
            timeout=timeout_seconds,
            use_tls=server.security is SmtpSecurity.TLS,
            start_tls=server.security is SmtpSecurity.STARTTLS,
            tls_context=self._tls_context,
        )


async def _say_good_bye(client: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        async with asyncio.timeout(QUIT_TIMEOUT_SECONDS):
            await client.quit()


def _failure(error: Exception, timeout_seconds: float) -> TargetError:
    """What a failed conversation means; 5yz (RFC 5321 §4.2.1) about recipient or mail is final."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, TimeoutError):
        return TargetFailedError(f"the mail server did not answer within {timeout_seconds:g} s")
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return TargetFailedError("the mail server cannot be reached, or closed the connection")
    code = error.code
    if code >= 500 and code not in _NOT_SIGNED_IN:
        if isinstance(error, aiosmtplib.SMTPRecipientRefused):
            return MailRefusedError(f"the mail server refuses the address ({code})")
        if isinstance(error, aiosmtplib.SMTPDataError):
            return MailRefusedError(f"the mail server refuses the mail ({code})")
    return TargetFailedError(f"the mail server answered {code}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


ACS_API_VERSION: Final = "2025-09-01"
ACS_SCOPE: Final = "https://communication.azure.com/.default"
MAX_RETRY_AFTER_DIGITS: Final = 6
_SENT_OTHERWISE: Final = frozenset({"from", "to", "subject", "date", "mime-version", "content-type"})
"""Header fields that the service makes of members of the request."""
_ALREADY_TAKEN: Final = 409
"""The operation is known: an attempt before has handed the mail over, and its answer was lost."""
_TURNED_AWAY: Final = frozenset({429, 503})
_OURS_TO_MEND: Final = frozenset({401, 403, 404, 408})
"""A role that is missing, a domain that is not linked: no fault of the mail."""


class AcsMail:
    """``MailSender`` on Azure Communication Services, as the managed identity.

    https://learn.microsoft.com/rest/api/communication/email/email/send. The service queues the mail; what
    becomes of it then is told by Event Grid and Azure Monitor, and not asked for here. ``Operation-Id`` is
    made of the Message-ID, so that all attempts of a delivery are one operation.

    Args:
        endpoint: ``https://<resource>.communication.azure.com``.
        credential: An identity with the role Communication and Email Service Owner, or a narrower one.
    """

    def __init__(self, endpoint: str, credential: AsyncTokenCredential) -> None:
        self._url = f"{endpoint.rstrip('/')}/emails:send?api-version={ACS_API_VERSION}"
        self._credential = credential
        self._session: aiohttp.ClientSession | None = None

    async def send(self, mail: EmailMessage, *, timeout_seconds: float) -> None:
        """See ``MailSender``; raises MailBusyError when the service asks to be left alone for a while."""
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with asyncio.timeout(timeout_seconds):
                token = await self._credential.get_token(ACS_SCOPE)
                headers = {
                    "authorization": f"Bearer {token.token}",
                    "operation-id": operation_id(mail),
                }
                async with self._session.post(
                    self._url, json=as_acs_request(mail), headers=headers, allow_redirects=False
                ) as answer:
                    _check(answer.status, answer.headers.get("retry-after"))
        except TimeoutError as error:
            raise TargetFailedError(
                f"the mail service did not answer within {timeout_seconds:g} s"
            ) from error
        except aiohttp.ClientError as error:
            raise TargetFailedError("the mail service cannot be reached, or gave no answer") from error
        except AzureError as error:
            raise TargetFailedError("the service's identity got no token for the mail service") from error

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def operation_id(mail: EmailMessage) -> str:
    """A UUID (RFC 9562 §5.5) that is the same for every attempt to send this mail."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mid:{mail['Message-ID']}"))


def as_acs_request(mail: EmailMessage) -> dict[str, object]:
    """The mail as the service's JSON (API version 2025-09-01, ``EmailMessage``)."""
    (sender,) = mail["From"].addresses
    bodies = {name: mail.get_body((kind,)) for name, kind in (("plainText", "plain"), ("html", "html"))}
    return {
        "senderAddress": sender.addr_spec,
        "recipients": {"to": [{"address": address.addr_spec} for address in mail["To"].addresses]},
        "content": {
            "subject": str(mail["Subject"]),
            **{name: body.get_content() for name, body in bodies.items() if body is not None},
        },
        "headers": {name: str(value) for name, value in mail.items() if name.lower() not in _SENT_OTHERWISE},
        "userEngagementTrackingDisabled": True,
    }


def _check(status: int, retry_after: str | None) -> None:
    if 200 <= status < 300 or status == _ALREADY_TAKEN:
        return
    if status in _TURNED_AWAY:
        raise MailBusyError(f"the mail service answered {status}", retry_after_seconds=_seconds(retry_after))
    if 400 <= status < 500 and status not in _OURS_TO_MEND:
        raise MailRefusedError(f"the mail service refuses the mail ({status})")
    raise TargetFailedError(f"the mail service answered {status}")


def _seconds(retry_after: str | None) -> float | None:
    """The service sends whole seconds."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdecimal():
        return None
    return float(retry_after[:MAX_RETRY_AFTER_DIGITS])
