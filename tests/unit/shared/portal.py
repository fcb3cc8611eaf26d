"""The whole application over memory adapters, with callers who hold tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryQueue, MemorySender, MemoryTables
from shared.app import Application
from shared.settings import Settings, read_settings
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, request

if TYPE_CHECKING:
    from shared.settings import Settings

EVERYTHING = "Files.ReadWrite Subscriptions.Manage Deliveries.Read"
BOB = "55555555-5555-4555-8555-555555555555"
MAX_FILE_BYTES = 1000
ENVIRONMENT = {
    "DropbellStorage": "unused",
    "DropbellServiceBus": "unused",
    "DROPBELL_TOKEN_ISSUER": forge.ISSUER,
    "DROPBELL_TOKEN_AUDIENCES": forge.AUDIENCE,
    "DROPBELL_PUBLIC_URL": "https://dropbell.example",
    "DROPBELL_SECRETS_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    "DROPBELL_MAX_FILE_BYTES": str(MAX_FILE_BYTES),
    "DROPBELL_RETRY_SCHEDULE_SECONDS": "10,60",
    "DROPBELL_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
}
SETTINGS = read_settings(ENVIRONMENT)


def bearer(*, user: str = forge.USER, scopes: str = EVERYTHING) -> dict[str, str]:
    """The header of a signed-in caller."""
    return {"authorization": f"Bearer {forge.token(forge.user_claims(oid=user, scp=scopes))}"}


class Portal:
    """An application, its adapters, and short ways to call it."""

    def __init__(self, settings: Settings = SETTINGS, **adapters: Any) -> None:
        self.blobs = MemoryBlobs()
        self.tables = MemoryTables()
        self.queue = MemoryQueue()
        self.sender = MemorySender()
        self.issuer = forge.FakeIssuer()
        self.clock = MemoryClock(forge.NOW)
        own = {
            "clock": self.clock,
            "blobs": self.blobs,
            "scanner": self.blobs,
            "tables": self.tables,
            "queue": self.queue,
            "sender": self.sender,
            "json_source": self.issuer,
        }
        self.app = Application(settings, **(own | adapters))

    async def upload(self, *parts: bytes, hangs_up: bool = False, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client = Client(parts, hangs_up=hangs_up)
        return await self.app.answer("create_file", request("POST", headers=bearer() | named, client=client))

    async def subscribe(self, body: bytes, **headers: str) -> Any:
        named = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.app.answer(
            "create_subscription", request("POST", headers=bearer() | named, client=Client((body,)))
        )
