"""A small issuer over https: discovery and a token endpoint that keeps what it was asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from local.entra.certificate import new_server_identity
from tests.unit.client.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TENANT_ID = "11111111-2222-3333-4444-555555555555"


@dataclass
class FakeIssuer:
    """Gives ``token-1``, ``token-2`` and so on; ``refusal`` is an answer to give in their place."""

    ca_file: str
    authority: str = ""
    token_lifetime_seconds: int = 3600
    refusal: dict[str, str] | None = None
    requests: list[dict[str, str]] = field(default_factory=list)

    @property
    def token_endpoint(self) -> str:
        return f"{self.authority}/oauth2/v2.0/token"

    async def discovery(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": f"{self.authority}/v2.0",
                "authorization_endpoint": f"{self.authority}/oauth2/v2.0/authorize",
                "token_endpoint": self.token_endpoint,
            }
        )

    async def token(self, request: web.Request) -> web.Response:
        self.requests.append({name: str(value) for name, value in (await request.post()).items()})
        if self.refusal is not None:
            return web.json_response(self.refusal, status=400)
        return web.json_response(
            {
                "token_type": "Bearer",
                "expires_in": self.token_lifetime_seconds,
                "access_token": f"token-{len(self.requests)}",
            }
        )


@contextmanager
def fake_issuer(directory: Path) -> Iterator[FakeIssuer]:
    """Serve a ``FakeIssuer``; its certificate is written into ``directory``."""
    identity = new_server_identity()
    ca_file = directory / "issuer-ca.pem"
    ca_file.write_bytes(identity.authority_pem)
    issuer = FakeIssuer(str(ca_file))
    app = web.Application()
    app.router.add_get(f"/{TENANT_ID}/v2.0/.well-known/openid-configuration", issuer.discovery)
    app.router.add_post(f"/{TENANT_ID}/oauth2/v2.0/token", issuer.token)
    with served(app, identity.context) as port:
        issuer.authority = f"https://localhost:{port}/{TENANT_ID}"
        yield issuer
