"""Mail as a real server receives it, and what its refusals and failures come out as."""

from __future__ import annotations

import asyncio
import email
import email.policy
import functools
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from local.entra.certificate import new_server_identity
from local.part import LOOPBACK
from shared.adapters.mail import SmtpMail, SmtpSecurity, SmtpServer
from shared.adapters.memory import MemoryClock, MemoryMail, MemoryTables
from shared.errors import MailRefusedError, TargetFailedError
from shared.ledger.signed_token import Signer
from shared.notifications.channels import Notification
from shared.notifications.channels.email import EmailChannel
from shared.notifications.message import file_event
from shared.notifications.subscription import ChannelKind, EventType
from shared.notifications.unsubscribing import Unsubscribing
from tests.conformance.adapters.mail_server import bare_mail_server, mail_server
from tests.conformance.adapters.running_part import unused_port
from tests.unit.shared import sample

if TYPE_CHECKING:
    from email.message import EmailMessage

TIMEOUT_SECONDS = 5.0
SHORT_SECONDS = 0.4
ADDRESS = "someone@xn--bcher-kva.example"


def mail(**file: Any) -> EmailMessage:
    clock = MemoryClock(sample.NOW)
    channel = EmailChannel(
        MemoryMail(),
        Unsubscribing(MemoryTables(), clock, Signer(b"k" * 32, "unsubscribe")),
        clock,
        sender_address="bell@dropbell.example",
        public_url=sample.PUBLIC_URL,
    )
    subscription = sample.subscription(channel=ChannelKind.EMAIL, target=ADDRESS)
    event = file_event(sample.file(**file), EventType.FILE_STORED, source=sample.PUBLIC_URL)
    return channel.mail_for(
        Notification(sample.delivery().id, subscription, event, "correlation-1", sample.TRACEPARENT)
    )


async def send(
    port: int,
    *,
    security: SmtpSecurity = SmtpSecurity.NONE,
    timeout_seconds: float = TIMEOUT_SECONDS,
    tls_context: ssl.SSLContext | None = None,
    sent: EmailMessage | None = None,
    host: str = LOOPBACK,
    **account: str,
) -> None:
    sender = SmtpMail(SmtpServer(host, port, security, **account), tls_context=tls_context)
    await sender.send(sent or mail(), timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("host", ["mail.example.com", "192.0.2.1", "localhost.example.com", ""])
def test_plain_text_stays_on_this_machine(host: str) -> None:
    with pytest.raises(ValueError, match="TLS or STARTTLS"):
        SmtpServer(host, 25, SmtpSecurity.NONE)
    assert SmtpServer("::1", 25, SmtpSecurity.NONE).port == 25


def test_the_password_is_not_shown() -> None:
    assert "hidden" not in repr(SmtpServer("mail.example.com", 587, password="hidden"))


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
@pytest.mark.parametrize("code", [550, 552, 554])
async def test_a_refusal_for_good_is_told_as_one(command: str, code: int) -> None:
    async with mail_server({command: f"{code} 5.1.1 No"}) as server:
        with pytest.raises(MailRefusedError, match=str(code)):
            await send(server.port)
        assert not server.envelopes


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL", "451 4.3.0 Later"),
        ("MAIL", "550 5.7.1 We do not know this sender"),
        ("MAIL", "530 5.7.0 Sign in first"),
        ("RCPT", "450 4.2.0 Greylisted"),
        ("RCPT", "451 4.3.0 Later"),
        ("RCPT", "530 5.7.0 Sign in first"),
        ("DATA", "451 4.3.0 Later"),
        ("DATA", "421 4.3.2 Shutting down"),
    ],
)
async def test_what_may_go_better_later_is_no_refusal(command: str, reply: str) -> None:
    async with mail_server({command: reply}) as server:
        with pytest.raises(TargetFailedError):
            await send(server.port)


async def test_nobody_listens() -> None:
    with pytest.raises(TargetFailedError, match="cannot be reached"):
        await send(unused_port())


