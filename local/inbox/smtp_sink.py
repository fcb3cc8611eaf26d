"""Take e-mail over SMTP on loopback (RFC 5321, without STARTTLS) and put it into the store."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

from local.inbox.messages import Channel, Email, collect_headers, printable, truncate_to_ms
from local.part import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session

    from local.inbox.behaviour import BehaviourBook
    from local.inbox.store import MessageStore

MAX_EMAIL_BYTES = 10 * 1024 * 1024
FIRST_ERROR_REPLY = 400
"""From here on a reply code is a failure: RFC 5321, section 4.2.1."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def smtp_site(store: MessageStore, behaviours: BehaviourBook, port: int = 0) -> AsyncIterator[int]:
    """Listen on loopback while the context is open; yields the port (0 asks for a free one)."""
    # aiosmtpd tells of every command at INFO level.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    loop = asyncio.get_running_loop()
    handler = _Handler(store, behaviours)

    def protocol() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=MAX_EMAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Dropbell inbox",
            loop=loop,
        )

    server = await loop.create_server(protocol, LOOPBACK, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


class _Handler:
    """Hooks that aiosmtpd calls by name."""

    def __init__(self, store: MessageStore, behaviours: BehaviourBook) -> None:
        self._store = store
        self._behaviours = behaviours

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the message, then answer as the behaviour says."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
        answer = self._behaviours.next_answer(Channel.EMAIL)
        readable = read_email(raw)
        message = Email(
            id=str(uuid.uuid4()),
            received_at=truncate_to_ms(datetime.now(UTC)),
            envelope_from=printable(envelope.mail_from or ""),
            envelope_to=tuple(map(printable, envelope.rcpt_tos)),
            sender=readable.headers.get("from") or printable(envelope.mail_from or ""),
            subject=readable.headers.get("subject", ""),
            headers=readable.headers,
            text=readable.text,
            html=readable.html,
            attachments=readable.attachments,
            size_bytes=len(raw),
            answered_status=answer.status,
        )
        self._store.add(message)
        log.info("email received: id=%s bytes=%d answer=%d", message.id, len(raw), answer.status)
        await asyncio.sleep(answer.delay_seconds)
        if answer.status < FIRST_ERROR_REPLY:
            return f"{answer.status} 2.0.0 Message accepted"
        return f"{answer.status} {answer.status // 100}.3.0 The inbox was told to refuse this message"


@dataclass(frozen=True, slots=True)
class ReadableEmail:
    """The parts of an e-mail that people and tests look at."""

    headers: Mapping[str, str]
    text: str | None
    html: str | None
    attachments: tuple[str, ...] = ()


def read_email(raw: bytes) -> ReadableEmail:
    """Decode an e-mail (RFC 5322, MIME); one that cannot be decoded is shown as its source text."""
    try:
        return _read_mime(email.message_from_bytes(raw, policy=email.policy.default))
    except Exception as error:  # noqa: BLE001 - the standard library's parser raises almost anything on hostile mail
        log.warning("email shown undecoded: %s", type(error).__name__)
        return ReadableEmail(headers={}, text=raw.decode(errors="replace"), html=None)


def _read_mime(message: EmailMessage) -> ReadableEmail:
    return ReadableEmail(
        headers=collect_headers((name, str(value)) for name, value in message.items()),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        attachments=tuple(printable(part.get_filename() or "unnamed") for part in message.iter_attachments()),
    )


def _body(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body((subtype,))
    if part is None:
        return None
    try:
        text = str(part.get_content())
    except LookupError:  # a charset that nobody knows
        content = part.get_payload(decode=True)
        text = content.decode(errors="replace") if isinstance(content, bytes) else ""
    return printable(text).replace("\r\n", "\n")
