"""A client that says exactly what a test wants it to say, right or wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local.service_bus.decoding import decode
from local.service_bus.encoding import encode
from local.service_bus.frames import AMQP_HEADER, Frame, FrameReader, encode_frame
from local.service_bus.message import Request, parse_request, split_sections
from local.service_bus.performatives import Attach, Begin, Flow, Open, Transfer, decode_performative
from local.service_bus.values import Described, ULong

if TYPE_CHECKING:
    from local.service_bus import Broker
    from local.service_bus.performatives import Performative

WAIT_SECONDS = 3
BODY = b"\x00\x53\x75\xa0\x02hi"
CBS_REQUESTS, CBS_REPLIES = 200, 201


def terminus(descriptor: int, *fields: object) -> Described:
    return Described(ULong(descriptor), list(fields))


def source(*fields: object) -> Described:
    return terminus(0x28, *fields)


def target(*fields: object) -> Described:
    return terminus(0x29, *fields)


def sas_token(resource: str, key: str = "SAS_KEY_VALUE", *, expires_in_seconds: int = 60) -> str:
    encoded, expiry = quote(resource, safe=""), int(time.time()) + expires_in_seconds
    signature = hmac.digest(key.encode(), f"{encoded}\n{expiry}".encode(), hashlib.sha256)
    sig = quote(base64.b64encode(signature).decode(), safe="")
    return f"SharedAccessSignature sr={encoded}&sig={sig}&se={expiry}&skn=RootManageSharedAccessKey"


def request(
    message_id: object, properties: dict[str, object], body: object, reply_to: object = None
) -> bytes:
    return b"".join(
        encode(Described(ULong(code), value))
        for code, value in (
            (0x73, [message_id, None, None, None, reply_to]),
            (0x74, properties),
            (0x77, body),
        )
    )


class Peer:
    """One connection with one AMQP session on channel 0."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader(1 << 20)
        self._arrived: deque[Frame] = deque()
        self._next_delivery_id = 0

    @classmethod
    async def connect(cls, broker: Broker, *, opening: Open | None = None, window: int = 1_000) -> Peer:
        peer = cls(*await asyncio.open_connection("127.0.0.1", broker.port))
        peer.writer.write(AMQP_HEADER)
        peer.send(opening or Open(container_id="peer"))
        peer.send(Begin(next_outgoing_id=0, incoming_window=window, outgoing_window=1_000))
        await peer.expect(Open)
        await peer.expect(Begin)
        return peer

    def send(self, performative: Performative, payload: bytes = b"", *, channel: int = 0) -> None:
        self.writer.write(encode_frame(performative, channel=channel, payload=payload))

    async def next_frame(self) -> Frame:
        """The next frame, heartbeats among them.

        Raises:
            EOFError: the broker closed the connection.
        """
        while not self._arrived:
            data = await asyncio.wait_for(self.reader.read(65_536), WAIT_SECONDS)
            if not data:
                raise EOFError
            self._arrived.extend(item for item in self._frames.feed(data) if isinstance(item, Frame))
        return self._arrived.popleft()

    async def next_performative(self) -> Performative:
        return decode_performative((await self.next_frame()).body)[0]

    async def expect[P: Performative](self, kind: type[P]) -> P:
        """The next performative of ``kind``; those before it are skipped."""
        return (await self.expect_payload(kind))[0]

    async def expect_payload[P: Performative](self, kind: type[P]) -> tuple[P, bytes]:
        while True:
            frame = await self.next_frame()
            if frame.body:
                performative, end = decode_performative(frame.body)
                if isinstance(performative, kind):
                    return performative, frame.body[end:]

    async def closed(self) -> bool:
        """Whether the broker closes the connection soon."""
        try:
            while True:
                await self.next_frame()
        except (EOFError, ConnectionError):
            return True

    async def put_token(
        self, resource: str = "sb://host/", *, audience: str | None = None, **token: Any
    ) -> Request:
        """Put a token; returns the reply."""
        for handle, role in ((CBS_REQUESTS, False), (CBS_REPLIES, True)):
            self.attach(handle, role=role, source=source("$cbs"), target=target("$cbs"))
            await self.expect(Attach)
        self.grant(CBS_REPLIES, 1)
        properties: dict[str, object] = {
            "operation": "put-token",
            "type": "jwt",
            "name": audience or resource,
        }
        self.transfer(CBS_REQUESTS, request(ULong(77), properties, sas_token(resource, **token)))
        return await self.reply()

    async def reply(self) -> Request:
        """The next message from a request/response node; ``message_id`` holds its correlation id."""
        _, payload = await self.expect_payload(Transfer)
        (properties,) = [start for code, start, _ in split_sections(payload) if code == 0x73]
        parsed = parse_request(payload)
        fields, _ = decode(payload, properties)
        assert isinstance(fields, list)
        return Request(fields[5], None, parsed.properties, parsed.body)

    def attach(self, handle: int, *, role: bool, **fields: Any) -> None:
        self.send(
            Attach(
                name=f"link-{handle}",
                handle=handle,
                role=role,
                initial_delivery_count=None if role else 0,
                **fields,
            )
        )

    async def sender(self, handle: int, address: str) -> Attach:
        self.attach(handle, role=False, source=source("me"), target=target(address))
        return await self.expect(Attach)

    async def receiver(self, handle: int, address: str, **fields: Any) -> Attach:
        self.attach(handle, role=True, source=source(address), target=target("me"), **fields)
        return await self.expect(Attach)

    def grant(self, handle: int, credit: int, *, drain: bool = False, delivery_count: int = 0) -> None:
        self.send(
            Flow(
                next_incoming_id=None,
                incoming_window=1_000,
                next_outgoing_id=0,
                outgoing_window=1_000,
                handle=handle,
                delivery_count=delivery_count,
                link_credit=credit,
                drain=drain,
            )
        )

    def transfer(self, handle: int, payload: bytes = BODY, **fields: Any) -> int:
        delivery_id = self._next_delivery_id
        self._next_delivery_id += 1
        self.send(
            Transfer(handle=handle, delivery_id=delivery_id, delivery_tag=b"%d" % delivery_id, **fields),
            payload,
        )
        return delivery_id
