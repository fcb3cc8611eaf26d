"""The local issuer as a process of its own, and what a person does on its pages."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropbell.sign_in import DeviceCode

ROOT = Path(__file__).parents[3]
DIRECTORY = json.loads((ROOT / "local" / "entra" / "directory.json").read_text())
APPS = {app["name"]: app for app in DIRECTORY["apps"]}
ALICE = DIRECTORY["users"][0]
SCOPES = ["api://dropbell/Files.ReadWrite", "api://dropbell/Deliveries.Read"]
START_SECONDS = 20.0
HTTP_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Issuer:
    base_url: str
    authority: str
    ca_file: str

    def answer_device(self, code: DeviceCode, **form: str) -> None:
        """Do what a person does on the page for device codes."""
        self._post(code.verification_uri, {"user_code": code.user_code, **form})

    def sign_in_as_alice(self, code: DeviceCode) -> None:
        self.answer_device(code, user="alice")

    def refuse(self, code: DeviceCode) -> None:
        self.answer_device(code, action="deny")

    def answer_page(self, url: str, **choice: str) -> None:
        """Do what a person and a browser do on the sign-in page, up to the redirect with its form."""
        with requests.Session() as session:
            session.trust_env = False
            page = session.get(url, verify=self.ca_file, timeout=HTTP_TIMEOUT_SECONDS)
        answer = self._post(url.partition("?")[0], _hidden_fields(page.text) | choice).text
        action = re.search(r'action="([^"]+)"', answer)
        assert action is not None
        self._post(unescape(action[1]), _hidden_fields(answer))

    def mint(self, **wanted: Any) -> str:
        """Have any token made, without a sign-in."""
        token: str = self._post(f"{self.base_url}/local/tokens", json=wanted).json()["access_token"]
        return token

    def revoke_keys(self) -> None:
        """Have every token refused that was issued so far."""
        self._post(f"{self.base_url}/local/keys/rollover", json={"revoke": True})

    def accepts(self, token: str) -> bool:
        """Verify a token as the service does: signature by a current key, audience, lifetime."""
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.base_url}/{DIRECTORY['tenant_id']}/discovery/v2.0/keys"
            keys = jwt.PyJWKSet.from_dict(session.get(url, timeout=HTTP_TIMEOUT_SECONDS).json())
        try:
            key = keys[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, key, algorithms=["RS256"], audience=DIRECTORY["api"]["client_id"])
        except (KeyError, jwt.InvalidTokenError):
            return False
        return True

    def _post(self, url: str, form: dict[str, str] | None = None, *, json: Any = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                url, data=form, json=json, verify=self.ca_file, timeout=HTTP_TIMEOUT_SECONDS
            )
        answer.raise_for_status()
        return answer


@contextmanager
def running_issuer(directory: Path, *more_arguments: str) -> Iterator[Issuer]:
    """Run the issuer; its certificate and its log go into ``directory``."""
    port, tls_port = _free_ports(2)
    base_url = f"http://127.0.0.1:{port}"
    arguments = ["--port", str(port), "--tls-port", str(tls_port), "--ca-file", str(directory / "ca.pem")]
    arguments += more_arguments
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "local.entra", *arguments], cwd=ROOT, stdout=log, stderr=log
        )
        try:
            _wait_until_healthy(f"{base_url}/health", process)
            authority = f"https://localhost:{tls_port}/{DIRECTORY['tenant_id']}"
            yield Issuer(base_url, authority, str(directory / "ca.pem"))
        finally:
            process.terminate()
            process.wait(10)


def _hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {unescape(name): unescape(value) for name, value in found}


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if session.get(url, timeout=1).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.05)
    raise AssertionError("The local issuer did not start.")
