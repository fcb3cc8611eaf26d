"""The client's sign-in against the local issuer, a process of its own, over https."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dropbell.command_line import ExitCode, main
from dropbell.errors import ConnectionFailedError, NotSignedInError
from dropbell.sign_in import ClientCredentialSignIn, DeviceCode, DeviceCodeSignIn
from dropbell.token_store import open_token_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DIRECTORY = json.loads((ROOT / "local" / "entra" / "directory.json").read_text())
APPS = {app["name"]: app for app in DIRECTORY["apps"]}
ALICE = DIRECTORY["users"][0]
SCOPES = ["api://dropbell/Files.ReadWrite", "api://dropbell/Deliveries.Read"]
START_SECONDS = 20.0


@dataclass(frozen=True)
class Issuer:
    authority: str
    ca_file: str

    def answer_device(self, code: DeviceCode, **form: str) -> None:
        """Do what a person does on the sign-in page."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                code.verification_uri,
                data={"user_code": code.user_code, **form},
                verify=self.ca_file,
                timeout=10,
            )
        answer.raise_for_status()

    def sign_in_as_alice(self, code: DeviceCode) -> None:
        self.answer_device(code, user="alice")

    def refuse(self, code: DeviceCode) -> None:
        self.answer_device(code, action="deny")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    directory = tmp_path_factory.mktemp("issuer")
    port, tls_port = _free_ports(2)
    arguments = ["--port", str(port), "--tls-port", str(tls_port), "--ca-file", str(directory / "ca.pem")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "local.entra", *arguments], cwd=ROOT, stdout=log, stderr=log
        )
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
            yield Issuer(f"https://localhost:{tls_port}/{DIRECTORY['tenant_id']}", str(directory / "ca.pem"))
        finally:
            process.terminate()
            process.wait(10)


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


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _device_sign_in(issuer: Issuer, **options: Any) -> DeviceCodeSignIn:
    options.setdefault("show", issuer.sign_in_as_alice)
    return DeviceCodeSignIn(
        issuer.authority, APPS["dropbell-cli"]["client_id"], SCOPES, issuer.ca_file, **options
    )


def test_a_person_signs_in_by_device_code_and_stays_signed_in_on_disk(issuer: Issuer, tmp_path: Path) -> None:
    account = _device_sign_in(issuer, token_cache=open_token_cache(tmp_path)).log_in()
    assert (account.username, account.object_id) == (ALICE["preferred_username"], ALICE["object_id"])
    assert account.tenant_id == DIRECTORY["tenant_id"]

    later = _device_sign_in(issuer, token_cache=open_token_cache(tmp_path))
    token = later.access_token()
    assert _claims(token)["oid"] == ALICE["object_id"]
    assert {"Files.ReadWrite", "Deliveries.Read"} <= set(_claims(token)["scp"].split())
    assert later.access_token() == token
    assert later.access_token(force_refresh=True) != token


def test_whoever_signs_in_later_replaces_who_was_signed_in(issuer: Issuer) -> None:
    people = iter(["alice", "bob"])
    sign_in = _device_sign_in(issuer, show=lambda code: issuer.answer_device(code, user=next(people)))
    sign_in.log_in()
    assert sign_in.log_in().username == "bob@dropbell.example"
    assert _claims(sign_in.access_token())["preferred_username"] == "bob@dropbell.example"


def test_a_person_who_refuses_is_not_signed_in(issuer: Issuer) -> None:
    sign_in = _device_sign_in(issuer, show=issuer.refuse)
    with pytest.raises(NotSignedInError, match="The issuer gave no token"):
        sign_in.log_in()
    assert sign_in.account() is None
    with pytest.raises(NotSignedInError, match="Nobody is signed in"):
        sign_in.access_token()


def test_an_unknown_client_is_told_so(issuer: Issuer) -> None:
    sign_in = DeviceCodeSignIn(
        issuer.authority, "00000000-0000-0000-0000-000000000000", SCOPES, issuer.ca_file
    )
    with pytest.raises(NotSignedInError):
        sign_in.log_in()


def test_an_unknown_tenant_is_told_so(issuer: Issuer) -> None:
    authority = issuer.authority.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    with pytest.raises(NotSignedInError, match="did not answer as an issuer"):
        ClientCredentialSignIn(
            authority, "id", "secret", "api://dropbell/.default", issuer.ca_file
        ).access_token()


def test_an_issuer_with_an_unknown_certificate_is_not_trusted(issuer: Issuer) -> None:
    sign_in = ClientCredentialSignIn(issuer.authority, "id", "secret", "api://dropbell/.default")
    with pytest.raises(ConnectionFailedError, match=r"certificate of https://localhost:.* is not trusted"):
        sign_in.access_token()


def test_a_service_signs_in_as_itself(issuer: Issuer) -> None:
    app = APPS["ingest-app"]
    sign_in = ClientCredentialSignIn(
        issuer.authority, app["client_id"], app["secret"], "api://dropbell/.default", issuer.ca_file
    )
    token = sign_in.access_token()
    assert set(_claims(token)["roles"]) == set(app["roles"])
    assert "scp" not in _claims(token)
    assert sign_in.access_token() == token
    assert sign_in.access_token(force_refresh=True) != token


def test_a_wrong_secret_is_refused(issuer: Issuer) -> None:
    sign_in = ClientCredentialSignIn(
        issuer.authority,
        APPS["ingest-app"]["client_id"],
        "wrong",
        "api://dropbell/.default",
        issuer.ca_file,
    )
    with pytest.raises(NotSignedInError, match="The issuer gave no token"):
        sign_in.access_token()


def test_the_command_line_signs_in_remembers_and_signs_out(
    issuer: Issuer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"DROPBELL_CONFIG_DIR": str(tmp_path / "config")}
    login = [sys.executable, "-m", "dropbell", "login", "--json", "--authority", issuer.authority]
    login += ["--client-id", APPS["dropbell-cli"]["client_id"], "--ca-file", issuer.ca_file]
    with subprocess.Popen(  # noqa: S603 - our own program
        login, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        stop = threading.Timer(30, process.kill)
        stop.start()
        assert process.stdout is not None
        issuer.sign_in_as_alice(DeviceCode(**json.loads(process.stdout.readline())))
        assert json.loads(process.stdout.readline())["username"] == ALICE["preferred_username"]
        stop.cancel()
    assert process.returncode == ExitCode.OK

    assert main(["whoami", "--json"], environment) == ExitCode.OK
    assert json.loads(capfd.readouterr().out)["username"] == ALICE["preferred_username"]
    assert main(["logout"], environment) == ExitCode.OK
    assert main(["whoami"], environment) == ExitCode.NOT_SIGNED_IN
    assert list((tmp_path / "config").iterdir()) == []