async def _says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n250-hello\r\n")
    while True:
        writer.write(b"250-X\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("talk", [_says_nothing, _drips])
async def test_a_server_that_hangs_takes_no_longer_than_the_limit(talk: Any) -> None:
    async with bare_mail_server(talk) as port:
        started = time.monotonic()
        with pytest.raises(TargetFailedError):
            await send(port, timeout_seconds=SHORT_SECONDS)
        assert time.monotonic() - started < SHORT_SECONDS + 1


async def _closes(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _closes_after_greeting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    await writer.drain()


async def _babbles(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 5000)
    await writer.drain()


async def _turns_away(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"554 5.3.2 No SMTP service here\r\n")
    await writer.drain()


@pytest.mark.parametrize("talk", [_closes, _closes_after_greeting, _babbles, _turns_away])
async def test_a_server_that_breaks_the_conversation_off_is_a_failure(talk: Any) -> None:
    async with bare_mail_server(talk) as port:
        with pytest.raises(TargetFailedError):
            await send(port)


async def _hangs_at_good_bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    replies = {b"EHLO": b"250 hello", b"MAIL": b"250 OK", b"RCPT": b"250 OK", b"DATA": b"354 go on"}
    while line := await reader.readline():
        if line == b".\r\n":
            writer.write(b"250 taken\r\n")
        elif line[:4] in replies:
            writer.write(replies[line[:4]] + b"\r\n")


async def test_a_mail_that_was_taken_is_sent_even_if_the_server_hangs_then() -> None:
    async with bare_mail_server(_hangs_at_good_bye) as port:
        await send(port)


async def test_the_mail_that_arrives_is_the_one_that_was_sent() -> None:
    name = "Größe, 数量 😀.pdf"
    sent = mail(name=name)
    async with mail_server() as server:
        await send(server.port, sent=sent)
        (envelope,) = server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("bell@dropbell.example", [ADDRESS])
    assert isinstance(envelope.content, bytes)
    got = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert not got.defects
    assert {field: str(got[field]) for field in sent} == {field: str(value) for field, value in sent.items()}
    assert got["Subject"] == f"File stored: {name}"
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for kind in ("plain", "html"):
        part = got.get_body((kind,))
        assert part is not None
        assert name in part.get_content()
        assert str(got["List-Unsubscribe"]).strip("<>") in part.get_content()


async def test_each_mail_has_a_connection_of_its_own() -> None:
    async with mail_server() as server:
        await asyncio.gather(*(send(server.port) for _ in range(5)))
        assert (server.connections, len(server.envelopes)) == (5, 5)


async def test_starttls_and_tls_protect_the_mail() -> None:
    identity = new_server_identity()
    trusts = ssl.create_default_context(cadata=identity.authority_pem.decode())
    async with mail_server(tls_context=identity.context, require_starttls=True) as server:
        await send(server.port, security=SmtpSecurity.STARTTLS, tls_context=trusts)
        assert server.were_encrypted == [True]
    async with mail_server(tls=identity.context) as server:
        await send(server.port, security=SmtpSecurity.TLS, tls_context=trusts)
        assert len(server.envelopes) == 1


async def test_a_certificate_that_proves_nothing_ends_the_conversation() -> None:
    identity = new_server_identity()
    async with mail_server(tls_context=identity.context) as server:
        with pytest.raises(TargetFailedError):
            await send(server.port, security=SmtpSecurity.STARTTLS)
        assert not server.envelopes
    async with mail_server(tls=identity.context) as server:
        with pytest.raises(TargetFailedError):
            await send(server.port, security=SmtpSecurity.TLS)
        assert not server.envelopes


async def test_nothing_is_sent_where_starttls_was_wanted_and_is_not_offered() -> None:
    async with mail_server() as server:
        with pytest.raises(TargetFailedError):
            await send(server.port, security=SmtpSecurity.STARTTLS)
        assert not server.envelopes


async def test_the_account_is_used_and_a_wrong_password_is_no_refusal_of_the_mail() -> None:
    identity = new_server_identity()
    trusts = ssl.create_default_context(cadata=identity.authority_pem.decode())
    signed_in = functools.partial(send, security=SmtpSecurity.STARTTLS, tls_context=trusts, username="bell")
    async with mail_server(tls_context=identity.context, auth_required=True) as server:
        with pytest.raises(TargetFailedError, match="535"):
            await signed_in(server.port, password="wrong")
        await signed_in(server.port, password="right")
        assert len(server.envelopes) == 1
