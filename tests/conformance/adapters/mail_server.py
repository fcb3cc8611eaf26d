"""A mail server on loopback (aiosmtpd) that refuses what it is told to, and one that misbehaves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from local.part import LOOPBACK

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping


@dataclass
class MailServer:
    """``replies`` by command (``MAIL``, ``RCPT``, ``DATA``) stand in for 250."""

    replies: Mapping[str, str] = field(default_factory=dict)
    envelopes: list[Envelope] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    were_encrypted: list[bool] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.replies:
            return self.replies["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if "DATA" in self.replies:
            return self.replies["DATA"]
        self.envelopes.append(envelope)
        self.were_encrypted.append(session.ssl is not None)
        return "250 OK"

    def sign_in(self, _server: SMTP, _session: Any, _envelope: Envelope, _how: str, login: Any) -> AuthResult:
        known = login.login == b"bell" and login.password == b"right"
        return AuthResult(success=known, handled=False)


@asynccontextmanager
async def mail_server(
    replies: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[MailServer]:
    """aiosmtpd in this loop; ``tls`` from the first byte."""
    handler = MailServer(replies or {})
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        handler.connections += 1
        return SMTP(handler, hostname="localhost", loop=loop, authenticator=handler.sign_in, **options)

    server = await loop.create_server(protocol, LOOPBACK, 0, ssl=tls)
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


type Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bare_mail_server(talk: Talk) -> AsyncIterator[int]:
    """A server that does what ``talk`` does with each connection; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, LOOPBACK, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
