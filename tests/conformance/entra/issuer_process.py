"""Starts the issuer as its own process and speaks to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import requests

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TENANT_ID = "92539e34-19f7-4e73-8c9e-fe70a0cb5533"
API_CLIENT_ID = "371172cc-2f12-4f08-bfaf-4a290043b9ac"
CLI_CLIENT_ID = "2347bf2a-0e1d-47aa-bd7e-66fe6bf875ab"
DAEMON_CLIENT_ID = "55f622b2-0ab4-48dc-86ac-29f7a125db22"
DAEMON_SECRET = "ingest-app-development-secret"
_START_SECONDS = 20


@dataclass(frozen=True)
class IssuerProcess:
    process: subprocess.Popen[str]
    port: int
    tls_port: int
    ca_file: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.base_url}/{TENANT_ID}/v2.0"

    @property
    def discovery_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    @property
    def oauth_url(self) -> str:
        return f"{self.base_url}/{TENANT_ID}/oauth2/v2.0"

    @property
    def authority(self) -> str:
        return f"https://localhost:{self.tls_port}/{TENANT_ID}"

    def session(self) -> requests.Session:
        """An HTTP client that trusts the issuer's certificate and nothing from the environment."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca_file)
        return session

    def mint(self, **body: Any) -> str:
        answer = self.session().post(f"{self.base_url}/local/tokens", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def token_request(self, **form: str) -> tuple[int, dict[str, Any]]:
        answer = self.session().post(f"{self.oauth_url}/token", data=form, timeout=10)
        return answer.status_code, answer.json()


class HttpJsonSource:
    """shared.ports.JsonSource over a real connection."""

    async def fetch_json(self, url: str) -> object:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                answer.raise_for_status()
                return await answer.json()
        except aiohttp.ClientError as error:
            raise UnavailableError("The issuer did not answer.", reason=type(error).__name__) from error


@contextmanager
def running_issuer(folder: Path, *arguments: str, port: int | None = None) -> Iterator[IssuerProcess]:
    issuer = start_issuer(folder, *arguments, port=port)
    try:
        yield issuer
    finally:
        issuer.process.terminate()
        issuer.process.wait(timeout=10)


def start_issuer(folder: Path, *arguments: str, port: int | None = None) -> IssuerProcess:
    port, tls_port, ca_file = port or free_port(), free_port(), folder / "ca.pem"
    command = [sys.executable, "-m", "local.entra", "--port", str(port), "--tls-port", str(tls_port)]
    with (folder / "issuer.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, "--ca-file", str(ca_file), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"DROPBELL_LOCAL_STOP_WITH_PARENT": "0"},
        )
    issuer = IssuerProcess(process, port, tls_port, ca_file)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if issuer.session().get(f"{issuer.base_url}/health", timeout=1).ok:
                return issuer
        except requests.ConnectionError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the issuer did not start: {(folder / 'issuer.log').read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
